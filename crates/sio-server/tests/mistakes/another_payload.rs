//! The event is a `String`, the handler takes a number.

use sio_server::{Ack, Event, Server};

const JOIN: Event<String, usize> = Event::new("join");

fn main() {
    let _ = Server::new().on(JOIN, async |_socket, room: u64| Ack(room as usize));
}
