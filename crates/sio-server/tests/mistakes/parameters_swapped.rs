//! The payload first, then the socket.

use sio_server::{Server, Socket};

fn main() {
    let _ = Server::new().on("say", async |text: String, socket: Socket| {
        socket.broadcast().emit("said", &text);
    });
}
