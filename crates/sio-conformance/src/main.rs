//! The conformance server: what the client matrix and the wire-level checks run against.
//!
//! An ordinary program over the public API of `sio-server`. What it does on which event is the
//! contract of the client matrix in `clients/`; it is configured by environment variables, listed
//! at [`Settings`].
//!
//! What is not here yet, because the server cannot do it: the events `server-side-emit` and
//! `server-side-ask` (clients see an unknown event; what the matrix skips for what is missing is in
//! `clients/missing.json`); the settings `REDIS_URL` and `CLUSTER`.

#[cfg(feature = "ws-echo")]
mod echo;
mod handlers;
mod roads;
mod settings;
#[cfg(feature = "ws-echo")]
mod ws_echo;

use std::{io, sync::Arc};

use handlers::{Reasons, handlers};
use http::{Response, StatusCode};
use serde::Deserialize;
use settings::{Settings, open};
use sio_server::{Handshake, Incoming, Msgpack, Namespace, Refuse, Server, engine};

#[tokio::main]
async fn main() -> io::Result<()> {
    let settings = Settings::from_env();
    let reasons = Arc::new(Reasons::default());
    let server =
        Server::new()
            .config(settings.config())
            .fallback(async |request: http::Request<()>| {
                let (status, body) = match request.uri().path() {
                    "/healthz" => (StatusCode::OK, "ok"),
                    _ => (StatusCode::NOT_FOUND, "not found"),
                };
                let mut response = Response::new(body.into());
                *response.status_mut() = status;
                response
            });
    let io = server.io();
    let with = |namespace| handlers(namespace, &reasons, &io);
    let server = server
        .mount(with(Namespace::new("/", open)))
        .mount(with(Namespace::new("/custom", open)))
        .mount(with(Namespace::matching(is_dynamic, open)))
        .mount(with(Namespace::new("/auth", async |hello: Handshake| {
            #[derive(Deserialize)]
            struct Auth {
                token: String,
            }
            match hello.auth::<Auth>() {
                Ok(auth) if auth.token == "secret" => open(hello).await,
                _ => {
                    let data = serde_json::json!({ "code": "E_AUTH" });
                    Err(Refuse::new("not authorized").with_data(&data))
                }
            }
        })))
        .mount(with(Namespace::new("/slow", async |hello: Handshake| {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            open(hello).await
        })))
        .mount(
            with(Namespace::new("/guarded", open))
                .filter(async |_, incoming: Incoming| match incoming.event() {
                    "forbidden" => Err(Refuse::new("forbidden event")),
                    _ => Ok(()),
                })
                .on_error(async |socket, failure| {
                    socket.emit("refused", &failure.to_string());
                }),
        );
    let server = match settings.msgpack {
        true => server.parser(Msgpack),
        false => server,
    };
    let server = if settings.eio_echo {
        server.beside(engine_echo(&settings))
    } else {
        server
    };
    roads::serve(server, &settings).await
}

/// Bare Engine.IO that sends every message back.
fn engine_echo(settings: &Settings) -> engine::Server {
    let mut config = settings.config();
    config.path = "/engine.io/".into();
    engine::Server::new()
        .config(config)
        .on_message(async |socket, message| {
            socket.send(&message);
        })
}

/// `^/dyn-[0-9]+$`
fn is_dynamic(name: &str) -> bool {
    name.strip_prefix("/dyn-")
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}
