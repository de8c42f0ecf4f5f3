//! Panics of the application's own code: each is seen in the log, and ends what it happened in, not
//! the connection, whose other packets and namespaces have nothing to do with it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs code of the application's; `None` if it panicked. `what` it was is for the log.
///
/// What `f` works on is its own, or is left as it is: nobody sees it half done.
pub(crate) fn contain<R>(what: &'static str, f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f))
        .map_err(|panic| {
            let message = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("of a type that is not text");
            tracing::error!(panic = message, "{what} panicked");
        })
        .ok()
}
