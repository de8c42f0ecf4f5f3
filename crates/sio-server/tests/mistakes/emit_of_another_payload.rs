//! The event is a `String`, a number is emitted.

use sio_server::{Event, Io};

const SAID: Event<String> = Event::new("said");

fn main() {
    fn f(io: Io) {
        io.emit(SAID, &42);
    }
}
