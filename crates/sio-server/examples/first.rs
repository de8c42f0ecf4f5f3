//! A chat: what is said in one window is read in all others.

use sio_server::{Server, StartError};

const PAGE: &str = r#"<!doctype html>
<form id="form"><input id="text" placeholder="say something" autofocus></form>
<ul id="said"></ul>
<script src="https://cdn.socket.io/4.8.1/socket.io.min.js"></script>
<script>
  const socket = io();
  const show = (text) =>
    said.append(Object.assign(document.createElement("li"), { textContent: text }));
  socket.on("said", show);
  form.onsubmit = (event) => {
    event.preventDefault();
    socket.emit("say", text.value);
    show(text.value);
    text.value = "";
  };
</script>"#;

#[tokio::main]
async fn main() -> Result<(), StartError> {
    Server::new()
        .page("/", PAGE)
        .on("say", async |socket, text: String| {
            socket.broadcast().emit("said", &text);
        })
        .run() // http://127.0.0.1:5000, or HOST and PORT
        .await
}
