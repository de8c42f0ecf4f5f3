//! A router of axum with the server as a layer: a route that emits, a count, and Socket.IO beside them.

use axum::{Router, extract::Path, routing::get};
use sio_server::{Ack, Server};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let server = Server::new().on("join", async |socket, room: String| Ack(socket.join(&room)));
    // The handle: cheap to clone, to be used from anywhere.
    let (emit, count) = (server.io(), server.io());
    let app = Router::new()
        .route("/", get(async || "a page"))
        .route("/clients", get(async move || count.len().to_string()))
        .route(
            "/say/{room}/{text}",
            get(async move |Path((room, text)): Path<(String, String)>| {
                emit.to(&room).emit("said", &text).reached.to_string()
            }),
        )
        .layer(server.layer()?);
    let port = std::env::var("PORT").unwrap_or_else(|_| "5000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await
}
