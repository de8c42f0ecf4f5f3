//! The server is made, but not awaited.

use sio_server::{Server, StartError};

async fn serve() -> Result<(), StartError> {
    Server::new().run()
}

fn main() {
    let _ = serve();
}
