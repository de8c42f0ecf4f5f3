//! An event that waits for the answers of many.
//!
//! One packet goes to everybody who is chosen, so its ack id is one, too. Ids of a socket's own
//! calls are even, those of [`Rounds`] are odd: an ack tells by its id who waits for it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use serde::de::DeserializeOwned;
use sio_cluster::Missing;
use sio_packet::{Args, ReadError, Value};

use crate::{
    clock, cluster,
    error::CallError,
    hearing::{Heard, Hearing},
    place::Place,
    socket::SocketId,
};

/// Rounds that may be open in a namespace at a time, as calls of a socket.
const MAX_OPEN: usize = sio_rooms::Acks::<()>::LIMIT;

/// A call to all sockets of a [`Target`](crate::Target), sent already; awaiting it yields the
/// [`Answers`].
///
/// It ends when everybody chosen has answered or gone, and when its time is over. Dropping it
/// forgets the answers.
#[must_use = "the answers come when this is awaited; to ask for none, emit"]
pub struct Calls<R> {
    asked: Result<Asked<R>, CallError>,
    sent: Instant,
    timeout: Duration,
    /// What clients of other nodes answer.
    elsewhere: Option<Hearing>,
}

/// What came of a call to many.
///
/// ```
/// # use sio_server::{Answers, CallError, Socket};
/// # async fn f(socket: Socket) -> Result<(), CallError> {
/// let answers: Answers<bool> = socket.to("jury").call("guilty?", &()).await?;
/// if !answers.is_complete() {
///     println!("{} say nothing", answers.missing.len());
/// }
/// let guilty = answers.into_values().iter().filter(|guilty| **guilty).count();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Answers<R> {
    /// Who answered what, in the order the answers came. Who is a socket's id; of sockets of other
    /// nodes it is empty, as nodes do not tell it.
    pub given: Vec<(String, R)>,
    /// Clients and nodes elsewhere in the cluster that have not answered.
    pub elsewhere: Missing,
    /// Who did not answer, and why: not in time, gone, or with something that is not an `R`.
    pub missing: Vec<(String, CallError)>,
}

impl<R> Answers<R> {
    /// Whether everybody answered.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.elsewhere.is_nobody()
    }

    /// The answers alone.
    pub fn into_values(self) -> Vec<R> {
        self.given.into_iter().map(|(_, answer)| answer).collect()
    }
}

impl<R: DeserializeOwned + Send + 'static> Calls<R> {
    pub(crate) fn new(asked: Result<Asked<R>, CallError>, timeout: Duration) -> Self {
        Self {
            asked,
            sent: clock::now(),
            timeout,
            elsewhere: None,
        }
    }

    /// Hears other nodes, too.
    pub(crate) fn elsewhere(mut self, answers: Hearing) -> Self {
        self.elsewhere = Some(answers);
        self
    }

    /// Waits until this long after the event was sent, instead of
    /// [`Config::ack_timeout`](crate::Config::ack_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Looks at each answer when it comes: `f` gets a socket's id and what it answered, or why it
    /// did not; once for each socket chosen on this node, and once for each answer of another.
    ///
    /// ```
    /// # use sio_server::{CallError, Socket};
    /// # async fn f(socket: Socket) -> Result<(), CallError> {
    /// let votes = socket.to("jury").call::<_, _, u32>("vote", &());
    /// votes.each(|id, vote| println!("{id}: {vote:?}")).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If nothing was sent: the payload could not be written, or too many calls are open.
    pub async fn each(self, f: impl FnMut(&str, Result<R, CallError>)) -> Result<(), CallError> {
        self.hear(Then::LetGo, f).await.map(|_| ())
    }

    async fn hear(
        self,
        then: Then,
        mut f: impl FnMut(&str, Result<R, CallError>),
    ) -> Result<Missing, CallError> {
        let deadline = clock::later(self.sent, self.timeout).into();
        let asked = self.asked?;
        let round = &asked.round;
        let mut elsewhere = Elsewhere::new(self.elsewhere);
        let mut over = false;
        while !(over && elsewhere.answers.is_none()) {
            tokio::select! {
                // What has come wins over a deadline that has passed.
                biased;
                heard = round.next(), if !over => match heard {
                    Some(Word { who, answer, bytes }) => {
                        f(who.as_ref(), answer);
                        if then == Then::LetGo {
                            round.let_go(bytes);
                        }
                    }
                    None => over = true,
                },
                heard = elsewhere.next(), if elsewhere.answers.is_some() => {
                    if let Some((args, weight)) = heard {
                        f("", cluster::read(args));
                        if then == Then::LetGo {
                            elsewhere.let_go(weight);
                        }
                    }
                }
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        for who in round.give_up() {
            f(who.as_ref(), Err(CallError::Timeout));
        }
        Ok(elsewhere.missing)
    }
}

impl<R: DeserializeOwned + Send + 'static> IntoFuture for Calls<R> {
    type Output = Result<Answers<R>, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut answers = Answers {
                given: Vec::new(),
                missing: Vec::new(),
                elsewhere: Missing::default(),
            };
            let elsewhere = self.hear(Then::Keep, |who, answer| match answer {
                Ok(answer) => answers.given.push((who.into(), answer)),
                Err(error) => answers.missing.push((who.into(), error)),
            });
            answers.elsewhere = elsewhere.await?;
            Ok(answers)
        })
    }
}

