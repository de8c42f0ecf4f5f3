//! The waker of a connection that hyper serves, deaf to what hyper says when it needs nothing.
//!
//! Whoever takes a piece of a request's body wakes the connection, for it to read the next. That is right
//! while there is a next, and costs a poll of the task for nothing behind the last: of a small POST's all
//! that it costs in hyper about a fifth. So a body calls through here, and a call behind its last piece is
//! not heard. Calls of others, from other threads among them, always are.

use std::{
    cell::Cell,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

thread_local! {
    /// The bell that a body is about to ring on this thread, and whether it has.
    static HELD: Cell<(usize, bool)> = const { Cell::new((0, false)) };
}

/// Wakes the task of one connection.
pub(crate) struct Bell(Waker);

impl Bell {
    /// `task` is what wakes it; it stays the same.
    pub(crate) fn new(task: &Waker) -> Arc<Self> {
        Arc::new(Self(task.clone()))
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let address = self.address();
        match HELD.get() {
            (held, _) if held == address => HELD.set((held, true)),
            _ => self.0.wake_by_ref(),
        }
    }
}

/// A body of hyper's, of a connection with a bell.
pub(crate) struct Quiet<B = Incoming> {
    body: B,
    /// The address of the bell; 0 where there is none.
    bell: usize,
}

impl<B> Quiet<B> {
    pub(crate) fn new(body: B, bell: Option<&Bell>) -> Self {
        let bell = bell.map_or(0, Bell::address);
        Self { body, bell }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Quiet<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        HELD.set((self.bell, false));
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let (_, rung) = HELD.replace((0, false));
        let is_last = matches!(polled, Poll::Ready(Some(Ok(_)))) && self.body.is_end_stream();
        if rung && !is_last {
            cx.waker().wake_by_ref();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So many pieces, each of which rings as hyper does; `others` ring, too, while one is taken.
    struct Pieces {
        left: usize,
        rings: Waker,
        others: Option<Waker>,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            self.left -= 1;
            self.rings.wake_by_ref();
            if let Some(other) = self.others.take() {
                thread::spawn(move || other.wake()).join().unwrap();
            }
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }

        fn is_end_stream(&self) -> bool {
            self.left == 0
        }
    }

    #[test]
    fn a_body_wakes_its_connection_but_for_the_last_piece_and_others_always_do() {
        let task = Arc::new(Task::default());
        let woken = || task.0.load(Ordering::Relaxed);
        let bell = Bell::new(&Arc::clone(&task).into());
        let rings = Waker::from(Arc::clone(&bell));
        let cx = &mut Context::from_waker(&rings);
        let pieces = |others| Pieces {
            left: 2,
            rings: rings.clone(),
            others,
        };
        let mut body = Quiet::new(pieces(None), Some(&bell));
        let mut take = || Pin::new(&mut body).poll_frame(cx).is_ready();
        assert!(take());
        assert_eq!(woken(), 1, "there is more to read");
        assert!(take());
        assert_eq!(woken(), 1, "there is nothing more");
        assert!(take());
        rings.wake_by_ref();
        assert_eq!(woken(), 2, "it is heard again");

        let mut body = Quiet::new(pieces(Some(rings.clone())), Some(&bell));
        body.body.left = 1;
        assert!(Pin::new(&mut body).poll_frame(cx).is_ready());
        assert_eq!(woken(), 3, "of another thread's");

        let mut body = Quiet::new(pieces(None), None);
        body.body.left = 1;
        assert!(Pin::new(&mut body).poll_frame(cx).is_ready());
        assert_eq!(woken(), 4, "without a bell all are");
    }
}
