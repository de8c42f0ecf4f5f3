//! The handlers of a namespace, and the way of an event to them.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    hash::{BuildHasher, Hash},
    marker::PhantomData,
    pin::{Pin, pin},
    sync::Arc,
};

use foldhash::fast::RandomState;
use serde::de::DeserializeOwned;
use sio_packet::{Args, ReadError};

use crate::{
    debug,
    directory::Directory,
    error::{DisconnectReason, Refuse},
    event::{Any, Reply},
    failure::{Cause, Failure, Problem},
    incoming::Incoming,
    io::Io,
    lane::{Job, Order, Slot, Task},
    nodes::NodeHandler,
    notice::Quoted,
    panic,
    socket::{Responder, Socket},
    spare::Spare,
};

/// The handlers of a namespace.
pub(crate) struct Table<D> {
    pub(crate) events: Directory<Arc<dyn Handler<D>>>,
    /// What sees each event before its handler does, and may refuse it.
    pub(crate) watchers: Vec<Watcher<D>>,
    /// For events that have no handler.
    pub(crate) unhandled: Option<Arc<dyn CatchAll<D>>>,
    pub(crate) connect: Option<Box<dyn Fn(Socket<D>) -> Task + Send + Sync>>,
    #[expect(clippy::type_complexity, reason = "it is spelled out once, here")]
    pub(crate) disconnect: Option<Box<dyn Fn(Socket<D>, DisconnectReason) -> Task + Send + Sync>>,
    /// Sees a socket that is about to leave.
    pub(crate) leaving: Option<Leaving<D>>,
    pub(crate) error: Option<OnError<D>>,
    /// For events of other nodes.
    pub(crate) nodes: HashMap<Box<str>, Arc<dyn NodeHandler>, RandomState>,
}

/// A middleware or catch-all.
pub(crate) type Watcher<D> = Box<dyn Fn(Socket<D>, Incoming) -> Watching + Send + Sync>;
pub(crate) type Watching = Pin<Box<dyn Future<Output = Result<(), Problem>> + Send>>;

pub(crate) type Leaving<D> = Box<dyn Fn(&Socket<D>, DisconnectReason) + Send + Sync>;

/// The handler of failures; its answer goes to the ack.
pub(crate) type OnError<D> = Box<dyn Fn(Socket<D>, Failure, Option<u64>) -> Task + Send + Sync>;

/// The same for all namespaces.
pub(crate) type OnErrorDefault = Box<dyn Fn(Answering, Failure) -> Task + Send + Sync>;

/// What one event leads to.
pub(crate) trait Handler<D>: Send + Sync {
    /// Reads the arguments and returns the handler, ready to run.
    fn call(
        self: Arc<Self>,
        socket: Socket<D>,
        args: Args<'_>,
        ack: Option<u64>,
    ) -> Result<Job, Unread<D>>;

    /// Reads the arguments and offers the handler. Returns the bytes that are pending now because of it.
    fn run(
        self: Arc<Self>,
        socket: Socket<D>,
        args: Args<'_>,
        ack: Option<u64>,
        slot: &mut Slot<'_, '_>,
    ) -> Result<usize, Unread<D>>;
}

/// Arguments that could not be read, and for whom.
pub(crate) struct Unread<D> {
    socket: Socket<D>,
    error: ReadError,
}

impl<D: Send + Sync + 'static> Unread<D> {
    /// A payload of another type than the handler's is a failure; a malformed one is the peer's fault.
    #[cold]
    pub(crate) fn settle(self, event: &str, ack: Option<u64>) -> Result<Option<Job>, ReadError> {
        let Self { socket, error } = self;
        if error.is_malformed() {
            return Err(error);
        }
        Ok(failed(&socket, event, ack, Cause::Payload(error).into()).map(Job::serial))
    }
}

/// What an event without a handler leads to.
pub(crate) trait CatchAll<D>: Send + Sync {
    fn call(self: Arc<Self>, socket: Socket<D>, incoming: Incoming, ack: Option<u64>) -> Task;
}

impl<D> Table<D> {
    pub(crate) fn new() -> Self {
        Self {
            events: Directory::new(),
            watchers: Vec::new(),
            unhandled: None,
            connect: None,
            disconnect: None,
            leaving: None,
            error: None,
            nodes: HashMap::default(),
        }
    }

