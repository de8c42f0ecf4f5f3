//! The end in order: a client's word, or a signal, stops the server when the last handlers are done.

use std::{sync::Arc, time::Duration};

use sio_server::{Ack, Server, StartError};
use tokio::{sync::Notify, time::sleep};

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let server = Server::new()
        .on("stop", async move |_, ()| {
            stop.notify_one();
            Ack("good night")
        })
        // Has begun before the end, and may finish.
        .on("save", async |_, text: String| {
            sleep(Duration::from_millis(300)).await;
            println!("saved {text}");
        });
    let port = std::env::var("PORT").unwrap_or_else(|_| "5000".into());
    let bound = server.bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", bound.local_addr());
    bound
        .serve_until(async move {
            tokio::select! {
                () = stopped.notified() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        })
        .await?;
    println!("stopped");
    Ok(())
}
