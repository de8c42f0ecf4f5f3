//! A handler answers with what serde cannot write.

use sio_server::{Ack, Server};

struct Outcome {
    sum: i64,
}

fn main() {
    let _ = Server::new().on("add", async |_socket, (a, b): (i64, i64)| {
        Ack(Outcome { sum: a + b })
    });
}
