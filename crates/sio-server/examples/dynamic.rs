//! Namespaces on demand: `/game-{id}` for every number, `/user/{name}` for everybody who is invited.

use sio_server::{Ack, Handshake, Namespace, Refuse, Server, StartError};

#[tokio::main]
async fn main() -> Result<(), StartError> {
    // `/game-7` is open while somebody is in it; `/game-x` is no such namespace.
    let games = Namespace::pattern("/game-{id}", async |_: Handshake, id: u64| Ok(id))
        .on_connect(async |socket| {
            socket.broadcast().emit("player", socket.id());
        })
        .on("which", async |socket, ()| Ack(*socket.data()))
        .on("players", async |socket, ()| Ack(socket.everyone().count()));
    let users = Namespace::pattern(
        "/user/{name}",
        async |_: Handshake, name: String| match name.as_str() {
            "ann" | "bob" => Ok(name),
            _ => Err(Refuse::new("not invited")),
        },
    )
    .on("whoami", async |socket, ()| Ack(socket.data().clone()));
    Server::new().mount(games).mount(users).run().await
}
