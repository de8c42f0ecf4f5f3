//! A client in a namespace, as a test speaks through it.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use sio_packet::{Attachments, write_ack, write_disconnect, write_event};

use super::{
    connect::Auth,
    error::{End, Error},
    line::{Line, State},
    received::Received,
    seat::Seat,
};
use crate::event::{Ack, Answer, EventName};

/// A client in a namespace, from [`TestServer::connect`](super::TestServer::connect).
///
/// What the server sends is taken in the background. When the last client of a connection is
/// dropped, the connection is cut.
///
/// ```
/// use sio_server::{Ack, Server, StartError, testing::{End, Error, TestServer}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let server = Server::new()
///     .on("ask me", async |socket, ()| {
///         let answer: String = socket.call("name", &()).await.unwrap_or_default();
///         socket.emit("hello", &answer);
///     })
///     .on("put me out", async |socket, ()| socket.disconnect());
/// let server = TestServer::new(server)?;
/// let ann = server.connect("/").await?;
/// assert_eq!(ann.namespace(), "/");
///
/// ann.on("name", |()| Ack("Ann")); // or by hand:
/// ann.emit("ask me", &());
/// let name: String = ann.expect("hello").await?;
/// assert_eq!(name, "Ann");
///
/// ann.emit("put me out", &());
/// assert_eq!(ann.ended().await?, End::PutOut);
/// assert!(!ann.is_connected());
/// # Ok(())
/// # }
/// ```
pub struct Client {
    line: Arc<Line>,
    namespace: String,
    id: String,
}

impl Client {
    /// Joins a namespace and waits for the server's word about it.
    pub(super) async fn enter(
        line: Arc<Line>,
        namespace: String,
        packet: &[u8],
    ) -> Result<Self, Error> {
        let seats = &line.shared.state;
        seats
            .lock()
            .seats
            .insert(namespace.clone(), Seat::default());
        line.shared.send(packet, &Attachments::new());
        let waited_for = format!("the answer to joining {namespace}");
        let verdict = |state: &mut State| state.seats.get_mut(&namespace)?.verdict.take();
        match line.shared.wait(&waited_for, verdict).await? {
            Ok(id) => Ok(Self {
                line,
                namespace,
                id,
            }),
            Err((message, data)) => Err(Error::Refused {
                namespace,
                message,
                data,
            }),
        }
    }

    /// Joins another namespace on the same connection.
    ///
    /// ```
    /// use serde_json::json;
    /// use sio_server::{Namespace, Server, testing::{Error, TestServer}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let server = Server::new().mount(Namespace::open("/news")).mount(Namespace::open("/chat"));
    /// let server = TestServer::new(server)?;
    /// let first = server.connect("/news").await?;
    /// let second = first.join_with("/chat", &json!({ "name": "Ann" })).await?;
    /// assert_eq!(server.io().connections(), 1);
    /// second.disconnect().await?; // It leaves the namespace; the connection stays.
    /// assert!(first.is_connected());
    /// first.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the namespace refuses it.
    pub async fn join(&self, namespace: &str) -> Result<Self, Error> {
        self.join_as(namespace, Auth::default()).await
    }

    /// The same with what the client says about itself, an object.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the namespace refuses it.
    pub async fn join_with(&self, namespace: &str, auth: &impl Serialize) -> Result<Self, Error> {
        self.join_as(namespace, Auth::new(namespace, auth)).await
    }

    async fn join_as(&self, namespace: &str, auth: Auth) -> Result<Self, Error> {
        let packet = auth.packet(namespace)?;
        Self::enter(Arc::clone(&self.line), namespace.to_owned(), &packet).await
    }

    /// The socket's id, which the server knows as [`Socket::id`](crate::Socket::id).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The namespace it joined.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether nothing has ended it so far.
    pub fn is_connected(&self) -> bool {
        self.end(&self.line.shared.state.lock()).is_none()
    }

    /// Sends an event.
    ///
    /// # Panics
    ///
    /// If the payload cannot be written, or the name is reserved.
    #[track_caller]
    pub fn emit<T: Serialize + ?Sized, A>(&self, event: impl EventName<T, A>, payload: &T) {
        self.send(event.event_name(), None, payload)
            .expect("the payload can be written, and the name is not reserved");
    }

