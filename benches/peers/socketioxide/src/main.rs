//! The bench server on socketioxide behind hyper, on tokio's current-thread runtime, which is where it
//! costs least. `PORT` says where. The table of handlers is in `benches/src/lib.rs`.

use std::{fmt, net::Ipv4Addr};

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
};
use tokio::net::TcpSocket;

/// Text or one attachment: no tree of JSON is built that the scenarios do not ask for.
enum Payload {
    Bytes(Bytes),
    Text(String),
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Payload;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or bytes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Payload, E> {
                Ok(Payload::Text(text.to_owned()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Payload, E> {
                Ok(Payload::Text(text))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Payload, E> {
                Ok(Payload::Bytes(Bytes::copy_from_slice(bytes)))
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Payload, E> {
                Ok(Payload::Bytes(bytes.into()))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

fn handlers(io: &SocketIo) {
    let everyone = io.clone();
    io.ns("/", async move |socket: SocketRef| {
        socket.on(
            "echo",
            async |Data(payload): Data<Payload>, ack: AckSender| {
                ack.send(&[payload]).ok();
            },
        );
        socket.on(
            "echo2",
            async |socket: SocketRef, Data(payload): Data<Payload>| {
                socket.emit("echo2", &payload).ok();
            },
        );
        socket.on(
            "join",
            async |socket: SocketRef, Data(room): Data<String>, ack: AckSender| {
                socket.join(room);
                ack.send("ok").ok();
            },
        );
        let io = everyone.clone();
        socket.on("bcast", async move |Data(payload): Data<Payload>| {
            io.emit("bcast", &payload).await.ok();
        });
        let io = everyone.clone();
        socket.on(
            "rcast",
            async move |Data((room, payload)): Data<(String, Payload)>| {
                io.to(room).emit("rcast", &payload).await.ok();
            },
        );
    });
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::var("PORT")?.parse()?;
    let (service, io) = SocketIo::builder().build_svc();
    handlers(&io);
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    let listener = socket.listen(4096)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        stream.set_nodelay(true)?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connection.with_upgrades());
    }
}
