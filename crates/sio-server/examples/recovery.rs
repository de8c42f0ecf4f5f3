//! A counter that nobody misses a number of: clients whose connection breaks come back as if nothing had
//! happened.
//!
//! ```sh
//! cargo run --example recovery
//! ```
//!
//! ```js
//! const socket = io("http://127.0.0.1:5000");
//! socket.on("connect", () => console.log(socket.id, socket.recovered ? "is back" : "is new"));
//! socket.on("number", (number, offset) => console.log(number));
//! socket.emit("count");                                              // then break the line:
//! setInterval(() => socket.io.engine.transport.ws?.close(), 5000);   // no number is missing
//! ```

use std::time::Duration;

use sio_server::{Config, Recovery, Server, StartError};

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let mut config = Config::default();
    config.recovery = Some(Recovery::default()); // two minutes, 64 MiB
    let server = Server::new()
        .config(config)
        .on_connect(async |socket| match socket.recovery_error() {
            None if socket.recovered() => println!("{} is back", socket.id()),
            None => println!("{} is new", socket.id()),
            Some(error) => println!("{} is new: {error}", socket.id()),
        })
        // Who is in the room hears the counter, and still is when it comes back.
        .on("count", async |socket, ()| {
            socket.join("counting");
        });

    let io = server.io();
    tokio::spawn(async move {
        for number in 0_u64.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            io.to("counting").emit("number", &number);
        }
    });
    server.run().await
}
