//! A handler fails with what cannot be displayed.

use sio_server::{Ack, Server};

#[derive(Debug)]
struct TooMuch;

fn main() {
    let _ = Server::new().on(
        "buy",
        async |_socket, n: u32| if n > 3 { Err(TooMuch) } else { Ok(Ack(n)) },
    );
}
