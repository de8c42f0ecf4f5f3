//! An event with a name of the protocol's.

use sio_server::Event;

const GONE: Event<()> = Event::new("disconnect");

fn main() {
    let _ = GONE;
}
