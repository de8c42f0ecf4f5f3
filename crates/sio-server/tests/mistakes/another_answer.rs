//! The event is answered with a number, the handler answers with a text.

use sio_server::{Ack, Event, Server};

const JOIN: Event<String, usize> = Event::new("join");

fn main() {
    let _ = Server::new().on(JOIN, async |_socket, room| Ack(room));
}