impl<R> fmt::Debug for Calls<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What becomes of answers that were heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Keep,
    LetGo,
}

/// What other nodes answer.
struct Elsewhere {
    answers: Option<Hearing>,
    /// Who has not answered, as far as is known by now.
    missing: Missing,
}

impl Elsewhere {
    fn new(answers: Option<Hearing>) -> Self {
        Self {
            answers,
            missing: Missing::default(),
        }
    }

    /// An ack is kept no longer.
    fn let_go(&self, weight: usize) {
        if let Some(answers) = &self.answers {
            answers.let_go(weight);
        }
    }

    /// The next ack of a client, and what it weighs; `None` for what is no ack.
    async fn next(&mut self) -> Option<(Vec<Value>, usize)> {
        let heard = self.answers.as_mut()?.recv().await;
        match heard {
            Some(Heard::Answer {
                answer: sio_cluster::Answer::Ack(args),
                weight,
                ..
            }) => {
                self.missing.acks = self.missing.acks.saturating_sub(1);
                return Some((args, weight));
            }
            Some(Heard::Answer {
                answer: sio_cluster::Answer::Clients(count),
                ..
            }) => {
                self.missing.acks = self.missing.acks.saturating_add(count);
            }
            Some(Heard::Answer { .. }) => {}
            Some(Heard::Done(missing)) => {
                self.missing = missing;
                self.answers = None;
            }
            None => self.answers = None,
        }
        None
    }
}

/// A round that is going on; it is closed by its drop.
pub(crate) struct Asked<R> {
    round: Arc<Round<R>>,
    of: Option<(Arc<Place>, u64)>,
}

impl<R> Asked<R> {
    /// How many are waited for, or have been heard already.
    pub(crate) fn len(&self) -> usize {
        let state = self.round.lock();
        state.silent.len()
            + state
                .heard
                .iter()
                .filter(|word| word.answer.is_ok())
                .count()
    }

    /// A round of nobody.
    pub(crate) fn nobody() -> Self {
        Self {
            round: Arc::new(Round::new(std::iter::empty(), 0)),
            of: None,
        }
    }
}

impl<R: DeserializeOwned + Send + 'static> Asked<R> {
    /// Opens a round for `sockets` and returns its ack id with it. What is told of them from now on
    /// is heard.
    pub(crate) fn open(
        place: &Arc<Place>,
        sockets: impl Iterator<Item = SocketId>,
        max_bytes: usize,
    ) -> Result<(Self, u64), CallError> {
        let round = Arc::new(Round::new(sockets, max_bytes));
        let number = place
            .rounds()
            .open(Arc::clone(&round) as Arc<dyn AnyRound>)?;
        let asked = Self {
            round,
            of: Some((Arc::clone(place), number)),
        };
        Ok((asked, number * 2 + 1))
    }

    /// A socket was not reached.
    pub(crate) fn missed(&self, who: &SocketId, why: CallError) {
        self.round.missed(who, why);
    }
}

