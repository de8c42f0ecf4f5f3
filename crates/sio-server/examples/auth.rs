//! Who may come in: the admission makes the auth payload a user, or refuses; a filter guards events.

use std::fmt;

use serde::Deserialize;
use sio_server::{Ack, Handshake, Incoming, Namespace, Refuse, Server, Socket, StartError};

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

/// What is known of each socket: there is no socket without it.
struct User {
    name: String,
    admin: bool,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// `io(url, { auth: { name, password } })`
async fn admit(hello: Handshake) -> Result<User, Refuse> {
    let login: Login = hello.auth()?;
    match (login.name.as_str(), login.password.as_str()) {
        ("ann", "tea") => Ok(()),
        ("root", "secret") => Ok(()),
        _ => Err(Refuse::new("wrong password").with_data(&hello.namespace())),
    }?;
    let admin = login.name == "root";
    let name = login.name;
    Ok(User { name, admin })
}

async fn admins_only(socket: Socket<User>, incoming: Incoming) -> Result<(), Refuse> {
    match incoming.event() {
        "shutdown" if !socket.data().admin => Err(Refuse::new("admins only")),
        _ => Ok(()),
    }
}

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let members = Namespace::new("/", admit)
        .filter(admins_only)
        .on("whoami", async |socket, ()| Ack(socket.data().to_string()))
        .on("shutdown", async |_, ()| Ack("not today"));
    Server::new().mount(members).run().await
}