    /// The events that have handlers.
    #[cfg(feature = "schema")]
    pub(crate) fn handled(&self) -> Vec<&str> {
        self.events.names().collect()
    }
}

impl<D: Send + Sync + 'static> Table<D> {
    /// The handler of an event that nobody looks at but its handler.
    #[inline]
    pub(crate) fn only_handler(&self, event: &str) -> Option<Arc<dyn Handler<D>>> {
        if !self.watchers.is_empty() {
            return None;
        }
        self.events.get(event).cloned()
    }

    /// Any other event.
    #[cold]
    pub(crate) fn other(
        &self,
        socket: &Socket<D>,
        name: &str,
        args: Args<'_>,
        ack: Option<u64>,
    ) -> Result<Option<Job>, ReadError> {
        if !self.watchers.is_empty() || socket.has_listeners() {
            return self.watched(socket, name, &args, ack);
        }
        let Some(unhandled) = &self.unhandled else {
            args.validate()?;
            let mode = socket.core().conn.hub.debug;
            if mode.is_on() {
                debug::show_unhandled(mode, socket, name);
            }
            return Ok(None);
        };
        let incoming = Incoming::read(name, args, ack.is_some())?;
        let task = Arc::clone(unhandled).call(socket.clone(), incoming, ack);
        Ok(Some(Job::serial(task)))
    }

    /// An event that several look at: middlewares and catch-alls in their order, the namespace's
    /// handler, the socket's own listeners. The first handler answers.
    fn watched(
        &self,
        socket: &Socket<D>,
        name: &str,
        args: &Args<'_>,
        ack: Option<u64>,
    ) -> Result<Option<Job>, ReadError> {
        let mut copies = Vec::new();
        let incoming = Incoming::read(name, args.copy(&mut copies), ack.is_some())?;
        let own = self.events.get(name).cloned();
        let mut order = Order::Serial;
        let mut tasks = Vec::new();
        let mut answers = ack;
        for handler in own.into_iter().chain(socket.listeners(name)) {
            let ack = answers.take();
            match handler.call(socket.clone(), args.copy(&mut copies), ack) {
                Ok(job) => {
                    if tasks.is_empty() {
                        order = job.order;
                    }
                    tasks.push(job.task);
                }
                Err(unread) if unread.error.is_malformed() => return Err(unread.error),
                Err(Unread { error, .. }) => {
                    tasks.extend(failed(socket, name, ack, Cause::Payload(error).into()));
                }
            }
        }
        if tasks.is_empty()
            && let Some(unhandled) = &self.unhandled
        {
            tasks.push(Arc::clone(unhandled).call(socket.clone(), incoming.clone(), ack));
        }
        let catch_alls = socket.catch_alls();
        let socket = socket.clone();
        let task: Task = Box::pin(async move {
            for watcher in &socket.table().watchers {
                let mut watching = watcher(socket.clone(), incoming.clone());
                let watched = poll_fn(|cx| panic::poll(watching.as_mut(), cx)).await;
                let watched = watched.unwrap_or_else(|panic| Err(panic.into()));
                if let Err(problem) = watched {
                    if let Some(task) = failed(&socket, incoming.event(), ack, problem) {
                        task.await;
                    }
                    return;
                }
            }
            for catch_all in catch_alls {
                let mut watching = catch_all(socket.clone(), incoming.clone());
                // What fails in it has been told, and keeps the event from nobody.
                let _ = poll_fn(|cx| panic::poll(watching.as_mut(), cx)).await;
            }
            for task in tasks {
                task.await;
            }
        });
        Ok(Some(Job { task, order }))
    }
}

