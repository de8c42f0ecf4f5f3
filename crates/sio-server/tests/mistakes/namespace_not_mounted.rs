//! A namespace that no server has.

#![deny(unused_must_use)]
use sio_server::{Ack, Namespace};

fn main() {
    Namespace::open("/chat").on("ping", async |_socket, ()| Ack(1));
}
