//! A lock is held while a client is asked.

use std::sync::{Arc, Mutex};

use sio_server::{Ack, CallError, Server};

fn main() {
    let names = Arc::new(Mutex::new(Vec::new()));
    let _ = Server::new().on("hello", async move |socket, ()| {
        let mut names = names.lock().unwrap();
        let name: String = socket.call("your name", &()).await?;
        names.push(name);
        Ok::<_, CallError>(Ack(names.len()))
    });
}
