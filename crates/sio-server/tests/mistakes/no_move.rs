//! A handler uses what lies outside without `move`.

use sio_server::{Ack, Server};

fn main() {
    let greeting = String::from("welcome");
    let _ = Server::new().on("hello", async |_socket, ()| Ack(greeting.clone()));
}