    /// Sends an event and waits for the server's answer.
    ///
    /// # Errors
    ///
    /// If the connection ends or the time is over before, and if the answer is no `R`.
    pub async fn call<T: Serialize + ?Sized, A: Answer<R>, R: DeserializeOwned>(
        &self,
        event: impl EventName<T, A>,
        payload: &T,
    ) -> Result<R, Error> {
        let event = event.event_name();
        let shared = &self.line.shared;
        let id = {
            let mut state = shared.state.lock();
            state.last_id += 1;
            let id = state.last_id;
            if let Some(seat) = state.seats.get_mut(&self.namespace) {
                seat.calls.insert(id, None);
            }
            id
        };
        self.send(event, Some(id), payload)?;
        let what = format!("the answer to {event:?}");
        let answer = self.wait(&what, |seat| {
            seat.calls.get(&id)?.as_ref()?;
            seat.calls.remove(&id)?
        });
        let mut answer = answer.await?;
        let text = answer.data.clone();
        answer
            .read()
            .map_err(|error| Error::Payload { what, text, error })
    }

    /// Answers an event from now on, whether or not the server asks for it; the next handler of
    /// the same event replaces it. What cannot be read as `T` is not answered, and waits with
    /// [`received`](Self::received).
    pub fn on<T, A, R>(
        &self,
        event: impl EventName<T, A>,
        mut handler: impl FnMut(T) -> Ack<R> + Send + 'static,
    ) where
        T: DeserializeOwned,
        R: Serialize,
    {
        let namespace = self.namespace.clone();
        let handler = move |received: &Received, out: &mut Vec<u8>, bytes: &mut Attachments| {
            let Ok(payload) = received.read() else {
                return false;
            };
            let Ack(answer) = handler(payload);
            match received.id {
                Some(id) => write_ack(out, &namespace, id, &answer, bytes).is_ok(),
                None => true,
            }
        };
        let mut state = self.line.shared.state.lock();
        if let Some(seat) = state.seats.get_mut(&self.namespace) {
            let name = event.event_name().to_owned();
            seat.handlers.insert(name, Box::new(handler));
        }
    }

    /// Answers an event that came before.
    ///
    /// ```
    /// use sio_server::{Server, testing::{Error, TestServer}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let server = TestServer::new(Server::new())?;
    /// let client = server.connect("/").await?;
    /// let io = server.io().clone();
    /// let asked = tokio::spawn(async move { io.everyone().call::<_, _, u32>("age", "yours").await });
    /// let question = loop {
    ///     tokio::task::yield_now().await;
    ///     if let Some(received) = client.received().pop() {
    ///         break received;
    ///     }
    /// };
    /// assert!(question.event() == "age" && question.wants_ack());
    /// assert_eq!(question.read::<String>().ok().as_deref(), Some("yours"));
    /// client.ack(&question, &42);
    /// assert_eq!(asked.await.unwrap().unwrap().into_values(), [42]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the server does not ask for an answer, or it cannot be written.
    #[track_caller]
    pub fn ack<T: Serialize + ?Sized>(&self, received: &Received, answer: &T) {
        let id = received.id.expect("the server asks for an answer");
        let (mut packet, mut attachments) = (Vec::new(), Attachments::new());
        write_ack(&mut packet, &self.namespace, id, answer, &mut attachments)
            .expect("the answer can be written");
        self.line.shared.send(&packet, &attachments);
    }

    /// Waits for an event and reads it. Others that came before it stay where they are.
    ///
    /// # Errors
    ///
    /// If the connection ends or the time is over before, which tells what came instead, and if the
    /// arguments are no `T`.
    pub async fn expect<T: DeserializeOwned, A>(
        &self,
        event: impl EventName<T, A>,
    ) -> Result<T, Error> {
        let event = event.event_name();
        let what = format!("the event {event:?}");
        let received = self.wait(&what, |seat| {
            let at = seat.inbox.iter().position(|came| came.event == event)?;
            seat.inbox.remove(at)
        });
        let received = received.await?;
        let text = received.to_string();
        received
            .read()
            .map_err(|error| Error::Payload { what, text, error })
    }

    /// All events that have come so far and were not read, the oldest first; they are taken away.
    ///
    /// What a handler emits before it answers a call comes before the answer: so after a
    /// [`call`](Self::call) one knows that nothing else came.
    pub fn received(&self) -> Vec<Received> {
        let mut state = self.line.shared.state.lock();
        let seat = state.seats.get_mut(&self.namespace);
        seat.map_or_else(Vec::new, |seat| seat.inbox.drain(..).collect())
    }

