//! A server on each of its roads, and clients that say exactly what they are told to say.
//!
//! Nothing here sleeps to let something happen: a client awaits what the server sends, a handler
//! tells a channel, and what can only be looked at ([`until`]) is looked at again and again.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test binary uses its own part of this"
)]

mod house;
mod http;
mod websocket;

use std::{future::Future, time::Duration};

pub(crate) use self::{
    house::{Farewell, House, Road, Start, config, serve},
    http::{Answer, Peer, Polling, get, post},
    websocket::{End, Got, Ws, frame, head, request, sid_of},
};

/// More than anything here takes on a busy machine; only a test that fails waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Awaits something that must come.
#[track_caller]
pub(crate) fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let at = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("{what} did not happen, awaited at {at}"),
        }
    }
}

/// Looks again and again until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(what, async move {
        let mut pause = Duration::from_millis(1);
        while !holds() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    })
}

/// Plays what an honest client has to do before a deadline, which `play` is given. It says whether the
/// client was in time: on a machine that stood still meanwhile it was not, and there is nothing to be seen.
/// Then it is played again, with more time.
pub(crate) async fn in_time(mut play: impl AsyncFnMut(Duration) -> bool) {
    for patience in [300, 1500, 7500] {
        if play(Duration::from_millis(patience)).await {
            return;
        }
    }
    panic!("the client was late every time");
}

/// The same test on every road.
macro_rules! on_every_road {
    ($($(#[$attribute:meta])* async fn $name:ident($road:ident: Road) $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn on($road: Road) $body

            #[tokio::test]
            async fn our_listener() {
                on(Road::Own).await;
            }

            #[tokio::test]
            async fn hyper() {
                on(Road::Hyper).await;
            }

            #[tokio::test]
            async fn hyper_over_a_foreign_stream() {
                on(Road::Foreign).await;
            }
        }
    )*};
}
pub(crate) use on_every_road;
