//! Sends every message back, over the tokio face of `ws-frame` with `ws-deflate` behind it: what the
//! Autobahn suite wants, of a server and of a client alike.

use std::sync::{LazyLock, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use ws_deflate::{
    Budget, Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, InflateError, Pool,
};
use ws_frame::tokio::{Error, Item, WebSocket};
use ws_frame::{CloseCode, Kind, Limits, Role};
use ws_handshake::DeflateParams;

/// The suite sends messages of 16 MiB, and 4 MiB in 65,536 fragments.
pub(crate) const LIMITS: Limits = Limits {
    max_message: 16 << 20,
    max_fragments: 65_536,
    control_burst: 200,
    control_per_second: 50,
};

/// What the windows of all connections may take together.
static POOL: LazyLock<Mutex<Pool>> =
    LazyLock::new(|| Mutex::new(Pool::new(Budget::new(256 << 20))));

/// Echoes until the connection has ended.
///
/// # Errors
///
/// The peer broke the protocol, or the stream failed.
pub(crate) async fn echo<T: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocket<T>,
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
pub(crate) struct Codec {
    deflate: Deflate,
    inflate: Inflate,
}

impl Codec {
    /// The side of `role`; `None` if the windows do not fit in the budget.
    pub(crate) fn new(role: Role, agreed: DeflateParams) -> Option<Self> {
        let client = (
            !agreed.client_no_context_takeover,
            agreed.client_max_window_bits,
        );
        let server = (
            !agreed.server_no_context_takeover,
            agreed.server_max_window_bits,
        );
        let (own, peers) = match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        let inflate = InflateConfig {
            context_takeover: peers.0,
            window_bits: peers.1,
        };
        let deflate = DeflateConfig {
            context_takeover: own.0,
            window_bits: own.1,
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
