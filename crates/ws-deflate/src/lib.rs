//! permessage-deflate, [RFC 7692 §7.2]: the compression of WebSocket messages, without I/O and under
//! a limit. (under construction)
//!
//! [RFC 7692 §7.2]: https://www.rfc-editor.org/rfc/rfc7692#section-7.2

mod budget;
mod config;
mod deflate;
mod error;
mod inflate;
mod pool;

pub use budget::{Budget, OverBudget};
pub use config::{DeflateConfig, InflateConfig};
pub use deflate::{Deflate, Encoding, deflate_once};
pub use error::InflateError;
pub use inflate::Inflate;
pub use pool::Pool;
