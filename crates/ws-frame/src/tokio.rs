//! A face for tokio: [`WebSocket`] is a stream and a sink of owned [`Item`]s over anything that can be
//! read and written.
//!
//! It is the convenient way: it answers pings, keeps the closing handshake, and writes header and
//! payload together without copying a large payload. What a server with its own event loop saves by
//! lending messages instead of owning them, [`Connection`] alone can give.
//!
//! ```
//! use tokio::io::{AsyncRead, AsyncWrite};
//! use ws_frame::tokio::{Error, Item, WebSocket};
//! use ws_frame::{Connection, Limits, Role};
//!
//! /// Serves a stream whose opening handshake is done.
//! async fn echo(io: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Error> {
//!     let connection = Connection::new(Role::Server, Limits::default());
//!     let mut socket = WebSocket::server(io, connection);
//!     while let Some(item) = socket.next().await {
//!         match item? {
//!             item @ (Item::Text(_) | Item::Binary(_)) => socket.send(item).await?,
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//! # let (ours, theirs) = tokio::io::duplex(64);
//! # let connection = Connection::new(Role::Client, Limits::default());
//! # let mut client = WebSocket::client(theirs, connection, || [1, 2, 3, 4]);
//! # let call = async {
//! #     client.send(Item::Text("Hello".into())).await?;
//! #     assert_eq!(client.next().await.unwrap()?, Item::Text("Hello".into()));
//! #     client.close().await?;
//! #     while let Some(item) = client.next().await { item?; }
//! #     Ok::<_, Error>(())
//! # };
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async { tokio::try_join!(echo(ours), call) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/echo_server.rs` and `examples/echo_client.rs` are the same as programs, with the opening
//! handshake.
//!
//! # How to drive it
//!
//! Keep asking for the [next](WebSocket::next) item: pings and close frames are answered there and
//! nowhere else. The stream ends with `None` behind the closing handshake, and with one error if the
//! peer broke the protocol or went away without it. To close, [`close`](WebSocket::close) and read on
//! until the stream ends.
//!
//! There is no clock here but for the rate of control frames. A peer that is silent, does not read or
//! does not answer a close frame is waited for; put a timeout around it.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Instant;

use bytes::BytesMut;
use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use crate::face::{self, Outgoing};
pub use crate::face::{Error, Item};
use crate::{CloseCode, Connection, End, Role, State, mask, write_frame_as};

mod outbox;

use outbox::Outbox;

/// How much is read at once, unless a large frame is under way.
const READ: usize = 16 * 1024;

/// From here on the payload of a frame is read straight into the buffer of its message.
const LARGE: usize = 32 * 1024;

/// A [`Connection`] over a stream of tokio's, as a [`Stream`] and a [`Sink`].
///
/// # Memory
///
/// Idle, it owns no buffer. While bytes come in it has one of 16 KiB besides what [`Connection`] says
/// of itself. Going out, frames are gathered up to 32 KiB, and one larger payload waits behind them;
/// the sink is ready again once less is left. Pongs that a peer does not read are no more than fit in
/// there.
///
/// # Tasks
///
/// The two halves may be driven by two tasks (`futures::StreamExt::split`); each wakes the other.
pub struct WebSocket<T> {
    io: T,
    connection: Connection,
    keys: Box<dyn FnMut() -> [u8; 4] + Send>,
    /// What was read and not yet looked at.
    input: BytesMut,
    /// When time was last told to the connection.
    told: Instant,
    out: Outbox,
    /// Whether the stream below has been flushed behind the last write.
    flushed: bool,
    /// Who waits until something can be written: the stream, the sink.
    waiting: [Option<Waker>; 2],
    phase: Phase,
    /// The last item, if it is an error.
    end: Option<Error>,
}

/// Where the stream of items stands.
#[derive(Debug)]
enum Phase {
    Reading,
    /// What is due has to leave, then the items end.
    Ending,
    Ended,
}

/// Which half of a [`WebSocket`] is being polled.
#[derive(Clone, Copy)]
enum Half {
    Stream,
    Sink,
}

impl<T: AsyncRead + AsyncWrite + Unpin> WebSocket<T> {
    /// The server's side of `io`, straight after the opening handshake.
    ///
    /// # Panics
    ///
    /// If the connection is a client's.
    pub fn server(io: T, connection: Connection) -> Self {
        assert!(
            connection.role() == Role::Server,
            "a client masks its frames"
        );
        Self::new(io, connection, Box::new(|| [0; 4]))
    }

    /// The client's side of `io`, straight after the opening handshake; `keys` gives a fresh masking
    /// key for each frame, which must not be predictable (§5.3).
    ///
    /// # Panics
    ///
    /// If the connection is a server's.
    pub fn client(
        io: T,
        connection: Connection,
        keys: impl FnMut() -> [u8; 4] + Send + 'static,
    ) -> Self {
        assert!(connection.role() == Role::Client, "a server masks nothing");
        Self::new(io, connection, Box::new(keys))
    }

    fn new(io: T, connection: Connection, keys: Box<dyn FnMut() -> [u8; 4] + Send>) -> Self {
        Self {
            io,
            connection,
            keys,
            input: BytesMut::new(),
            told: Instant::now(),
            out: Outbox::default(),
            flushed: true,
            waiting: [None, None],
            phase: Phase::Reading,
            end: None,
        }
    }

    /// Begins with bytes that were read behind the head of the opening handshake.
    #[must_use]
    pub fn with_input(mut self, input: &[u8]) -> Self {
        self.input.extend_from_slice(input);
        self
    }

    /// The connection behind it.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The stream below.
    pub const fn get_ref(&self) -> &T {
        &self.io
    }

    /// The next item; `None` behind the closing handshake, or behind an error. May be dropped while it
    /// waits.
    ///
    /// What was [fed](Self::feed) leaves at the latest when this has to wait.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol (it has been told, if it reads), the stream failed, or it ended
    /// without a close frame. There is no item behind an error.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Sends `item` and waits until the stream has taken it.
    ///
    /// [`Item::Close`] begins the closing handshake, and does nothing if it has begun already.
    ///
    /// # Errors
    ///
    /// The stream failed, the closing handshake has begun, or a control frame is too long.
    pub async fn send(&mut self, item: Item) -> Result<(), Error> {
        self.feed(item).await?;
        self.flush().await
    }

    /// Puts `item` behind what waits to be written, once there is room: to send several at once.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn feed(&mut self, item: Item) -> Result<(), Error> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        self.start(item)
    }

    /// Waits until the stream has taken all that was fed.
    ///
    /// # Errors
    ///
    /// The stream failed.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_drain(Half::Sink, cx))
            .await
            .map_err(Error::Io)
    }

    /// Begins the closing handshake with code 1000, unless it has begun, and waits until the stream has
    /// taken the close frame. Read on until the stream ends: the peer's close frame is still to come.
    ///
    /// # Errors
    ///
    /// The stream failed.
    pub async fn close(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_goodbye(cx)).await
    }

    fn start(&mut self, item: Item) -> Result<(), Error> {
        let Outgoing::Frame(mut header, mut payload) = face::send(&mut self.connection, item)?
        else {
            return Ok(());
        };
        header.len = payload.len() as u64;
        header.mask = match self.connection.role() {
            Role::Client => Some((self.keys)()),
            Role::Server => None,
        };
        if let Some(head) = self.out.room(&header) {
            write_frame_as(head, header, |out| out.extend_from_slice(&payload));
            return Ok(());
        }
        if let Some(key) = header.mask {
            // In place, if nobody else has the payload.
            let mut own = payload
                .try_into_mut()
                .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            mask(&mut own, key);
            payload = own.freeze();
        }
        self.out.push(header, payload);
        Ok(())
    }

    /// Lets what is due from the connection follow what waits already.
    fn transmit(&mut self) {
        if let Some(out) = self.out.open() {
            match self.connection.role() {
                Role::Client => self.connection.poll_transmit_masked(out, &mut self.keys),
                Role::Server => self.connection.poll_transmit(out),
            };
        }
    }

    /// Writes until nothing waits.
    fn poll_drain(&mut self, half: Half, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The stream below knows one waker, and this may be the other half's turn.
        let other = self.waiting[1 - half as usize].take();
        let polled = match &other {
            Some(other) if !other.will_wake(cx.waker()) => {
                let both = Waker::from(Arc::new(Both(cx.waker().clone(), other.clone())));
                self.poll_write_all(&mut Context::from_waker(&both))
            }
            _ => self.poll_write_all(cx),
        };
        match &polled {
            Poll::Pending => {
                self.waiting[half as usize] = Some(cx.waker().clone());
                self.waiting[1 - half as usize] = other;
            }
            Poll::Ready(_) => {
                self.waiting[half as usize] = None;
                if let Some(other) = other.filter(|other| !other.will_wake(cx.waker())) {
                    other.wake();
                }
            }
        }
        polled
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.transmit();
            if self.out.is_empty() {
                break;
            }
            self.flushed = false;
            ready!(self.out.poll_write(Pin::new(&mut self.io), cx))?;
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Room for one more item.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.out.is_full() {
            ready!(self.poll_drain(Half::Sink, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.connection.close(Some(CloseCode::NORMAL.into()));
        ready!(self.poll_drain(Half::Sink, cx))?;
        if self.connection.is_finished() {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and says whether the stream goes on.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // Text that was read straight in would have to be checked once more to be owned.
        let read = if self.connection.want() >= LARGE
            && !self.connection.wants_text()
            && let Some(mut space) = self.connection.space()
        {
            pin!(self.io.read_buf(&mut space)).poll(cx)
        } else {
            self.input.reserve(READ);
            pin!(self.io.read_buf(&mut self.input)).poll(cx)
        };
        if read.is_pending() {
            // Nothing is ever left in it here, and an idle connection owns no buffer.
            self.input = BytesMut::new();
        }
        let count = ready!(read)?;
        let now = Instant::now();
        self.connection
            .handle_elapsed(now.saturating_duration_since(self.told));
        self.told = now;
        Poll::Ready(Ok(count > 0))
    }

    /// The stream below failed: there is no way to say anything.
    fn fail(&mut self, error: io::Error) {
        self.end = Some(error.into());
        self.phase = Phase::Ended;
    }

    /// Takes leave: what is due leaves, then our half of the stream ends.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(Half::Stream, cx))?;
        if self.connection.is_finished() {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            // What has come already is read, or the system would answer it with a reset, which can
            // overtake our close frame. It is not waited for.
            let mut sink = [0; 1024];
            for _ in 0..64 {
                match pin!(self.io.read(&mut sink)).poll(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    _ => break,
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<T> {
    type Item = Result<Item, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match this.phase {
                Phase::Reading => {}
                Phase::Ending => {
                    // Whether the peer got our last words does not change how this ends.
                    let _ = ready!(this.poll_leave(cx));
                    this.phase = Phase::Ended;
                    continue;
                }
                Phase::Ended => return Poll::Ready(this.end.take().map(Err)),
            }

            match face::receive(&mut this.connection, &mut this.input) {
                Ok(Some(item)) => {
                    // An answer leaves even if nobody asks for the next item.
                    if item.is_control()
                        && let Poll::Ready(Err(error)) = this.poll_drain(Half::Stream, cx)
                    {
                        this.fail(error);
                    }
                    return Poll::Ready(Some(Ok(item)));
                }
                Ok(None) => match this.connection.state() {
                    State::Open | State::CloseSent => {}
                    _ => {
                        this.phase = Phase::Ending;
                        continue;
                    }
                },
                Err(fault) => {
                    // It is said once the close frame has left, or the caller might drop us first.
                    this.end = Some(fault.into());
                    this.phase = Phase::Ending;
                    continue;
                }
            }

            if let Poll::Ready(Err(error)) = this.poll_drain(Half::Stream, cx) {
                this.fail(error);
                continue;
            }
            match ready!(this.poll_read(cx)) {
                Ok(true) => {}
                Ok(false) => {
                    this.phase = Phase::Ended;
                    return Poll::Ready(match this.connection.receive_eof() {
                        End::Clean => None,
                        End::Abnormal => Some(Err(Error::Abnormal)),
                    });
                }
                Err(error) => this.fail(error),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> FusedStream for WebSocket<T> {
    fn is_terminated(&self) -> bool {
        matches!(self.phase, Phase::Ended) && self.end.is_none()
    }
}

/// Closing is [`close`](WebSocket::close).
impl<T: AsyncRead + AsyncWrite + Unpin> Sink<Item> for WebSocket<T> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: Item) -> Result<(), Error> {
        self.get_mut().start(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().poll_drain(Half::Sink, cx).map_err(Error::Io)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().poll_goodbye(cx)
    }
}

impl<T: fmt::Debug> fmt::Debug for WebSocket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("io", &self.io)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// Wakes the tasks of both halves.
struct Both(Waker, Waker);

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
        self.1.wake_by_ref();
    }
}
