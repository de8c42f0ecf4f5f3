//! An emit of a value that serde cannot write.

use sio_server::Server;

struct Message {
    text: String,
}

fn main() {
    let _ = Server::new().on("say", async |socket, text: String| {
        socket.broadcast().emit("said", &Message { text });
    });
}
