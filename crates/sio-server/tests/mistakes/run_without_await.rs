//! The server is made, but not awaited.

use sio_server::Server;

async fn serve() -> std::io::Result<()> {
    Server::new().run()
}

fn main() {
    let _ = serve();
}
