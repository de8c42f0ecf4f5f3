//! One WebSocket connection, as a state machine over bytes: RFC 6455 §5.4, §5.5 and §7.

use std::time::Duration;

use bytes::BufMut as _;
use bytes::buf::Limit;

use crate::control::Control;
use crate::reader::{Data, Extensions, Found, Reader};
use crate::{CloseFrame, End, Kind, Limits, Message, OpCode, ProtocolError, State, text};

/// Which side of the connection this is, §5.1: a client masks what it sends, a server does not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// The side that opened the connection.
    Client,
    /// The side that accepted it.
    Server,
}

/// One WebSocket connection from the end of its opening handshake on, in either [`Role`].
///
/// It holds no socket and no clock. Its methods come in four families, and stand in this order:
///
/// - **A**, facts: [`state`](Self::state), [`is_finished`](Self::is_finished),
///   [`want`](Self::want), [`held`](Self::held), [`is_at_rest`](Self::is_at_rest);
/// - **B**, what happened: [`receive`](Self::receive) and its like with the bytes that were read,
///   [`receive_eof`](Self::receive_eof), [`handle_elapsed`](Self::handle_elapsed);
/// - **C**, what the application wants: [`close`](Self::close);
/// - **D**, what to do now: [`poll_transmit`](Self::poll_transmit).
///
/// After a read, call `receive` until it gives `None`, then `poll_transmit`, and write what it
/// appended. Once [`is_finished`](Self::is_finished), the TCP connection can go. Messages are sent
/// beside it, with [`write_frame`](crate::write_frame), [`Frame`](crate::Frame) or
/// [`Prepared`](crate::Prepared), as long as the state is [`Open`](State::Open).
///
/// # Memory
///
/// Idle, a connection is 96 bytes and owns nothing on the heap. A message that lies whole in the
/// caller's buffer is lent from there. One that is cut owns a buffer until it has been handed out,
/// of a capacity of at most [`max_message`](Limits::max_message) plus 125 bytes, and of no more than
/// twice what was received of it or 4 KiB (64 KiB if the caller uses [`space`](Self::space)),
/// whichever is more; or it borrows the spare buffer of
/// [`receive_pooled`](Self::receive_pooled). Text takes 32 bytes besides, and what was read straight
/// in of a text that is not whole by then is there twice for the moment in which it is moved. Pongs
/// that wait take 2 KiB at most.
///
/// ```
/// use ws_frame::{CloseCode, CloseFrame, Connection, Limits, Message, OpCode, Role, State, write_frame};
///
/// // Two of them, and no network.
/// let mut server = Connection::new(Role::Server, Limits::default());
/// let mut client = Connection::new(Role::Client, Limits::default());
/// let mut wire = Vec::new();
/// write_frame(&mut wire, OpCode::Text, 5, |out| out.extend_from_slice(b"hello"));
/// server.close(CloseFrame::new(CloseCode::NORMAL, "bye"));
/// server.poll_transmit(&mut wire);
///
/// let mut input = &mut wire[..];
/// assert_eq!(client.receive(&mut input), Ok(Some(Message::Text("hello"))));
/// let Ok(Some(Message::Close(Some(close)))) = client.receive(&mut input) else { panic!() };
/// assert_eq!((close.code(), close.reason()), (CloseCode::NORMAL, "bye"));
///
/// let mut answer = Vec::new();
/// client.poll_transmit_masked(&mut answer, || [1, 2, 3, 4]); // keys of real entropy
/// let mut input = &mut answer[..];
/// assert!(matches!(server.receive(&mut input), Ok(Some(Message::Close(_)))));
/// assert!(server.is_finished() && server.state() == State::Closed);
/// ```
#[derive(Debug)]
pub struct Connection {
    reader: Reader,
    control: Control,
}

