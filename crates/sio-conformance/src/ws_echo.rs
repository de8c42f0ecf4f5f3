//! A plain WebSocket echo under `/ws-echo`, for the Autobahn suite: hyper's upgrade, `ws-handshake`,
//! the tokio face of `ws-frame`, `ws-deflate`. Nothing of Socket.IO is in it.

use std::sync::{LazyLock, Mutex, MutexGuard};

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use ws_deflate::{
    Budget, Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, InflateError, Pool,
};
use ws_frame::tokio::{Error, Item, WebSocket};
use ws_frame::{CloseCode, Connection, Kind, Limits, Role};
use ws_handshake::{DeflateParams, DeflatePolicy, Policy, Upgrade};

/// Where it answers.
pub(crate) const PATH: &str = "/ws-echo";

/// The suite sends messages of 16 MiB, and 4 MiB in 65,536 fragments.
const LIMITS: Limits = Limits {
    max_message: 16 << 20,
    max_fragments: 65_536,
    control_burst: 200,
    control_per_second: 50,
};

/// What the windows of all connections may take together.
static POOL: LazyLock<Mutex<Pool>> =
    LazyLock::new(|| Mutex::new(Pool::new(Budget::new(256 << 20))));

/// Answers the opening handshake, and serves what comes behind it in a task of its own.
pub(crate) fn answer(mut request: Request, deflate: bool) -> Response {
    let (method, version) = (request.method().as_str(), request.version());
    let upgrade = match Upgrade::check(method, version, request.headers()) {
        Ok(upgrade) => upgrade,
        Err(fault) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = fault.status();
            return response;
        }
    };
    // Windows outlive messages as far as the client wants that.
    let deflate = deflate.then(|| DeflatePolicy {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        ..DeflatePolicy::default()
    });
    let mut policy = Policy {
        protocols: Vec::new(),
        deflate,
    };
    let codec = upgrade.agree(&policy).deflate().and_then(Codec::new);
    if codec.is_none() {
        // Not asked for, or the budget is used up.
        policy.deflate = None;
    }
    let response = upgrade.agree(&policy).response().map(|()| Body::empty());
    tokio::spawn(serve(hyper::upgrade::on(&mut request), codec));
    response
}

async fn serve(upgrade: OnUpgrade, codec: Option<Codec>) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let mut connection = Connection::new(Role::Server, LIMITS);
    if codec.is_some() {
        connection = connection.with_deflate();
    }
    let socket = WebSocket::server(TokioIo::new(upgraded), connection);
    // How a connection ends is the suite's to judge, not ours.
    let _ = echo(socket, codec).await;
}

async fn echo(
    mut socket: WebSocket<TokioIo<Upgraded>>,
    mut codec: Option<Codec>,
) -> Result<(), Error> {
    while let Some(item) = socket.next().await {
        let item = match (item?, &mut codec) {
            (Item::Close(_) | Item::Ping(_) | Item::Pong(_), _) => continue,
            (Item::Compressed { kind, payload }, Some(codec)) => {
                codec.inflate(kind, &payload).unwrap_or_else(|code| {
                    Item::Close(CloseCode::new(code).map(|code| (code, "".into())))
                })
            }
            (item, _) => item,
        };
        let item = match &mut codec {
            Some(codec) => codec.deflate(item),
            None => item,
        };
        socket.send(item).await?;
    }
    Ok(())
}

/// Both directions of permessage-deflate.
struct Codec {
    deflate: Deflate,
    inflate: Inflate,
}

impl Codec {
    /// `None` if the windows do not fit in the budget.
    fn new(agreed: DeflateParams) -> Option<Self> {
        let inflate = InflateConfig {
            context_takeover: !agreed.client_no_context_takeover,
            window_bits: agreed.client_max_window_bits,
        };
        let deflate = DeflateConfig {
            context_takeover: !agreed.server_no_context_takeover,
            window_bits: agreed.server_max_window_bits,
            threshold: 0,
            ..DeflateConfig::default()
        };
        Some(Self {
            deflate: Deflate::new(deflate),
            inflate: Inflate::new(inflate, &pool()).ok()?,
        })
    }

    /// The message, or the code to close with.
    fn inflate(&mut self, kind: Kind, payload: &[u8]) -> Result<Item, u16> {
        let mut message = Vec::new();
        self.inflate
            .inflate(&mut pool(), payload, LIMITS.max_message, &mut message)
            .map_err(|fault: InflateError| fault.close_code())?;
        Ok(match kind {
            Kind::Text => match String::from_utf8(message) {
                Ok(text) => Item::Text(text.into()),
                Err(_) => return Err(CloseCode::INVALID_PAYLOAD.get()),
            },
            Kind::Binary => Item::Binary(message.into()),
        })
    }

    /// The same message, compressed if that is of use.
    fn deflate(&mut self, item: Item) -> Item {
        let (kind, message) = match &item {
            Item::Text(text) => (Kind::Text, &text.as_bytes()[..]),
            Item::Binary(message) => (Kind::Binary, &message[..]),
            _ => return item,
        };
        let mut payload = Vec::new();
        match self.deflate.deflate(&mut pool(), message, &mut payload) {
            Encoding::Deflated => Item::Compressed {
                kind,
                payload: Bytes::from(payload),
            },
            Encoding::Plain => item,
        }
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().expect("nothing panics with the pool in hand")
}