impl<R> Drop for Asked<R> {
    fn drop(&mut self) {
        if let Some((place, number)) = &self.of {
            place.rounds().close(*number);
        }
    }
}

/// The rounds that are open in one namespace.
#[derive(Default)]
pub(crate) struct Rounds {
    /// How many are in the table: a socket that leaves looks at this only, nearly always.
    count: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<dyn AnyRound>, RandomState>,
}

impl Rounds {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, round: Arc<dyn AnyRound>) -> Result<u64, CallError> {
        let mut table = self.table();
        if table.open.len() >= MAX_OPEN {
            return Err(CallError::TooManyAcks);
        }
        let number = table.next;
        table.next += 1;
        table.open.insert(number, round);
        // Before the caller looks whether a socket has gone: one that goes either finds the round or
        // is found gone.
        self.count.store(table.open.len(), Ordering::SeqCst);
        Ok(number)
    }

    fn close(&self, number: u64) {
        let mut table = self.table();
        let closed = table.open.remove(&number);
        self.count.store(table.open.len(), Ordering::SeqCst);
        if table.open.is_empty() {
            table.open = HashMap::default();
        }
        drop(table);
        drop(closed);
    }

    /// An ack of this (odd) id, `bytes` long, came from a socket. One that nobody waits for is still
    /// checked. False if there is no room for it any more.
    pub(crate) fn answer(
        &self,
        id: u64,
        who: SocketId,
        args: Args<'_>,
        bytes: usize,
    ) -> Result<bool, ReadError> {
        let round = self.table().open.get(&(id / 2)).cloned();
        match round {
            Some(round) => round.answer(who, args, bytes),
            None => args.validate().map(|()| true),
        }
    }

    /// Answers that are waited for.
    pub(crate) fn pending(&self) -> usize {
        let open: Vec<_> = self.table().open.values().cloned().collect();
        open.iter().map(|round| round.pending()).sum()
    }

    /// A socket has left.
    pub(crate) fn gone(&self, who: &SocketId) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let open: Vec<_> = self.table().open.values().cloned().collect();
        for round in open {
            round.missed(who, CallError::Disconnected);
        }
    }
}

