//! An emit of a value, not of a reference.

use sio_server::Server;

fn main() {
    let _ = Server::new().on("say", async |socket, text: String| {
        socket.broadcast().emit("said", text);
    });
}
