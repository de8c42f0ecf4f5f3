//! Two handlers take the same value.

use sio_server::{Ack, Server};
use std::sync::{Arc, Mutex};

fn main() {
    let names = Arc::new(Mutex::new(Vec::<String>::new()));
    let _ = Server::new()
        .on("add", async move |_socket, name: String| {
            names.lock().unwrap().push(name);
        })
        .on("count", async move |_socket, ()| {
            Ack(names.lock().unwrap().len())
        });
}
