//! Events that the nodes of a cluster send to one another, which no client sees: Node's
//! `serverSideEmit`.

use std::{
    fmt,
    future::{Future, IntoFuture, poll_fn},
    marker::PhantomData,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Serialize, de::DeserializeOwned};
use sio_cluster::{Answer, Missing, Question};
use sio_packet::{Value, WriteError};
use tokio::sync::mpsc;

use crate::{
    cluster, error::CallError, event::Reply, hearing::Heard, hub::Address, io::Io, panic,
    socket::Responder,
};

/// A question to all other nodes; awaiting it sends it and yields the [`NodeAnswers`].
///
/// It ends when every other node has answered, and when its time is over.
#[must_use = "nothing is sent until this is awaited; to ask for no answers, `server_side_emit`"]
pub struct NodeCalls<R> {
    address: Address,
    event: Result<Vec<Value>, WriteError>,
    timeout: Option<Duration>,
    answers: PhantomData<fn() -> R>,
}

/// What came of a question to all other nodes.
///
/// A node is called by the name that [`ClusterStatus::peers`](crate::ClusterStatus::peers) has for it. Nodes
/// of other languages do not say who they are: their name is empty.
///
/// ```
/// # use std::time::Duration;
/// # use sio_server::{CallError, Io, NodeAnswers};
/// # async fn f(io: Io) -> Result<(), CallError> {
/// let counts = io.server_side_call("how many", &()).timeout(Duration::from_secs(1));
/// let counts: NodeAnswers<usize> = counts.await?;
/// if !counts.is_complete() {
///     println!("{:?} did not answer", counts.missing.nodes);
/// }
/// let elsewhere: usize = counts.into_values().iter().sum();
/// println!("{} clients", io.len() + elsewhere);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct NodeAnswers<R> {
    /// Nodes that have answered that they have no handler of this event, or that it failed.
    pub declined: Vec<String>,
    /// Who answered what, in the order the answers came.
    pub given: Vec<(String, R)>,
    /// Nodes that have not answered in time.
    pub missing: Missing,
    /// Who answered with something that is not an `R`.
    pub unread: Vec<(String, CallError)>,
}

impl<R> NodeAnswers<R> {
    /// Whether every other node has given an answer.
    pub fn is_complete(&self) -> bool {
        self.declined.is_empty() && self.unread.is_empty() && self.missing.is_nobody()
    }

    /// The answers alone.
    pub fn into_values(self) -> Vec<R> {
        self.given.into_iter().map(|(_, answer)| answer).collect()
    }
}

impl<R> NodeCalls<R> {
    pub(crate) fn new(address: Address, event: Result<Vec<Value>, WriteError>) -> Self {
        Self {
            address,
            event,
            timeout: None,
            answers: PhantomData,
        }
    }

    /// Waits this long, instead of as long as the broker is told to: 5 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<R: DeserializeOwned + Send + 'static> IntoFuture for NodeCalls<R> {
    type Output = Result<NodeAnswers<R>, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let event = self.event?;
            let mut answers = NodeAnswers {
                declined: Vec::new(),
                given: Vec::new(),
                missing: Missing::default(),
                unread: Vec::new(),
            };
            let cluster = self.address.hub().and_then(|hub| hub.cluster.clone());
            let Some(cluster) = cluster else {
                return Ok(answers);
            };
            let question = Question::ServerEmit(event);
            let mut heard = cluster.ask(self.address.namespace(), question, self.timeout);
            drop(cluster);
            while let Some(heard) = heard.recv().await {
                match heard {
                    Heard::Answer { from, answer, .. } => answers.hear(from, answer),
                    Heard::Done(missing) => {
                        answers.missing = missing;
                        break;
                    }
                }
            }
            Ok(answers)
        })
    }
}

impl<R: DeserializeOwned> NodeAnswers<R> {
    fn hear(&mut self, from: Option<String>, answer: Answer) {
        let from = from.unwrap_or_default();
        match answer {
            Answer::Declined => self.declined.push(from),
            Answer::ServerAck(value) => match read(value) {
                Ok(answer) => self.given.push((from, answer)),
                Err(error) => self.unread.push((from, error)),
            },
            _ => {}
        }
    }
}

impl<R> fmt::Debug for NodeCalls<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCalls")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// An answer as the one value that the formats have room for: several arguments are a list.
pub(crate) fn value<T: Serialize + ?Sized>(args: &T) -> Result<Value, WriteError> {
    let (mut values, _) = sio_cluster::event("", args)?;
    Ok(match values.len() {
        0 | 1 => Value::Null,
        2 => values.swap_remove(1),
        _ => Value::Array(values.split_off(1)),
    })
}

/// That value as an `R`, which is a tuple if several arguments were answered.
fn read<R: DeserializeOwned>(value: Value) -> Result<R, CallError> {
    match cluster::read(vec![value.clone()]) {
        Ok(answer) => Ok(answer),
        Err(error) => match value {
            Value::Array(list) => cluster::read(list).map_err(|_| error),
            _ => Err(error),
        },
    }
}

