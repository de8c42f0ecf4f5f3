//! Engine.IO without Socket.IO: sends back what it is sent.
//!
//! ```sh
//! cargo run --example engine   # then, with engine.io-client: new Socket("ws://127.0.0.1:5000")
//! ```

use sio_server::{StartError, engine::Server};

#[tokio::main]
async fn main() -> Result<(), StartError> {
    Server::new()
        .on_open(async |socket| {
            println!("{socket:?} came over {}", socket.transport().as_str());
        })
        .on_message(async |socket, message| {
            socket.send(&message);
        })
        .on_close(async |socket, reason| println!("{socket:?} went: {reason:?}"))
        .run()
        .await
}
