//! The bench server with TLS in its own process: rustls, hyper, and the server as hyper's service, on one
//! thread.
//!
//! `PORT` says where on the loopback interface. The certificate is made at the start, for `localhost`, and
//! left as DER in the file that `CERTIFICATE` names. The table of handlers is in
//! `benches/src/bin/bench-server.rs`.

use std::{env, fs, net::Ipv4Addr, sync::Arc};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use sio_server::{Ack, Config, Runtime, Server, Value};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, rustls};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let acceptor = acceptor()?;
    let service = server().into_service()?;
    let port = env::var("PORT")?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true)?;
        let (acceptor, service) = (acceptor.clone(), service.clone());
        tokio::spawn(async move {
            // Who does not get through the handshake has no use for an answer.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            _ = connection.with_upgrades().await;
        });
    }
}

fn acceptor() -> Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(env::var("CERTIFICATE")?, made.cert.der())?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn server() -> Server {
    let mut config = Config::default();
    config.shards = Some(1);
    Server::new()
        .config(config)
        .runtime(Runtime::Sharded)
        .on("echo", async |_socket, payload: Value| Ack(payload))
        .on("echo2", async |socket, payload: Value| {
            socket.emit("echo2", &payload);
        })
        .on("join", async |socket, room: String| {
            socket.join(&room);
            Ack("ok")
        })
        .on("bcast", async |socket, payload: Value| {
            socket.everyone().emit("bcast", &payload);
        })
        .on("rcast", async |socket, (room, payload): (String, Value)| {
            socket.everyone().to(&room).emit("rcast", &payload);
        })
}
