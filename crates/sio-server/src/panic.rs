//! Panics of the application's own code: each is seen in the log, and ends what it happened in, not
//! the connection, whose other packets and namespaces have nothing to do with it.

use std::{
    any::Any,
    cell::Cell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    notice::Quoted,
    trace::{Trace, text},
};

/// A panic that has been caught.
pub(crate) struct Caught {
    pub(crate) text: String,
    /// In debug mode, where it came from.
    pub(crate) trace: Option<Box<Trace>>,
}

/// Runs code of the application's; `None` if it panicked. `what` it was is for the log.
///
/// What `f` works on is its own, or is left as it is: nobody sees it half done.
pub(crate) fn contain<R>(what: &'static str, f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f))
        .map_err(|panic| report(what, &*panic))
        .ok()
}

/// Says that something of the application's panicked; in debug mode with the place and the stack.
#[cold]
fn report(what: &'static str, panic: &(dyn Any + Send)) {
    let text = text(panic);
    tracing::error!(panic = %Quoted(text), "{what} panicked");
    if let Some(trace) = Trace::of(text) {
        let (location, stack) = (trace.location(), trace.backtrace());
        eprintln!("{what} panicked: {text}\n  at {location}\n{stack}");
        LAST.set(Some(format!("{what} panicked: {text}\n  at {location}")));
    }
}

thread_local! {
    /// What was reported last on this thread, in debug mode.
    static LAST: Cell<Option<String>> = const { Cell::new(None) };
}

/// What [`contain`] has reported since it was asked last, in debug mode: for whoever may show it to the
/// client.
pub(crate) fn last_report() -> Option<String> {
    LAST.take()
}

/// Polls a future of the application's; what it said if it panicked, and it is over then.
pub(crate) fn poll<F: Future + ?Sized>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Caught>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => {
            let text = text(&*panic).to_owned();
            let trace = Trace::of(&text);
            Poll::Ready(Err(Caught { text, trace }))
        }
    }
}