/// What an event of another node leads to.
pub(crate) trait NodeHandler: Send + Sync {
    fn call(self: Arc<Self>, io: Io, args: Vec<Value>) -> Handling;
}

/// A handler at work: its answer, unless it failed.
pub(crate) type Handling = Pin<Box<dyn Future<Output = Option<Value>> + Send>>;

/// A handler with the types of its event.
pub(crate) struct OnNodeEvent<F, T, A, Fut> {
    event: Box<str>,
    handler: F,
    types: Types<T, A, Fut>,
}

type Types<T, A, Fut> = PhantomData<fn(T) -> (A, Fut)>;

impl<F, T, A, Fut> OnNodeEvent<F, T, A, Fut> {
    pub(crate) fn new(event: Box<str>, handler: F) -> Self {
        Self {
            event,
            handler,
            types: PhantomData,
        }
    }
}

impl<F, T, A, Fut> NodeHandler for OnNodeEvent<F, T, A, Fut>
where
    F: FnOnce(Io, T) -> Fut + Clone + Send + Sync + 'static,
    T: DeserializeOwned + Send + 'static,
    A: 'static,
    Fut: Future<Output: Reply<A> + 'static> + Send + 'static,
{
    fn call(self: Arc<Self>, io: Io, args: Vec<Value>) -> Handling {
        Box::pin(async move {
            let event = &*self.event;
            let payload: T = match cluster::read(args) {
                Ok(payload) => payload,
                Err(error) => {
                    tracing::error!(event, %error, "an event of another node could not be read");
                    return None;
                }
            };
            let debug = io.is_debug();
            let mut work = pin!(self.handler.clone()(io, payload));
            let mut answer = None;
            let problem = match poll_fn(|cx| panic::poll(work.as_mut(), cx)).await {
                Ok(reply) => match reply.answer(Responder::for_node(event, &mut answer, debug)) {
                    Ok(()) => return answer,
                    Err(failed) => failed.0.cause.to_string(),
                },
                Err(panic) => panic.text,
            };
            tracing::error!(event, problem, "the handler of another node's event failed");
            None
        })
    }
}

/// Handlers that may be at work for other nodes at a time.
const MAX_AT_WORK: usize = 1024;

/// Runs the handlers of other nodes' events, begun in the order in which the events came.
pub(crate) struct Errands {
    waiting: mpsc::Sender<Errand>,
}

type Errand = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Errands {
    /// Runs them on the runtime of the server's caller, if it has one: what an application does there
    /// keeps neither clients nor the broker waiting.
    pub(crate) fn new(runtime: &tokio::runtime::Handle) -> Self {
        let (waiting, errands) = mpsc::channel(MAX_AT_WORK);
        runtime.spawn(run(errands));
        Self { waiting }
    }

    /// Runs a handler and tells what it answered. Returns whether there is room for it.
    pub(crate) fn begin(
        &self,
        handling: Handling,
        done: impl FnOnce(Option<Value>) + Send + 'static,
    ) -> bool {
        let errand = Box::pin(async move { done(handling.await) });
        self.waiting.try_send(errand).is_ok()
    }
}

async fn run(mut errands: mpsc::Receiver<Errand>) {
    let mut at_work = FuturesUnordered::new();
    loop {
        tokio::select! {
            errand = errands.recv(), if at_work.len() < MAX_AT_WORK => match errand {
                Some(errand) => at_work.push(errand),
                None => break,
            },
            Some(()) = at_work.next(), if !at_work.is_empty() => {}
        }
    }
    while at_work.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_arguments_are_one_value_on_the_way_and_several_again_afterwards() {
        let both = value(&(7, "seven")).unwrap();
        assert_eq!(both, Value::Array(vec![7.into(), "seven".into()]));
        assert_eq!(read::<(u32, String)>(both).unwrap(), (7, "seven".into()));
        let list = value(&vec![1, 2]).unwrap();
        assert_eq!(read::<Vec<u32>>(list).unwrap(), [1, 2]);
        assert_eq!(value(&()).unwrap(), Value::Null);
        read::<()>(Value::Null).unwrap();
        assert!(read::<u32>("no number".into()).is_err());
    }

    #[tokio::test]
    async fn handlers_begin_in_order_and_work_side_by_side() {
        let errands = Errands::new(&tokio::runtime::Handle::current());
        let (begun, mut order) = mpsc::unbounded_channel();
        let (done, mut all) = mpsc::unbounded_channel();
        let barrier = Arc::new(tokio::sync::Barrier::new(100));
        for number in 0..100 {
            let (begun, done, barrier) = (begun.clone(), done.clone(), Arc::clone(&barrier));
            let handling: Handling = Box::pin(async move {
                let _ = begun.send(number);
                barrier.wait().await;
                None
            });
            assert!(errands.begin(handling, move |_| {
                let _ = done.send(());
            }));
        }
        for number in 0..100 {
            assert_eq!(order.recv().await, Some(number));
            all.recv().await;
        }
    }
}
