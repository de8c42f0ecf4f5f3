//! The event is answered with a number, the handler answers nothing.

use sio_server::{Event, Server};

const JOIN: Event<String, usize> = Event::new("join");

fn main() {
    let _ = Server::new().on(JOIN, async |socket, room| {
        socket.join(&room);
    });
}
