//! No mistake: what the others should have been. If this does not compile, the others say nothing.

use std::sync::{Arc, Mutex};

use sio_server::{Ack, CallError, Event, Handshake, Namespace, Refuse, Server, Socket, StartError};

const JOIN: Event<String, usize> = Event::new("join");
const SAID: Event<String> = Event::new("said");

async fn admit(hello: Handshake) -> Result<String, Refuse> {
    hello.auth()
}

async fn whoami(socket: Socket<String>, (): ()) -> Ack<String> {
    Ack(socket.data().clone())
}

async fn serve() -> Result<(), StartError> {
    let names = Arc::new(Mutex::new(Vec::new()));
    let known = Arc::clone(&names);
    Server::new()
        .on(JOIN, async |socket, room| {
            socket.join(&room);
            Ack(socket.to(&room).emit(SAID, &room).reached)
        })
        .on("add", async |_socket, (a, b): (i64, i64)| Ack(a + b))
        .on("hello", async move |socket, ()| {
            let name: String = socket.call("your name", &()).await?;
            names.lock().unwrap().push(name);
            Ok::<_, CallError>(Ack("welcome"))
        })
        .on("names", async move |_socket, ()| {
            Ack(known.lock().unwrap().clone())
        })
        .mount(Namespace::new("/members", admit).on("whoami", whoami))
        .run()
        .await
}

fn main() {
    drop(serve());
}
