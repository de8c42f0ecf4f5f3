//! A Socket.IO server: rooms, acks, namespaces and browsers that just connect.
//!
//! # The first day
//!
//! From nothing to two browsers that chat. In an empty folder, with Rust 1.88 or later; this crate is not
//! on crates.io yet, so its repository has to lie somewhere (the last line says where):
//!
//! ```sh
//! cargo init --name chat
//! cargo add tokio -F macros,rt-multi-thread
//! cargo add sio-server --path ../sio-server/crates/sio-server
//! ```
//!
//! The whole of `src/main.rs`, page included:
//!
#![doc = concat!("```no_run\n", include_str!("../examples/first.rs"), "```\n")]
//!
//! `cargo run`, and open <http://127.0.0.1:5000> in two windows: what is said in one is read in the other.
//! The page fetches the client from the network; [`Config::client_files`] serves it from a folder.
//! If nothing seems to happen, `SIO_DEBUG=1 cargo run` shows in the terminal what fails, or what nobody
//! handles.
//!
//! A server is a list of events and what is to be done on each. Clients may be asked for an answer, and
//! give one:
//!
//! ```no_run
//! use sio_server::{Ack, Server, StartError};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), StartError> {
//!     Server::new()
//!         .on("hello", async |socket, name: String| {
//!             socket.broadcast().emit("joined", &name);
//!             Ack(format!("welcome, {name}"))
//!         })
//!         .run() // http://127.0.0.1:5000, or HOST and PORT
//!         .await
//! }
//! ```
//!
//! The other side, in a page or in Node (`npm install socket.io-client`):
//!
//! ```js
//! const socket = io("http://127.0.0.1:5000");
//! socket.on("joined", (name) => console.log(name, "is here"));
//! console.log(await socket.emitWithAck("hello", "Ann")); // welcome, Ann
//! ```
//!
//! - The second argument of a handler is the payload: anything serde can read, a tuple for several
//!   arguments, `()` for none, `bytes::Bytes` or [`Value`] for binary.
//! - What a handler returns is the ack: [`Ack(value)`](Ack), nothing, or a `Result` of these.
//! - [`Socket::emit`] speaks to this client, [`Socket::broadcast`] to all others, [`Socket::to`] to
//!   rooms, [`Socket::call`] asks and waits for the answer.
//! - [`Socket::join`] enters a room; a socket's id is a room of its own.
//!
//! A page that comes from another origin than the server needs [`Config::cors`].
//!
//! # Rooms
//!
//! ```
//! # use sio_server::{Ack, Server};
//! let server = Server::new()
//!     .on("enter", async |socket, room: String| {
//!         socket.join(&room);
//!         socket.to(&room).emit("entered", socket.id());
//!     })
//!     .on("say", async |socket, (room, text): (String, String)| {
//!         socket.to(&room).except("muted").emit("said", &text);
//!     });
//! ```
//!
//! [`Target`] says whom an emit is for. It is a value: build it once, keep it, narrow it down.
//!
//! # Who may come in
//!
//! A [`Namespace`] decides about each client; what it returns is [the socket's data](Socket::data)
//! from then on, so there is no socket of somebody who was not let in:
//!
//! ```
//! # use sio_server::{Handshake, Namespace, Refuse, Server};
//! #[derive(serde::Deserialize)]
//! struct User {
//!     name: String,
//! }
//!
//! let members = Namespace::new("/members", async |hello: Handshake| {
//!     let user: User = hello.auth()?; // `io(url, { auth: { name } })`
//!     if user.name == "root" { Err(Refuse::new("not you")) } else { Ok(user) }
//! })
//! .on("whoami", async |socket, ()| sio_server::Ack(socket.data().name.clone()));
//! let server = Server::new().mount(members);
//! ```
//!
//! # Events with types
//!
//! An [`Event`] is a constant that both handlers and emits are checked against:
//!
//! ```
//! # use sio_server::{Ack, CallError, Event, Server, Socket};
//! const SAVE: Event<String, u64> = Event::new("save");
//!
//! let server = Server::new().on(SAVE, async |_socket, text| Ack(text.len() as u64));
//!
//! async fn ask(socket: &Socket, text: String) -> Result<u64, CallError> {
//!     socket.call(SAVE, &text).await
//! }
//! ```
//!
//! # From elsewhere, and inside a web application
//!
//! [`Server::io`] is a handle to emit with from a timer, a queue or a route. [`Server::layer`] puts the
//! server into a router of axum; [`Server::into_service`] is for hyper:
//!
//! ```no_run
//! # use sio_server::Server;
//! # async fn f() -> std::io::Result<()> {
//! let server = Server::new();
//! let io = server.io();
//! let app = axum::Router::new()
//!     .route("/announce", axum::routing::post(async move || {
//!         io.to("lobby").emit("news", "the doors are open");
//!     }))
//!     .layer(server.layer()?);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
//! axum::serve(listener, app).await
//! # }
//! ```
//!
//! # What is promised
//!
//! - Events of one socket are handled one at a time, in the order they came. Acks and heartbeats do not
//!   wait for handlers, up to [`Config::max_pending_bytes`].
//! - What one task emits to a client arrives in that order, or the connection ends: there are no
//!   holes and no doubles. Only an ack tells that something has arrived.
//! - A broadcast reaches those who are members when `emit` is called; it is encoded once.
//! - A handler that panics is over; its socket and everybody else go on. Handlers at work when
//!   their client goes may finish ([`Config::linger`]).
//! - What a client can make grow is bounded, by [`Config`]; a client that does not read what it is
//!   sent is disconnected.
//!
//! # When it does not compile
//!
//! Mostly the compiler says what to do. Where it only says what is wrong:
//!
//! | It says | It wants |
//! |---|---|
//! | `implementation of Deserialize is not general enough` | a payload that owns: `String`, not `&str` |
//! | `cannot be read as !`, `Serialize is not implemented for !` | the answer's type: `let name: String = socket.call(…).await?` |
//! | `closure is expected to take 2 arguments` | a socket and one payload: a tuple for several arguments, `()` for none |
//! | `does not live long enough` | `async move`, and a clone of what other handlers use, too |
//! | `Mutex<…>: Clone is not satisfied` | an `Arc` around it: a handler is cloned for each event |
//! | `cannot infer type of the type parameter E` | the error's type: `Ok::<_, CallError>(Ack(x))`, or an `async fn` with a return type |
//! | `found Result<(), StartError>` | a `main` that returns `Result<(), StartError>`, or `.await?` and `Ok(())` |
//! | `future cannot be sent between threads safely` | no lock and no `Rc` held over an `.await` |
//!
//! # At work
//!
//! Handlers share a thread with others: what computes for long belongs into
//! `tokio::task::spawn_blocking`, what goes on after the event into `tokio::spawn`.
//!
//! The way of a packet through the server, with every cost counted, is `docs/ARCHITECTURE.md` in the
//! repository.

