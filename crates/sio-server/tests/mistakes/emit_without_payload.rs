//! An emit of a name alone.

use sio_server::Server;

fn main() {
    let _ = Server::new().on("say", async |socket, ()| {
        socket.broadcast().emit("said");
    });
}
