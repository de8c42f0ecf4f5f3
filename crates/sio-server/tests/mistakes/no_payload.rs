//! A handler without the parameter for the payload.

use sio_server::{Ack, Server};

fn main() {
    let _ = Server::new().on("ping", async |_socket| Ack("pong"));
}
