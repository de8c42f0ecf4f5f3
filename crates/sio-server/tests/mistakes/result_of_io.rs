//! A `main` that returns another error than the server's.

use sio_server::Server;

async fn serve() -> std::io::Result<()> {
    Server::new().run().await
}

fn main() {
    let _ = serve();
}
