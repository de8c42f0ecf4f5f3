//! A handler for sockets without data, in a namespace that has some.

use sio_server::{Ack, Handshake, Namespace, Socket};

struct User {
    name: String,
}

async fn whoami(socket: Socket, _: ()) -> Ack<String> {
    Ack(socket.id().to_owned())
}

fn main() {
    let _ = Namespace::new("/members", async |_: Handshake| {
        Ok(User { name: "Ann".into() })
    })
    .on("whoami", whoami);
}
