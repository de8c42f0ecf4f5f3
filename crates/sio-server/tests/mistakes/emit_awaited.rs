//! An emit is awaited, as in socketioxide.

use sio_server::Server;

fn main() {
    let _ = Server::new().on("say", async |socket, text: String| {
        socket.broadcast().emit("said", &text).await;
    });
}