    /// Moves its connection from [polling](super::Connect::polling) to a WebSocket, as browsers do soon after
    /// they have connected. What is sent and received meanwhile keeps its order. Nothing happens to a
    /// connection that is a WebSocket.
    ///
    /// ```
    /// use sio_server::{Ack, Server, testing::{Error, TestServer}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let server = Server::new().on("how", async |socket, ()| Ack(socket.transport().as_str()));
    /// let server = TestServer::new(server)?;
    /// let client = server.connect("/").polling().await?;
    /// client.upgrade().await?;
    /// assert_eq!(client.call::<_, _, String>("how", &()).await?, "websocket");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotOpened`] if the WebSocket is refused, and if the connection ends or the time is over before:
    /// that of a client that [stalls](Self::stall) is.
    pub async fn upgrade(&self) -> Result<(), Error> {
        self.line.upgrade().await
    }

    /// Leaves the namespace, and waits until the server has read that. The connection stays, for
    /// other namespaces.
    ///
    /// # Errors
    ///
    /// If the connection has ended before, or the time is over.
    pub async fn disconnect(&self) -> Result<(), Error> {
        let shared = &self.line.shared;
        if let Some(seat) = shared.state.lock().seats.get_mut(&self.namespace) {
            seat.end.get_or_insert(End::Left);
        }
        let mut packet = Vec::new();
        write_disconnect(&mut packet, &self.namespace);
        shared.send(&packet, &Attachments::new());
        shared.sync("the server's reading the disconnect").await
    }

    /// Closes the connection with a close frame, for all its namespaces, and waits for the server's
    /// own.
    ///
    /// # Errors
    ///
    /// If the time is over before.
    pub async fn close(&self) -> Result<(), Error> {
        let shared = &self.line.shared;
        shared.close();
        let ended = |state: &mut State| state.end.clone();
        shared.wait("the server's close frame", ended).await?;
        Ok(())
    }

    /// Waits until the server ends it, and tells how.
    ///
    /// # Errors
    ///
    /// If the time is over before.
    pub async fn ended(&self) -> Result<End, Error> {
        let end = |state: &mut State| self.end(state).map(Ok);
        let shared = &self.line.shared;
        let namespace = Some(&*self.namespace);
        shared.wait_or_end("the end", namespace, end).await
    }

    /// Cuts the line without a word, for all namespaces of the connection.
    ///
    /// ```
    /// use sio_server::{Server, testing::{Error, TestServer}};
    /// use tokio::sync::mpsc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let (tell, mut told) = mpsc::unbounded_channel();
    /// let server = Server::new().on_disconnect(async move |_socket, reason| {
    ///     let _ = tell.send(reason.as_str());
    /// });
    /// let server = TestServer::new(server)?;
    /// server.connect("/").await?.drop_connection();
    /// assert_eq!(told.recv().await, Some("transport close"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn drop_connection(&self) {
        self.line.cut();
    }

    /// Reads nothing any more, heartbeats neither, until it is [resumed](Self::resume).
    ///
    /// ```
    /// use sio_server::{Server, testing::{Error, TestServer}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let server = TestServer::new(Server::new())?;
    /// let slow = server.connect("/").await?;
    /// slow.stall();
    /// let long = "x".repeat(200_000);
    /// server.io().emit("long", &long);
    /// assert!(server.io().queues().longest > 100_000);
    /// slow.resume();
    /// assert_eq!(slow.expect::<String, _>("long").await?, long);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stall(&self) {
        self.line.stall(true);
    }

    /// Reads again.
    pub fn resume(&self) {
        self.line.stall(false);
    }

    fn send<T: Serialize + ?Sized>(
        &self,
        event: &str,
        id: Option<u64>,
        payload: &T,
    ) -> Result<(), sio_packet::WriteError> {
        let (mut packet, mut bytes) = (Vec::new(), Attachments::new());
        write_event(&mut packet, &self.namespace, id, event, payload, &mut bytes)?;
        self.line.shared.send(&packet, &bytes);
        Ok(())
    }

    async fn wait<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&mut Seat) -> Option<T>,
    ) -> Result<T, Error> {
        let look = |state: &mut State| {
            let found = state.seats.get_mut(&self.namespace).and_then(&mut look);
            found.map(Ok).or_else(|| self.end(state).map(Err))
        };
        let namespace = Some(&*self.namespace);
        self.line.shared.wait_or_end(what, namespace, look).await
    }

    fn end(&self, state: &State) -> Option<End> {
        let seat = state.seats.get(&self.namespace);
        seat.and_then(|seat| seat.end.clone())
            .or_else(|| state.end.clone())
    }
}
