//! Acknowledgements both ways: a client asks the server, the server asks a client, and a room.

use std::time::Duration;

use sio_server::{Ack, Answers, Server, StartError};

#[derive(serde::Serialize)]
struct Outcome {
    sum: i64,
    missing: usize,
}

#[tokio::main]
async fn main() -> Result<(), StartError> {
    Server::new()
        // `await socket.emitWithAck("add", 1, 2)` is 3.
        .on("add", async |_, (a, b): (i64, i64)| Ack(a + b))
        // Asks back, for a second at most. An error goes to the log; who asked gets no answer.
        .on("greet", async |socket, ()| {
            let call = socket.call("your name", &());
            let name: String = call.timeout(Duration::from_secs(1)).await?;
            Ok::<_, sio_server::CallError>(Ack(format!("hello, {name}")))
        })
        .on("join", async |socket, room: String| {
            socket.join(&room);
        })
        // Asks a whole room: the answers there are, and how many did not come.
        .on("vote", async |socket, room: String| {
            let call = socket.everyone().to(&room).call("your vote", &());
            let votes: Answers<i64> = call.timeout(Duration::from_millis(500)).await?;
            let missing = votes.missing.len();
            let sum: i64 = votes.into_values().iter().sum();
            Ok::<_, sio_server::CallError>(Ack(Outcome { sum, missing }))
        })
        .run()
        .await
}
