//! Event names with their types, and what a handler may answer.
//!
//! An [`Event`] is a constant that carries the payload and the ack type, so that a handler, an
//! emit and a call are checked against each other by the compiler. A plain `&str` works
//! everywhere an [`Event`] does; its types then come from the closure or from the call.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};

use crate::{failure::Problem, socket::Responder};

/// The ack type of an event that does not fix one: every answer will do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Any {}

/// The name of an event together with the type of its payload `T` and of its ack `A`.
///
/// ```
/// use sio_server::{Ack, Event, Server};
///
/// const JOIN: Event<String, usize> = Event::new("join");
///
/// let server = Server::new().on(JOIN, async |socket, room| {
///     socket.join(&room);
///     Ack(socket.rooms().len())
/// });
/// ```
///
/// A tuple as `T` stands for several arguments, `()` for none.
pub struct Event<T: ?Sized, A = Any> {
    name: &'static str,
    types: PhantomData<fn(&T) -> A>,
}

impl<T: ?Sized, A> Event<T, A> {
    /// The event called `name`.
    ///
    /// # Panics
    ///
    /// If the protocol reserves the name: `connect`, `connect_error`, `disconnect`, `disconnecting`,
    /// `newListener`, `removeListener`. For a constant this is an error of the compiler's.
    pub const fn new(name: &'static str) -> Self {
        assert!(
            !sio_packet::is_reserved(name),
            "this name is reserved; there are on_connect, on_disconnect and on_disconnecting"
        );
        Self {
            name,
            types: PhantomData,
        }
    }

    /// The name as it goes over the wire.
    ///
    /// ```
    /// const JOIN: sio_server::Event<String, usize> = sio_server::Event::new("join");
    /// assert_eq!(JOIN.name(), "join");
    /// ```
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T: ?Sized, A> Clone for Event<T, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized, A> Copy for Event<T, A> {}

impl<T: ?Sized, A> fmt::Debug for Event<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Event").field(&self.name).finish()
    }
}

/// What can name an event: an [`Event`], or any string.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name an event with the payload `{T}`",
    note = "an event is named by an `Event`, a `&str` or a `&String`"
)]
pub trait EventName<T: ?Sized, A>: sealed::Name {
    /// The name as it goes over the wire.
    ///
    /// ```
    /// use sio_server::{Event, EventName};
    ///
    /// /// Whatever may be emitted may be passed on.
    /// fn loud<T: ?Sized, A>(event: impl EventName<T, A>) -> String {
    ///     event.event_name().to_uppercase()
    /// }
    /// const JOIN: Event<String> = Event::new("join");
    /// assert_eq!(loud(JOIN), "JOIN");
    /// assert_eq!(loud::<str, _>("leave"), "LEAVE");
    /// ```
    fn event_name(&self) -> &str;
}

impl<T: ?Sized, A> EventName<T, A> for Event<T, A> {
    fn event_name(&self) -> &str {
        self.name
    }
}

impl<T: ?Sized> EventName<T, Any> for &str {
    fn event_name(&self) -> &str {
        self
    }
}

impl<T: ?Sized> EventName<T, Any> for &String {
    fn event_name(&self) -> &str {
        self
    }
}

impl<T: ?Sized> EventName<T, Any> for &Cow<'_, str> {
    fn event_name(&self) -> &str {
        self
    }
}

/// The answer to an event that was sent with an ack. A tuple is several arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<T>(pub T);

/// What a handler of an event with ack type `A` may return.
///
/// - `()` acknowledges with no arguments, if the event does not fix an ack type;
/// - [`Ack(value)`](Ack) acknowledges with `value`;
/// - a `Result` of either: an error is a failure, see
///   [`Namespace::on_error`](crate::Namespace::on_error); where nobody looks at failures it is logged,
///   and nothing is acknowledged. A [`Refuse`](crate::Refuse) is for the client: it becomes the ack,
///   `{ message, data }`.
///
/// A client that did not ask for an ack gets none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no answer to an event with the ack type `{A}`",
    label = "the handler of this event returns `{Self}`",
    note = "return `Ack(value)`, or a `Result` of it whose error can be displayed",
    note = "the ack type `Any` is any that can be serialized, or `()` for none"
)]
pub trait Reply<A>: sealed::Reply + Send {
    #[doc(hidden)]
    fn answer(self, to: Responder<'_>) -> Result<(), Failed>;
}

/// An error of a handler, on its way to `on_error`.
#[doc(hidden)]
pub struct Failed(pub(crate) Problem);

impl Reply<Any> for () {
    fn answer(self, to: Responder<'_>) -> Result<(), Failed> {
        to.send(&());
        Ok(())
    }
}

impl<T: Serialize + Send> Reply<Any> for Ack<T> {
    fn answer(self, to: Responder<'_>) -> Result<(), Failed> {
        to.send(&self.0);
        Ok(())
    }
}

impl<A: Serialize + Send> Reply<A> for Ack<A> {
    fn answer(self, to: Responder<'_>) -> Result<(), Failed> {
        to.send(&self.0);
        Ok(())
    }
}

impl<A, R: Reply<A>, E: fmt::Display + Send + 'static> Reply<A> for Result<R, E> {
    fn answer(self, to: Responder<'_>) -> Result<(), Failed> {
        match self {
            Ok(reply) => reply.answer(to),
            Err(error) => Err(Failed(Problem::from_error(error, to.is_debug()))),
        }
    }
}

/// What a call of an event with ack type `Self` may be read as.
#[diagnostic::on_unimplemented(
    message = "the answer of this call cannot be read as `{R}`",
    label = "this event has the ack type `{Self}`",
    note = "the ack type `Any` is read as whatever implements `serde::Deserialize`: say what, as in \
            `let name: String = socket.call(…).await?`",
    note = "any other ack type is read as itself"
)]
pub trait Answer<R>: sealed::Answer<R> {}

// The messages above say more than that the bounds of these are not met.
#[diagnostic::do_not_recommend]
impl<R: DeserializeOwned> Answer<R> for Any {}
#[diagnostic::do_not_recommend]
impl<A: DeserializeOwned> Answer<A> for A {}

#[expect(
    unnameable_types,
    reason = "sealing a trait is its name's whole purpose"
)]
mod sealed {
    use super::{Ack, Any, Cow, DeserializeOwned, Event};

    pub trait Name {}
    impl<T: ?Sized, A> Name for Event<T, A> {}
    impl Name for &str {}
    impl Name for &String {}
    impl Name for &Cow<'_, str> {}

    pub trait Reply {}
    impl Reply for () {}
    impl<T> Reply for Ack<T> {}
    impl<R: Reply, E> Reply for Result<R, E> {}

    pub trait Answer<R> {}
    impl<R: DeserializeOwned> Answer<R> for Any {}
    impl<A: DeserializeOwned> Answer<A> for A {}
}
