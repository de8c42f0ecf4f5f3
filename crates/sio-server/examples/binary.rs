//! Binary anywhere in a payload: bytes in a struct, alone, and passed on unread.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sio_server::{Ack, Arguments, Server, StartError};

#[derive(Deserialize, Serialize)]
struct File {
    name: String,
    content: Bytes,
}

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let mut config = sio_server::Config::default();
    config.engine.max_payload = 10 << 20; // the largest message, 1 MB unless told otherwise
    Server::new()
        .config(config)
        .on("upload", async |socket, file: File| {
            let size = file.content.len();
            socket.broadcast().emit("file", &file);
            Ack(size)
        })
        .on("reverse", async |_, data: Bytes| {
            Ack(data.iter().rev().copied().collect::<Bytes>())
        })
        // All arguments, whatever they are, back to where they came from.
        .on("mirror", async |socket, arguments: Arguments| {
            socket.emit("mirror", &arguments);
        })
        .run()
        .await
}
