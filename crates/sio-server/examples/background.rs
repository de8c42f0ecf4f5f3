//! Tasks beside the handlers: one for all that ticks, one for each client that counts down.

use std::time::Duration;

use sio_server::{Server, StartError};
use tokio::time::{interval, sleep};

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let server = Server::new().on("count down", async |socket, from: u32| {
        // A task of its own: other events of this client are handled meanwhile. A socket may be kept;
        // once its client has gone, emitting reaches nobody.
        tokio::spawn(async move {
            for n in (0..from).rev() {
                sleep(Duration::from_millis(50)).await;
                if socket.emit("count", &n).reached == 0 {
                    return;
                }
            }
        });
    });
    let io = server.io();
    tokio::spawn(async move {
        let mut clock = interval(Duration::from_millis(200));
        for tick in 0_u64.. {
            clock.tick().await;
            // Whoever is not ready to take a tick can do without it.
            io.everyone().volatile().emit("tick", &tick);
        }
    });
    server.run().await
}
