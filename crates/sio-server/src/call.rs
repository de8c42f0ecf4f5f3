//! An event that waits for its answer.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use sio_packet::Args;
use tokio::sync::oneshot;

use crate::{
    clock,
    error::CallError,
    socket::{AckText, AnySocket, Asked},
};

/// A call that has been sent; awaiting it yields the answer.
///
/// Dropping it forgets the answer. If the client goes, it ends at once with
/// [`CallError::Disconnected`].
#[must_use = "the answer comes when this is awaited; to ask for none, emit"]
pub struct Call<R> {
    asked: Result<(Pending, oneshot::Receiver<AckText>), CallError>,
    sent: Instant,
    timeout: Duration,
    answer: PhantomData<fn() -> R>,
}

impl<R> Call<R> {
    pub(crate) fn new(
        socket: Arc<dyn AnySocket>,
        asked: Result<Asked, CallError>,
        timeout: Duration,
    ) -> Self {
        let asked = asked.map(|Asked { id, answered }| (Pending { socket, id }, answered));
        Self {
            asked,
            sent: clock::now(),
            timeout,
            answer: PhantomData,
        }
    }

    /// Waits until this long after the event was sent, instead of
    /// [`Config::ack_timeout`](crate::Config::ack_timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn f(socket: sio_server::Socket) {
    /// let name = socket.call("your-name", &()).timeout(Duration::from_secs(5));
    /// let name: String = name.await.unwrap_or_else(|_| "nobody".into());
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<R: DeserializeOwned + Send + 'static> IntoFuture for Call<R> {
    type Output = Result<R, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (pending, answered) = self.asked?;
            // The answer may be there already: it wins over a deadline that has passed.
            let deadline = clock::later(self.sent, self.timeout);
            let mut answer = match tokio::time::timeout_at(deadline.into(), answered).await {
                Err(_) => return Err(CallError::Timeout),
                Ok(Err(_)) => return Err(CallError::Disconnected),
                Ok(Ok(answer)) => answer,
            };
            drop(pending);
            Args::ack(&answer.data, &mut answer.attachments)
                .read()
                .map_err(CallError::Answer)
        })
    }
}

/// Forgets the ack when the answer is not waited for any longer.
struct Pending {
    socket: Arc<dyn AnySocket>,
    id: u64,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.socket.core().forget_ack(self.id);
    }
}
