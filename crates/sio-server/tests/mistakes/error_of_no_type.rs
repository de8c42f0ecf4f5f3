//! A handler fails by `?`, and nothing says with what.

use sio_server::{Ack, Server};

fn main() {
    let _ = Server::new().on("parse", async |_socket, text: String| {
        let n: u32 = text.parse()?;
        Ok(Ack(n))
    });
}