mod addresses;
mod admitting;
mod answering;
mod application;
mod bell;
mod brake;
mod call;
mod calls;
mod clock;
mod cluster;
mod compress;
mod config;
mod conn;
mod cookie;
mod cors;
mod counters;
mod crew;
mod crews;
mod debug;
mod deciding;
mod deflate;
mod delays;
mod desk;
mod directory;
mod driver;
mod emitting;
pub mod engine;
mod entropy;
mod error;
mod event;
mod facts;
mod failure;
mod fan;
mod files;
mod forward;
mod frames;
mod front;
mod gate;
mod handshake;
mod head;
mod hearing;
mod hooks;
mod http2;
mod hub;
mod incoming;
mod io;
mod jam;
mod kernel;
mod lane;
mod layered;
mod ledger;
mod listen;
mod listeners;
mod member;
mod memory;
mod middleware;
mod namespace;
mod news;
mod nodes;
mod notice;
mod observe;
mod onlookers;
mod openings;
mod order;
mod outbox;
mod pace;
mod pages;
mod panic;
mod parsers;
mod pattern;
mod pending;
mod place;
mod polling;
mod population;
mod proxies;
mod queues;
mod realm;
mod replay;
#[cfg(feature = "schema")]
pub mod schema;
mod server;
mod service;
mod session;
mod shard;
mod shared;
mod socket;
mod spare;
mod start;
mod store;
mod table;
mod target;
mod tcp;
mod telling;
pub mod testing;
mod tls;
mod trace;
mod turn;
mod turns;
mod upgrading;
#[cfg_attr(not(target_os = "linux"), path = "unwatched.rs")]
mod watch;
mod wheel;
mod wire;

