//! An event that waits for room.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, IntoFuture, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use eio_transport::{Parcel, Reason};
use serde::Serialize;
use sio_packet::WriteError;
use sio_rooms::Selection;

use crate::{
    clock,
    config::SlowClients,
    conn::{Form, Mode},
    error::EmitError,
    onlookers,
    parsers::translate,
    place::Origin,
    socket::{AnySocket, Core},
    turn,
};

/// An event that has been written; awaiting it sends it, as soon as there is room. From
/// [`Socket::emit_within`](crate::Socket::emit_within).
///
/// What is dropped before it was awaited to its end is not sent.
#[must_use = "the event is sent when this is awaited; emit does not wait"]
pub struct Emitting {
    socket: Arc<dyn AnySocket>,
    /// The frames, without an offset.
    parcel: Result<Arc<Parcel>, WriteError>,
    begun: Instant,
    max: Duration,
}

impl Emitting {
    pub(crate) fn new<T: Serialize + ?Sized>(
        socket: Arc<dyn AnySocket>,
        max: Duration,
        event: &str,
        payload: &T,
    ) -> Self {
        let parcel = encode(socket.core(), event, payload);
        Self {
            socket,
            parcel: parcel.map(Arc::new),
            begun: clock::now(),
            max,
        }
    }
}

impl IntoFuture for Emitting {
    type Output = Result<(), EmitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let parcel = self.parcel?;
            let core = self.socket.core();
            let deadline = clock::later(self.begun, self.max).into();
            loop {
                let room = wait_for_room(core, &parcel);
                match tokio::time::timeout_at(deadline, room).await {
                    Ok(true) => {}
                    Ok(false) => return Err(EmitError::Disconnected),
                    Err(_) => {
                        give_up(core);
                        return Err(EmitError::SlowClient(self.max));
                    }
                }
                if send(core, &parcel) {
                    return Ok(());
                }
                if core.is_gone() {
                    return Err(EmitError::Disconnected);
                }
                // Somebody else was quicker.
            }
        })
    }
}

impl fmt::Debug for Emitting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitting")
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

fn encode<T: Serialize + ?Sized>(
    core: &Core,
    event: &str,
    payload: &T,
) -> Result<Parcel, WriteError> {
    let place = &core.place;
    if !place.taps().is_empty() {
        onlookers::show(place, Some(core.id.as_ref()), event, payload);
    }
    let parcel = turn::with_encoder(|frames| {
        frames.event(place.name(), None, event, payload)?;
        core.config().check_length(frames.len())?;
        Ok::<_, WriteError>(frames.parcel())
    })?;
    let conn = &core.conn;
    match conn.speech().parser(&conn.hub.parsers) {
        // With recovery it is translated when it has its offset.
        Some(parser) if place.memory().is_none() => translate(parser, &parcel),
        _ => Ok(parcel),
    }
}

/// True when there is room, false if there never will be.
async fn wait_for_room(core: &Core, parcel: &Arc<Parcel>) -> bool {
    poll_fn(|cx| {
        if core.is_gone() {
            return Poll::Ready(false);
        }
        let conn = &core.conn;
        conn.settle_fans();
        conn.lock().poll_room(parcel, &conn.hub.config, cx.waker())
    })
    .await
}

/// Sends it, if there is still room.
fn send(core: &Core, parcel: &Arc<Parcel>) -> bool {
    let conn = &core.conn;
    if core.place.memory().is_none() {
        // In its own turn it leaves with the turn, which is paused when that becomes a lot.
        let said = conn.say_frames::<Infallible>(Mode::Refusable, |frames| {
            frames.bytes.extend_from_slice(parcel.wire());
            Ok(())
        });
        return said == Ok(true);
    }
    // What is remembered must not be refused: if somebody was quicker, the client is too slow.
    let who = Selection::everyone().to(core.id.as_ref());
    let mode = core.place.mode(Mode::Reliable, None);
    let emitted = core
        .place
        .emit(&who, mode, Form::default(), Origin::Here, |frames| {
            frames.bytes.extend_from_slice(parcel.wire());
            Ok(())
        });
    emitted.is_ok()
}

/// The client has made no room in time.
fn give_up(core: &Core) {
    if core.place.slow_clients() != SlowClients::Refuse {
        core.conn.lock().overflow(Reason::SlowConsumer);
    }
}