impl Connection {
    /// A connection straight after its opening handshake.
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            reader: Reader::new(role, limits),
            control: Control::new(&limits),
        }
    }

    /// Lets messages come with RSV1 set, as [`Message::Compressed`]: permessage-deflate was
    /// negotiated (RFC 7692).
    #[must_use]
    pub const fn with_deflate(mut self) -> Self {
        self.reader.extensions = Extensions::Deflate;
        self
    }

    // A: facts

    /// Which side of the connection this is.
    #[inline]
    pub const fn role(&self) -> Role {
        self.reader.role
    }

    /// Where the closing handshake stands.
    #[inline]
    pub const fn state(&self) -> State {
        self.control.state()
    }

    /// Whether nothing is left to be received or transmitted, so that the TCP connection can go.
    #[inline]
    pub const fn is_finished(&self) -> bool {
        matches!(self.state(), State::Closed | State::Failed) && !self.control.is_due()
    }

    /// How many bytes the data frame under way still lacks, and [`space`](Self::space) may take.
    #[inline]
    pub fn want(&self) -> usize {
        match self.reads() {
            true => self.reader.want(),
            false => 0,
        }
    }

    /// How many bytes it holds of a message that is not whole yet.
    #[inline]
    pub fn held(&self) -> usize {
        self.reader.assembler.len()
    }

    /// Whether [`receive`](Self::receive) has nothing to do, nor to give back, before more input comes.
    #[inline]
    pub fn is_at_rest(&self) -> bool {
        self.reader.is_at_rest()
    }

    // B: what happened

    /// Takes from the front of `input`, unmasks in place and lends the next message.
    ///
    /// `None` means that the input is used up: read more. A message that lies whole in the input is
    /// a slice of it; one that was cut is lent from the connection until the next call. Pings are
    /// answered, and the peer's close frame too, without the caller's doing.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol or went over a limit. The connection has failed then: the close
    /// frame with [the fitting code](ProtocolError::close_code) waits to be transmitted, and
    /// everything else that arrives is discarded, here and in later calls.
    #[inline]
    pub fn receive<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i mut [u8],
    ) -> Result<Option<Message<'a>>, ProtocolError> {
        self.receive_pooled(input, &mut Vec::new())
    }

    /// The same, for callers that keep large reassembly buffers between messages and share them
    /// among connections.
    ///
    /// A message that was cut and will fill at least a quarter of `spare`'s capacity takes it; when
    /// it is through, its buffer is left in `spare` if it is larger than what is there. Give the same
    /// `spare` to all connections of a thread: of a size of a hundred kilobytes or so, an allocator
    /// returns buffers to the system for each message, and that costs more than the message.
    #[inline]
    pub fn receive_pooled<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i mut [u8],
        spare: &mut Vec<u8>,
    ) -> Result<Option<Message<'a>>, ProtocolError> {
        if !self.reads() {
            return self.receive_any(input, spare);
        }
        match self.reader.whole(input) {
            Some((Kind::Binary, payload)) => Ok(Some(Message::Binary(payload))),
            Some((Kind::Text, payload)) => match text::whole(payload) {
                Ok(text) => Ok(Some(Message::Text(text))),
                Err(fault) => Err(self.fail(fault, input)),
            },
            // The last call of each read.
            None if input.is_empty() && self.reader.is_at_rest() => Ok(None),
            None => self.receive_any(input, spare),
        }
    }

    /// The next message, copied out of `input`, if it is a binary one that lies there whole: for callers
    /// that keep it. It is unmasked on the way, in one pass over it instead of two.
    ///
    /// `None` says nothing about the input: [`receive`](Self::receive) goes on with it. Control frames are
    /// left to that, too, and so is all that comes once the connection has been closed.
    #[inline]
    pub fn receive_binary(&mut self, input: &mut &mut [u8]) -> Option<Vec<u8>> {
        match self.reads() {
            true => self.reader.whole_binary(input),
            false => None,
        }
    }

    /// The stream has ended, and this is how. Call `poll_transmit` once more if the peer may only
    /// have closed its half.
    pub fn receive_eof(&mut self) -> End {
        self.control.handle_eof()
    }

    /// Time has gone by since the last call, or since the beginning: control frames may come again,
    /// [`control_per_second`](Limits::control_per_second) of them.
    ///
    /// The machine has no clock, so nothing is forgiven that it is not told of. Any rhythm will do:
    /// once per read, or every few seconds at the heartbeat.
    #[inline]
    pub fn handle_elapsed(&mut self, elapsed: Duration) {
        self.control.handle_elapsed(elapsed, &self.reader.limits);
    }

    /// Room for the payload of the data frame under way, so that a large one is read straight into
    /// the buffer from which it will be lent. `None` if nothing is [wanted](Self::want), and for text
    /// of which there are more than 4 KiB: read that into your own buffer, where it is checked.
    ///
    /// What is appended there is looked at by the next `receive`, which may be called with an empty
    /// input. Append only: the bytes in front are the message so far.
    pub fn space(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        let want = self.want();
        if want == 0 {
            return None;
        }
        let max = self.reader.limits.max_message;
        let space = self.reader.assembler.space(want, max)?;
        Some(space.limit(want))
    }

    // C: what the application wants

    /// Starts the closing handshake: queues a close frame, `None` for one without a code. Does
    /// nothing unless the state is [`Open`](State::Open).
    pub fn close(&mut self, frame: Option<CloseFrame<'_>>) {
        self.control.close(frame);
    }

    // D: what to do now

    /// Appends the control frames that are due, and says whether there were any.
    ///
    /// They may leave at any time between two frames. Behind a close frame nothing may be sent.
    ///
    /// # Panics
    ///
    /// If this is a client, which has to mask:
    /// [`poll_transmit_masked`](Self::poll_transmit_masked).
    #[inline]
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        assert!(
            self.reader.role == Role::Server,
            "a client masks its frames"
        );
        self.control.poll_transmit(out)
    }

    /// The same for a client, with a fresh masking key for each frame, which must not be predictable
    /// (§5.3).
    ///
    /// # Panics
    ///
    /// If this is a server, which must not mask (§5.1).
    pub fn poll_transmit_masked(
        &mut self,
        out: &mut Vec<u8>,
        key: impl FnMut() -> [u8; 4],
    ) -> bool {
        assert!(self.reader.role == Role::Client, "a server masks nothing");
        self.control.poll_transmit_masked(out, key)
    }

    /// The buffer of the message that was lent last, if it was put together here.
    #[cfg(any(feature = "codec", feature = "tokio"))]
    pub(crate) fn take_assembled(&mut self) -> Vec<u8> {
        self.reader.assembler.take()
    }

    /// Whether what is wanted is text, of which some has come.
    #[cfg(feature = "tokio")]
    pub(crate) fn wants_text(&self) -> bool {
        self.reader.assembler.is_text()
    }

    /// The same, if it was text.
    #[cfg(any(feature = "codec", feature = "tokio"))]
    pub(crate) fn take_assembled_text(&mut self) -> String {
        self.reader.assembler.take_text()
    }

    #[inline]
    const fn reads(&self) -> bool {
        matches!(self.state(), State::Open | State::CloseSent)
    }

    /// [`receive_pooled`](Self::receive_pooled) for all that is not a whole message.
    fn receive_any<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i mut [u8],
        spare: &mut Vec<u8>,
    ) -> Result<Option<Message<'a>>, ProtocolError> {
        if !self.reads() {
            *input = &mut [];
            self.reader.stop(spare);
            return Ok(None);
        }
        match self.reader.advance(input, spare, &mut self.control) {
            Ok(Some(found)) => self.lend(found, input).map(Some),
            Ok(None) => Ok(None),
            Err(fault) => Err(self.fail(fault, input)),
        }
    }

    /// Makes a message of what was found.
    fn lend<'a, 'i: 'a>(
        &'a mut self,
        found: Found<'i>,
        input: &mut &'i mut [u8],
    ) -> Result<Message<'a>, ProtocolError> {
        let (opcode, payload) = match found {
            Found::Data(Data::Plain(Kind::Binary), payload) => return Ok(Message::Binary(payload)),
            Found::Data(Data::Plain(Kind::Text), payload) => {
                return match text::whole(payload) {
                    Ok(text) => Ok(Message::Text(text)),
                    Err(fault) => Err(self.fail(fault, input)),
                };
            }
            Found::Data(Data::Compressed(kind), payload) => {
                return Ok(Message::Compressed { kind, payload });
            }
            Found::Assembled(data, len) => {
                let assembler = &self.reader.assembler;
                return Ok(match data {
                    Data::Plain(Kind::Binary) => Message::Binary(assembler.lent(len)),
                    Data::Plain(Kind::Text) => match assembler.lent_text(len) {
                        Ok(text) => Message::Text(text),
                        Err(fault) => {
                            self.control.handle_fault(&fault);
                            *input = &mut [];
                            return Err(fault);
                        }
                    },
                    Data::Compressed(kind) => Message::Compressed {
                        kind,
                        payload: assembler.lent(len),
                    },
                });
            }
            Found::Control(opcode, payload) => (opcode, payload),
            Found::ControlBehind(opcode) => (opcode, self.reader.assembler.behind()),
        };
        match opcode {
            OpCode::Close => match CloseFrame::parse(payload) {
                Ok(frame) => {
                    self.control.handle_close(frame);
                    *input = &mut [];
                    Ok(Message::Close(frame))
                }
                Err(fault) => {
                    self.control.handle_fault(&fault);
                    *input = &mut [];
                    Err(fault)
                }
            },
            OpCode::Ping => {
                self.control.handle_ping(payload);
                Ok(Message::Ping(payload))
            }
            _ => Ok(Message::Pong(payload)),
        }
    }

    /// Fails the connection, §7.1.7.
    #[cold]
    fn fail(&mut self, fault: ProtocolError, input: &mut &mut [u8]) -> ProtocolError {
        self.control.handle_fault(&fault);
        self.reader.stop(&mut Vec::new());
        *input = &mut [];
        fault
    }
}
