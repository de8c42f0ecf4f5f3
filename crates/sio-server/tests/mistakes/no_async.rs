//! A closure that is not async.

use sio_server::{Ack, Server};

fn main() {
    let _ = Server::new().on("echo", |_socket, text: String| Ack(text));
}