#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;

pub use addresses::PerIp;
pub use answering::ResponseFuture;
pub use call::Call;
pub use calls::{Answers, Calls};
pub use cluster::{ClusterEvent, ClusterStatus};
pub use config::{Config, Recovery, SlowClients};
pub use cookie::{Cookie, SameSite};
pub use cors::Cors;
pub use counters::{Counters, Limit};
pub use debug::DebugMode;
pub use deflate::PerMessageDeflate;
pub use delays::Delays;
pub use eio_transport::{Reason, Sid, Transport, Transports};
pub use emitting::Emitting;
pub use error::{CallError, DisconnectReason, EmitError, Refuse, StartError};
pub use event::{Ack, Answer, Any, Event, EventName, Failed, Reply};
pub use failure::{Cause, Failure};
pub use handshake::Handshake;
pub use hooks::ClientAddr;
pub use http2::Http2;
pub use incoming::Incoming;
pub use io::Io;
pub use layered::{Layer, Layered, LayeredFuture};
pub use listen::Bound;
pub use listeners::{ListenerId, Which};
pub use memory::RecoveryStatus;
pub use middleware::{BodyError, Inner, RequestBody};
pub use namespace::Namespace;
pub use nodes::{NodeAnswers, NodeCalls};
pub use observe::{ConnectionError, EngineEvent};
pub use onlookers::{Outgoing, RoomEvent};
pub use openings::NamespaceEvent;
pub use order::Ordered;
pub use population::Population;
pub use proxies::{Network, NetworkError, Proxies};
pub use queues::Queues;
pub use server::{Runtime, Server};
pub use service::{PeerAddr, Service};
/// For brokers that a server's [`cluster`](Server::cluster) can be given.
pub use sio_cluster;
pub use sio_cluster::{Missing, RemoteSocket};
/// For a [`Parser`] of one's own.
pub use sio_packet;
pub use sio_packet::{Arguments, Limits as PacketLimits, Msgpack, Parser, Value};
pub use sio_rooms::RecoveryError;
#[doc(hidden)]
pub use socket::Responder;
pub use socket::Socket;
pub use store::Session;
pub use target::{Elsewhere, Fetched, RoomNames, Sent, Target};
pub use telling::Telling;
pub use ws_handshake::PatternError;

/// The examples of the READMEs are tests, too.
#[cfg(doctest)]
mod readme {
    #[doc = include_str!("../README.md")]
    struct OfTheCrate;

    #[doc = include_str!("../../../README.md")]
    struct OfTheHouse;

    #[doc = include_str!("../../../docs/howto/behind-a-proxy.md")]
    struct BehindAProxy;

    #[doc = include_str!("../../../docs/howto/recovery.md")]
    struct Recovery;

    #[doc = include_str!("../../../docs/howto/drive-a-layer.md")]
    struct DriveALayer;

    #[cfg(feature = "schema")]
    #[doc = include_str!("../../../docs/howto/types-for-clients.md")]
    struct TypesForClients;

    #[doc = include_str!("../../../docs/beside-others.md")]
    struct BesideOthers;

    #[doc = include_str!("../../../docs/from-node.md")]
    struct FromNode;

    #[doc = include_str!("../../../docs/from-flask-socketio.md")]
    struct FromFlask;
}
