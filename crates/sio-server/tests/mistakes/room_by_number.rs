//! A room called by a number.

use sio_server::Server;

fn main() {
    let _ = Server::new().on("join", async |socket, room: u64| {
        socket.join(room);
    });
}
