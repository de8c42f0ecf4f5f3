//! A plain WebSocket echo under `/ws-echo`, for the Autobahn suite: hyper's upgrade, `ws-handshake`,
//! the tokio face of `ws-frame`, `ws-deflate`. Nothing of Socket.IO is in it.

use axum::{body::Body, extract::Request, response::Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use ws_frame::tokio::WebSocket;
use ws_frame::{Connection, Role};
use ws_handshake::{DeflatePolicy, Policy, Upgrade};

use crate::echo::{Codec, LIMITS, echo};

/// Where it answers.
pub(crate) const PATH: &str = "/ws-echo";

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
    let codec = upgrade.agree(&policy).deflate();
    let codec = codec.and_then(|agreed| Codec::new(Role::Server, agreed));
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
