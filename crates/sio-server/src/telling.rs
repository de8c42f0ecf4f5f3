//! An event to many that waits for room in what the broker is to be told.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::{Duration, Instant},
};

use serde::Serialize;
use sio_packet::{Value, WriteError};

use crate::{
    clock,
    error::EmitError,
    member,
    target::{Sent, Target},
};

/// An event that has been written; awaiting it sends it, as soon as there is room. From
/// [`Target::emit_within`].
///
/// What is dropped before it was awaited to its end is not sent.
#[must_use = "the event is sent when this is awaited; emit does not wait"]
pub struct Telling {
    target: Target,
    /// The event as values, its name first, and what they weigh.
    event: Result<(Vec<Value>, usize), WriteError>,
    begun: Instant,
    max: Duration,
}

impl Telling {
    pub(crate) fn new<T: Serialize + ?Sized>(
        target: Target,
        max: Duration,
        event: &str,
        payload: &T,
    ) -> Self {
        Self {
            target,
            event: sio_cluster::event(event, payload),
            begun: clock::now(),
            max,
        }
    }
}

impl IntoFuture for Telling {
    type Output = Result<Sent, EmitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (data, weight) = self.event?;
            let mut reserved = None;
            if let Some((_, cluster)) = self.target.elsewhere() {
                let deadline = (self.begun + self.max).into();
                let room = cluster.reserve_when_ready(weight);
                let room = tokio::time::timeout_at(deadline, room).await;
                reserved = Some(room.map_err(|_| EmitError::Broker(self.max))?);
            }
            let (event, args) = member::split(data);
            Ok(self.target.send(&event, &args, &mut reserved)?)
        })
    }
}

impl fmt::Debug for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telling")
            .field("target", &self.target)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}
