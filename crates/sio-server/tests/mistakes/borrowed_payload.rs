//! A payload that borrows.

use sio_server::{Ack, Server};

fn main() {
    let _ = Server::new().on("len", async |_socket, text: &str| Ack(text.len()));
}
