//! A chat: rooms, messages and likes that go to everyone at once, a typing hint, who is here.
//!
//! `cargo xtask demo` fetches the browser client and runs this on <http://127.0.0.1:5000>. By hand,
//! `SIO_CLIENT_DIR` is the `dist` folder of the npm package `socket.io-client`, and `HOST` and `PORT`
//! another address.

mod chat;
mod lobby;

use std::sync::Arc;

use sio_server::StartError;

use crate::lobby::Lobby;

#[tokio::main]
async fn main() -> Result<(), StartError> {
    chat::server(Arc::new(Lobby::default())).run().await
}
