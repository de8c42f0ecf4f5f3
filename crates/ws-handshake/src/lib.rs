//! The WebSocket opening handshake, RFC 6455 §4, without I/O. (under construction)

mod accept;
mod agreed;
mod deflate;
mod error;
mod extension;
mod headers;
mod origin;
mod server;
mod token;

pub use accept::{AcceptKey, accept_key};
pub use agreed::{Agreed, Policy};
pub use deflate::{DeflateAnswer, DeflateOffer, DeflateParams, DeflatePolicy, WindowLimit};
pub use error::HandshakeError;
pub use extension::{Extension, Param};
pub use headers::Headers;
pub use origin::{OriginError, OriginPattern, OriginPolicy, PatternError};
pub use server::Upgrade;
