//! The task of a session that polls, in a place where the requests that bring something find it.
//!
//! What a POST says is for the session's task. To wake that one, and to be woken by it when it is done,
//! would be two polls of tasks more for each POST, with what is allocated for the asking and the answer.
//! So who has read a body has it handled in a turn of the session's task within its own, if that task
//! is at rest; a turn is the same whoever lets it have one.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

use eio_transport::payload::Body;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    conn::{Command, Conn},
    front::Front,
    turn,
};

/// Where the task of a session is.
pub(crate) struct Turns(Mutex<Place>);

enum Place {
    AtRest(Box<Front>),
    /// Somebody lets it have its turn.
    AtWork {
        /// Others wanted to meanwhile: it has to be woken.
        missed: bool,
    },
    Gone,
}

/// Spawns the task of a session.
pub(crate) fn spawn(conn: &Conn, front: Front) {
    let turns = Arc::new(Turns(Mutex::new(Place::AtRest(Box::new(front)))));
    conn.set_turns(Arc::clone(&turns));
    tokio::spawn(Task(turns));
}

/// Has a body read by the task of its session: in this call if that can be, as far as the handlers keep
/// up. What is returned says when it has been read to its end, if it has not been yet.
///
/// `shard` is where this thread belongs: the handlers of a session run on one thread.
pub(crate) fn read(conn: &Conn, shard: u16, body: Body) -> Option<oneshot::Receiver<()>> {
    // Within the turn of another session this thread's reply buffer is taken.
    if usize::from(shard) == conn.shard_index()
        && turn::is_over()
        && let Some((turns, task)) = conn.turns()
        && let Some(mut taken) = turns.take(&task)
    {
        return taken.read(body);
    }
    let (done, read) = oneshot::channel();
    conn.command(Command::Body(body, done));
    Some(read)
}

impl Turns {
    /// The task, if it is at rest. `task` wakes it.
    fn take<'t>(&'t self, task: &'t Waker) -> Option<Taken<'t>> {
        let mut place = self.0.lock();
        match &mut *place {
            Place::AtRest(_) => {}
            Place::AtWork { missed } => {
                *missed = true;
                return None;
            }
            Place::Gone => return None,
        }
        let work = Place::AtWork { missed: false };
        match std::mem::replace(&mut *place, work) {
            Place::AtRest(front) => Some(Taken {
                turns: self,
                task,
                front: Some(front),
            }),
            _ => None,
        }
    }

    fn is_gone(&self) -> bool {
        matches!(*self.0.lock(), Place::Gone)
    }
}

/// The task at work, until it is dropped.
struct Taken<'t> {
    turns: &'t Turns,
    task: &'t Waker,
    /// None once it is over.
    front: Option<Box<Front>>,
}

impl Taken<'_> {
    /// Lets the task have one turn, as `turn` does it.
    fn turn(&mut self, turn: impl FnOnce(Pin<&mut Front>, &mut Context<'_>) -> Poll<()>) {
        if let Some(front) = &mut self.front
            && turn(Pin::new(front), &mut Context::from_waker(self.task)).is_ready()
        {
            self.front = None;
        }
    }

    fn read(&mut self, body: Body) -> Option<oneshot::Receiver<()>> {
        self.turn(|front, cx| front.get_mut().read_body(body, cx));
        self.front.as_mut()?.reading()
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // A turn that panicked was the last.
        let front = self.front.take().filter(|_| !thread::panicking());
        let mut place = self.turns.0.lock();
        // Its task may have been dropped meanwhile, with its runtime.
        let (next, over) = match (&*place, front) {
            (Place::AtWork { .. }, Some(front)) => (Place::AtRest(front), None),
            (_, front) => (Place::Gone, front),
        };
        let before = std::mem::replace(&mut *place, next);
        let is_awaited = !matches!(before, Place::AtWork { missed: false });
        let is_gone = matches!(*place, Place::Gone);
        drop(place);
        drop(over);
        if is_awaited || is_gone {
            self.task.wake_by_ref();
        }
    }
}

/// The task itself.
struct Task(Arc<Turns>);

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut taken) = self.0.take(cx.waker()) else {
            return match self.0.is_gone() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            };
        };
        taken.turn(Front::poll);
        match taken.front {
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Task {
    /// Whoever is at work meanwhile finds that the task has gone.
    fn drop(&mut self) {
        let place = std::mem::replace(&mut *self.0.0.lock(), Place::Gone);
        drop(place);
    }
}
