//! The libraries, one adapter each: its own read path and write path as a server, over a [`Wire`].
//!
//! [`Wire`]: crate::wire::Wire

use crate::limit::Limit;
use crate::ours::{Lent, Owned};
use crate::peer::Peer;

mod fastwebsockets;
mod sockudo_ws;
mod soketto;
mod tokio_websockets;
mod tungstenite;
mod web_socket;
mod yawc;

/// All of them; the limit first, then ours.
pub fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(Limit),
        Box::new(Lent),
        Box::new(Owned),
        Box::new(tungstenite::Tungstenite),
        Box::new(tokio_websockets::TokioWebsockets),
        Box::new(fastwebsockets::FastWebsockets),
        Box::new(soketto::Soketto),
        Box::new(yawc::Yawc),
        Box::new(web_socket::WebSocketCrate),
        Box::new(sockudo_ws::Protocol),
        Box::new(sockudo_ws::Stream),
    ]
}
