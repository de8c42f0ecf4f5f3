//! Several arguments as several parameters.

use sio_server::{Ack, Server};

fn main() {
    let _ = Server::new().on("add", async |_socket, a: i64, b: i64| Ack(a + b));
}