/// A handler failed: who is to know of it is told. Returns what is left to be done.
#[cold]
pub(crate) fn failed<D: Send + Sync + 'static>(
    socket: &Socket<D>,
    event: &str,
    ack: Option<u64>,
    problem: Problem,
) -> Option<Task> {
    let core = socket.core();
    let failure = Failure {
        event: event.into(),
        namespace: core.place.name().into(),
        socket: core.id.as_ref().into(),
        io: Io::from_hub(Arc::clone(&core.conn.hub)).of(core.place.name()),
        problem,
    };
    let mode = core.conn.hub.debug;
    if mode.is_on() {
        debug::show(mode, socket, &failure, ack);
    }
    if let Some(on_error) = &socket.table().error {
        return Some(on_error(socket.clone(), failure, ack));
    }
    if let Some(on_error) = &core.conn.hub.on_error {
        let answering = Answering {
            socket: socket.clone().into_any(),
            event: event.into(),
            ack,
        };
        return Some(on_error(answering, failure));
    }
    let refused = match &failure.problem.cause {
        Cause::Refused(refuse) => Some(refuse),
        _ => None,
    };
    match refused {
        Some(refuse) => {
            Responder::new(core, event, ack).send(refuse);
            let (event, refuse) = (Quoted(event), refuse.to_string());
            let refuse = Quoted(&refuse);
            let namespace = socket.namespace();
            tracing::debug!(%event, namespace, %refuse, "an event was refused");
        }
        None => {
            let (event, failure) = (Quoted(event), failure.to_string());
            let failure = Quoted(&failure);
            let namespace = socket.namespace();
            tracing::error!(%event, namespace, %failure, "a handler failed");
        }
    }
    None
}

/// Where the answer of a handler goes that does not know the type of its socket's data.
pub(crate) struct Answering {
    socket: Arc<dyn crate::socket::AnySocket>,
    event: Box<str>,
    ack: Option<u64>,
}

impl Answering {
    pub(crate) fn responder(&self) -> Responder<'_> {
        Responder::new(self.socket.core(), &self.event, self.ack)
    }
}

/// Runs `work`, answers with what it returns, and sees to its failure.
///
/// A macro, not a function: the future of `work` lies in the caller's, once.
macro_rules! run {
    ($socket:expr, $event:expr, $ack:expr, $work:expr) => {{
        let (socket, event, ack) = (&$socket, &$event, $ack);
        let mut work = pin!($work);
        let problem = match poll_fn(|cx| panic::poll(work.as_mut(), cx)).await {
            Ok(reply) => match reply.answer(Responder::new(socket.core(), event, ack)) {
                Ok(()) => None,
                Err(failed) => Some(failed.0),
            },
            Err(panic) => Some(Problem::from(panic)),
        };
        if let Some(problem) = problem
            && let Some(task) = failed(socket, event, ack, problem)
        {
            task.await;
        }
    }};
}

/// When a handler runs that is not one of a row.
pub(crate) trait Policy<T>: Send + Sync {
    fn order(&self, payload: &T) -> Order;
}

/// One at a time.
pub(crate) struct Serial;

impl<T> Policy<T> for Serial {
    #[inline]
    fn order(&self, _payload: &T) -> Order {
        Order::Serial
    }
}

/// Beside all others.
pub(crate) struct Concurrent;

impl<T> Policy<T> for Concurrent {
    fn order(&self, _payload: &T) -> Order {
        Order::Concurrent
    }
}

/// One at a time of those with the same key.
pub(crate) struct Keyed<F> {
    pub(crate) key: F,
    pub(crate) hasher: RandomState,
}

impl<T, K: Hash, F: Fn(&T) -> K + Send + Sync> Policy<T> for Keyed<F> {
    fn order(&self, payload: &T) -> Order {
        let hash = self.hasher.hash_one((self.key)(payload));
        Order::Keyed((hash >> 32) as u32)
    }
}

/// A handler with the types of its event.
pub(crate) struct OnEvent<F, P, T, A, Fut> {
    event: Box<str>,
    handler: F,
    policy: P,
    spare: Spare,
    types: Types<T, A, Fut>,
}

type Types<T, A, Fut> = PhantomData<fn(T) -> (A, Fut)>;

impl<F, P, T, A, Fut> OnEvent<F, P, T, A, Fut> {
    pub(crate) fn new(event: Box<str>, handler: F, policy: P) -> Self {
        Self {
            event,
            handler,
            policy,
            spare: Spare::new(),
            types: PhantomData,
        }
    }
}

impl<F, P, T, A, Fut> OnEvent<F, P, T, A, Fut>
where
    F: Clone + Send + Sync + 'static,
    P: Policy<T> + 'static,
    T: Send + 'static,
    A: 'static,
    Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
{
    #[expect(
        clippy::manual_async_fn,
        reason = "the future of an `async fn` keeps its arguments beside what is made of them"
    )]
    fn work<D: Send + Sync + 'static>(
        self: Arc<Self>,
        socket: Socket<D>,
        payload: T,
        ack: Option<u64>,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        F: FnOnce(Socket<D>, T) -> Fut,
    {
        async move {
            let handler = self.handler.clone();
            run!(socket, self.event, ack, handler(socket.clone(), payload));
        }
    }
}

