//! An admission returns the data as they are.

use sio_server::{Handshake, Namespace};

fn main() {
    let _ = Namespace::new("/members", async |hello: Handshake| {
        hello.auth::<String>().unwrap()
    });
}
