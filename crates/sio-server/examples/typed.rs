//! Events as constants: handlers, emits and calls are checked against them when this is compiled.

use serde::{Deserialize, Serialize};
use sio_server::{Ack, Event, Server, StartError};

#[derive(Deserialize, Serialize)]
struct Message {
    room: String,
    text: String,
}

// The payload, and the answer where there is one.
const JOIN: Event<String, usize> = Event::new("join");
const MESSAGE: Event<Message> = Event::new("message");
const ASK: Event<String, bool> = Event::new("ask");

#[tokio::main]
async fn main() -> Result<(), StartError> {
    Server::new()
        .on(JOIN, async |socket, room| {
            socket.join(&room);
            // `Ack("many")` would not compile: who joins is told a number.
            Ack(socket.io().room_len(&room))
        })
        .on(MESSAGE, async |socket, mut message| {
            if message.text.contains("teh") {
                // `sure` is a bool without being told.
                let question = format!("did you mean {:?}?", message.text.replace("teh", "the"));
                let sure = socket.call(ASK, &question).await.unwrap_or(false);
                if sure {
                    message.text = message.text.replace("teh", "the");
                }
            }
            socket.everyone().to(&message.room).emit(MESSAGE, &message);
        })
        .run()
        .await
}
