//! A handler keeps a `Mutex` without an `Arc`.

use sio_server::{Ack, Server};
use std::sync::Mutex;

fn main() {
    let count = Mutex::new(0);
    let _ = Server::new().on("count", async move |_socket, ()| {
        let mut count = count.lock().unwrap();
        *count += 1;
        Ack(*count)
    });
}
