//! A named event whose payload has no type.

use sio_server::{Ack, Server};

fn main() {
    let _ = Server::new().on("echo", async |_socket, text| Ack(text));
}