/// A round whose answers' type is not known here.
trait AnyRound: Send + Sync {
    fn answer(&self, who: SocketId, args: Args<'_>, bytes: usize) -> Result<bool, ReadError>;
    fn missed(&self, who: &SocketId, why: CallError);
    fn pending(&self) -> usize;
}

/// Who has been asked, and what has been heard of them.
struct Round<R>(Mutex<State<R>>);

struct State<R> {
    /// Also those whose answer is being read: whoever is taken out is told of in the same step.
    silent: HashSet<SocketId, RandomState>,
    heard: VecDeque<Word<R>>,
    /// Bytes of answers that are kept, as they came.
    bytes: usize,
    max_bytes: usize,
    waker: Option<Waker>,
}

/// What was heard of one who was asked.
struct Word<R> {
    who: SocketId,
    answer: Result<R, CallError>,
    /// How long it was when it came.
    bytes: usize,
}

impl<R> Round<R> {
    fn new(sockets: impl Iterator<Item = SocketId>, max_bytes: usize) -> Self {
        Self(Mutex::new(State {
            silent: sockets.collect(),
            heard: VecDeque::new(),
            bytes: 0,
            max_bytes,
            waker: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was heard next; `None` when nothing is to be heard any more.
    async fn next(&self) -> Option<Word<R>> {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(heard) = state.heard.pop_front() {
                return Poll::Ready(Some(heard));
            }
            if state.silent.is_empty() {
                return Poll::Ready(None);
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// An answer is kept no longer.
    fn let_go(&self, bytes: usize) {
        self.lock().bytes -= bytes;
    }

    /// Those who are silent, to whom nobody listens from now on.
    fn give_up(&self) -> Vec<SocketId> {
        self.lock().silent.drain().collect()
    }

    /// Tells what became of one who is silent; of anybody else it has been told already.
    fn tell(&self, who: &SocketId, answer: Result<R, CallError>, bytes: usize) {
        let mut state = self.lock();
        let Some(who) = state.silent.take(who) else {
            state.bytes -= bytes;
            drop(state);
            return; // `answer` is the application's: it is dropped without the lock.
        };
        state.heard.push_back(Word { who, answer, bytes });
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<R: DeserializeOwned + Send> AnyRound for Round<R> {
    fn answer(&self, who: SocketId, args: Args<'_>, bytes: usize) -> Result<bool, ReadError> {
        let room = {
            let mut state = self.lock();
            if !state.silent.contains(&who) {
                drop(state);
                return args.validate().map(|()| true);
            }
            let limit = state.max_bytes;
            let room = bytes <= limit.saturating_sub(state.bytes);
            if room {
                state.bytes += bytes;
            }
            room.then_some(()).ok_or(limit)
        };
        // Reading is the application's code: not under the lock, and whatever becomes of it is told.
        let mut report = Report {
            round: self,
            who,
            answer: Some(Err(CallError::Disconnected)),
            bytes: room.map_or(0, |()| bytes),
        };
        if let Err(limit) = room {
            report.answer = Some(Err(CallError::AnswersTooLong { limit }));
            return args.validate().map(|()| false);
        }
        match args.read() {
            Err(error) if error.is_malformed() => return Err(error),
            answer => report.answer = Some(answer.map_err(CallError::Answer)),
        }
        Ok(true)
    }

    fn missed(&self, who: &SocketId, why: CallError) {
        self.tell(who, Err(why), 0);
    }

    fn pending(&self) -> usize {
        self.lock().silent.len()
    }
}

/// Tells what was read, also if reading panicked.
struct Report<'a, R> {
    round: &'a Round<R>,
    who: SocketId,
    answer: Option<Result<R, CallError>>,
    bytes: usize,
}

impl<R> Drop for Report<'_, R> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            self.round.tell(&self.who, answer, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, task::Context, thread};

    use super::*;

    /// Those who answer and go at the same moment, on threads of their own, while somebody looks all the
    /// time.
    #[test]
    fn everybody_is_told_of_before_there_is_nobody_left() {
        const TIMES: usize = 2000;
        const MANY: usize = 3;
        let ids = ["a", "b", "c"].map(|id| SocketId::Session(id.into()));
        let start = Barrier::new(MANY + 1);
        let rounds: Vec<Round<u32>> = (0..TIMES)
            .map(|_| Round::new(ids.iter().cloned(), 100))
            .collect();
        let mut heard = vec![0; TIMES];
        thread::scope(|scope| {
            for (index, id) in ids.iter().enumerate() {
                let (start, rounds) = (&start, &rounds);
                scope.spawn(move || {
                    for round in rounds {
                        start.wait();
                        match index {
                            0 => round.missed(id, CallError::Disconnected),
                            _ => assert!(
                                round
                                    .answer(id.clone(), Args::ack("[1]", &mut []), 3)
                                    .unwrap()
                            ),
                        }
                    }
                });
            }
            for (round, heard) in rounds.iter().zip(&mut heard) {
                start.wait();
                let mut cx = Context::from_waker(Waker::noop());
                loop {
                    match std::pin::pin!(round.next()).poll(&mut cx) {
                        Poll::Ready(None) => break,
                        Poll::Ready(Some(word)) => {
                            round.let_go(word.bytes);
                            *heard += 1;
                        }
                        Poll::Pending => {}
                    }
                }
            }
        });
        assert!(heard.iter().all(|heard| *heard == MANY));
        assert!(rounds.iter().all(|round| round.lock().bytes == 0));
    }
}
