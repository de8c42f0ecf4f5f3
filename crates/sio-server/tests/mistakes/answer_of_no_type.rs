//! A client is asked, and its answer has no type.

use sio_server::{Ack, CallError, Server};

fn main() {
    let _ = Server::new().on("hello", async |socket, ()| {
        let name = socket.call("your name", &()).await?;
        Ok::<_, CallError>(Ack(name))
    });
}