impl<D, F, P, T, A, Fut> Handler<D> for OnEvent<F, P, T, A, Fut>
where
    D: Send + Sync + 'static,
    F: FnOnce(Socket<D>, T) -> Fut + Clone + Send + Sync + 'static,
    P: Policy<T> + 'static,
    T: DeserializeOwned + Send + 'static,
    A: 'static,
    Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
{
    fn call(
        self: Arc<Self>,
        socket: Socket<D>,
        args: Args<'_>,
        ack: Option<u64>,
    ) -> Result<Job, Unread<D>> {
        let payload: T = match args.read() {
            Ok(payload) => payload,
            Err(error) => return Err(Unread { socket, error }),
        };
        let order = self.policy.order(&payload);
        let task = Box::pin(self.work(socket, payload, ack));
        Ok(Job { task, order })
    }

    fn run(
        self: Arc<Self>,
        socket: Socket<D>,
        args: Args<'_>,
        ack: Option<u64>,
        slot: &mut Slot<'_, '_>,
    ) -> Result<usize, Unread<D>> {
        let payload: T = match args.read() {
            Ok(payload) => payload,
            Err(error) => return Err(Unread { socket, error }),
        };
        let (order, spare) = (self.policy.order(&payload), self.spare);
        Ok(slot.run(self.work(socket, payload, ack), order, spare))
    }
}

/// A handler of all that has none, with its types.
pub(crate) struct OnUnhandled<F, Fut> {
    handler: F,
    types: PhantomData<fn() -> Fut>,
}

impl<F, Fut> OnUnhandled<F, Fut> {
    pub(crate) fn new(handler: F) -> Self {
        Self {
            handler,
            types: PhantomData,
        }
    }
}

impl<D, F, Fut> CatchAll<D> for OnUnhandled<F, Fut>
where
    D: Send + Sync + 'static,
    F: FnOnce(Socket<D>, Incoming) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
{
    fn call(self: Arc<Self>, socket: Socket<D>, incoming: Incoming, ack: Option<u64>) -> Task {
        Box::pin(async move {
            let handler = self.handler.clone();
            let event: Box<str> = incoming.event().into();
            run!(socket, event, ack, handler(socket.clone(), incoming));
        })
    }
}

/// The handler of a socket's coming or going, which nobody waits for an answer of.
pub(crate) fn lifecycle<D, Fut>(
    socket: Socket<D>,
    event: &'static str,
    start: impl FnOnce(Socket<D>) -> Fut + Send + 'static,
) -> Task
where
    D: Send + Sync + 'static,
    Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
{
    Box::pin(async move {
        run!(socket, *event, None, start(socket.clone()));
    })
}

/// Answers what the handler of a failure returned. If that failed, too, it is logged.
pub(crate) fn answer_failure(reply: impl Reply<Any>, to: Responder<'_>) {
    let event = to.event().to_owned();
    if let Err(failed) = reply.answer(to) {
        let (event, cause) = (Quoted(&event), failed.0.cause.to_string());
        tracing::error!(%event, error = %Quoted(&cause), "the handler of failures failed");
    }
}

/// A middleware as a watcher.
pub(crate) fn filter<D, Fut>(
    check: impl FnOnce(Socket<D>, Incoming) -> Fut + Clone + Send + Sync + 'static,
) -> Watcher<D>
where
    D: Send + Sync + 'static,
    Fut: Future<Output = Result<(), Refuse>> + Send + 'static,
{
    Box::new(move |socket, incoming| {
        let check = check.clone();
        Box::pin(async move {
            let checked = check(socket, incoming).await;
            checked.map_err(|refuse| Cause::Refused(refuse).into())
        })
    })
}

/// A catch-all as a watcher.
pub(crate) fn any<D, Fut>(
    look: impl FnOnce(Socket<D>, Incoming) -> Fut + Clone + Send + Sync + 'static,
) -> Watcher<D>
where
    D: Send + Sync + 'static,
    Fut: Future<Output: Reply<Any> + 'static> + Send + 'static,
{
    Box::new(move |socket, incoming| {
        let look = look.clone();
        Box::pin(async move {
            let event: Box<str> = incoming.event().into();
            // What it answers goes nowhere; what fails in it does not keep the event from its
            // handler.
            run!(socket, event, None, look(socket.clone(), incoming));
            Ok(())
        })
    })
}
