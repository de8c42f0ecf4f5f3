//! The event is answered with a bool, the caller reads a text.

use sio_server::{Ack, CallError, Event, Server};

const ASK: Event<String, bool> = Event::new("ask");

fn main() {
    let _ = Server::new().on("hello", async |socket, name: String| {
        let answer: String = socket.call(ASK, &name).await?;
        Ok::<_, CallError>(Ack(answer))
    });
}
