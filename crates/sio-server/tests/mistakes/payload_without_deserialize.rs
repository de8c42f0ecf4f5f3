//! A payload of one's own that serde cannot read.

use sio_server::Server;

struct Message {
    text: String,
}

fn main() {
    let _ = Server::new().on("say", async |socket, message: Message| {
        socket.broadcast().emit("said", &message.text);
    });
}
