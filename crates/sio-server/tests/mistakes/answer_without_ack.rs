//! A handler returns its answer as it is.

use sio_server::Server;

fn main() {
    let _ = Server::new().on("add", async |_socket, (a, b): (i64, i64)| a + b);
}
