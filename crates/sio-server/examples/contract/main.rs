//! A chat whose events are described once: for the handlers, and for the page, which the TypeScript
//! compiler checks against them.
//!
//! ```sh
//! cargo run --features schema --example contract                  # the chat
//! cargo run --features schema --example contract -- typescript    # page/events.d.ts
//! cargo run --features schema --example contract -- asyncapi      # the document of AsyncAPI
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sio_server::{Ack, Event, Server, schema::Contract};

/// Something that was said.
#[derive(Deserialize, JsonSchema, Serialize)]
struct Message {
    room: String,
    text: String,
    /// Who is meant, if not all.
    #[serde(default)]
    to: Vec<String>,
}

const JOIN: Event<String, usize> = Event::new("join");
const MESSAGE: Event<Message> = Event::new("message");
const JOINED: Event<(String, usize)> = Event::new("joined");

fn contract() -> Contract {
    Contract::new("Chat", "1.0.0")
        .hears(JOIN)
        .hears(MESSAGE)
        .says(MESSAGE)
        .says(JOINED)
}

fn server() -> Server {
    Server::new()
        .page("/", include_str!("page/index.html"))
        .page("/chat.js", include_str!("page/chat.js"))
        .on(JOIN, async |socket, room| {
            socket.join(&room);
            let people = socket.io().room_len(&room);
            socket.to(&room).emit(JOINED, &(room, people));
            Ack(people)
        })
        .on(MESSAGE, async |socket, message| {
            socket.to(&message.room).emit(MESSAGE, &message);
        })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (contract, server) = (contract(), server());
    contract.check(&server)?; // all that is heard is handled, and the other way round
    match std::env::args().nth(1).as_deref() {
        Some("typescript") => print!("{}", contract.typescript()),
        Some("asyncapi") => print!("{}", contract.asyncapi()),
        _ => server.run().await?,
    }
    Ok(())
}
