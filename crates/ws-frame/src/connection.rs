//! One WebSocket connection, as a state machine over bytes: RFC 6455 §5.4, §5.5 and §7.

use std::time::Duration;

use bytes::BufMut as _;
use bytes::buf::Limit;

use crate::assembler::Assembler;
use crate::control::Control;
use crate::mask::Masker;
use crate::{
    CloseFrame, End, Header, Kind, Limits, Message, OpCode, ProtocolError, State, mask, utf8,
};

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
///   [`want`](Self::want);
/// - **B**, what happened: [`receive`](Self::receive) with the bytes that were read,
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
/// whichever is more. Pongs that wait take 2 KiB at most.
#[derive(Debug)]
pub struct Connection {
    assembler: Assembler,
    control: Control,
    reading: Reading,
    limits: Limits,
    /// Control frames that may still come, in parts of [`ONE`].
    allowance: u32,
    /// The message under way.
    under_way: Option<Data>,
    role: Role,
    extensions: Extensions,
}

/// Where in a frame the input stops.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// In front of a frame or inside its header, of which `len` bytes have come.
    Header {
        len: u8,
        bytes: [u8; Header::MAX_LEN - 1],
    },
    /// In the payload, of which `left` bytes have not been unmasked.
    Payload {
        fin: bool,
        opcode: OpCode,
        masker: Option<Masker>,
        left: usize,
    },
}

impl Reading {
    const START: Self = Self::Header {
        len: 0,
        bytes: [0; Header::MAX_LEN - 1],
    };
}

/// What a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Data {
    Plain(Kind),
    Compressed(Kind),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extensions {
    None,
    Deflate,
}

/// A message or control frame that is complete.
#[derive(Clone, Copy)]
enum Found<'i> {
    /// Data that lies whole in the input.
    Data(Data, &'i [u8]),
    /// Data in the assembler, with its length.
    Assembled(Data, usize),
    /// A control frame that lies whole in the input.
    Control(OpCode, &'i [u8]),
    /// A control frame behind the message in the assembler.
    ControlBehind(OpCode),
}

impl Connection {
    /// A connection straight after its opening handshake.
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            assembler: Assembler::new(),
            control: Control::new(),
            reading: Reading::START,
            allowance: limits.control_burst as u32 * ONE,
            limits,
            under_way: None,
            role,
            extensions: Extensions::None,
        }
    }

    /// Lets messages come with RSV1 set, as [`Message::Compressed`]: permessage-deflate was
    /// negotiated (RFC 7692).
    #[must_use]
    pub const fn with_deflate(mut self) -> Self {
        self.extensions = Extensions::Deflate;
        self
    }

    // A: facts

    /// Which side of the connection this is.
    #[inline]
    pub const fn role(&self) -> Role {
        self.role
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

    /// How many bytes the data frame under way still lacks: what [`space`](Self::space) would take.
    #[inline]
    pub fn want(&self) -> usize {
        match self.reading {
            Reading::Payload { opcode, left, .. } if !opcode.is_control() && self.reads() => {
                left - self.assembler.behind().len()
            }
            _ => 0,
        }
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
        match self.whole(input) {
            Some(found) => self.lend(found, input).map(Some),
            None => self.receive_any(input, spare),
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
        let burst = u32::from(self.limits.control_burst) * ONE;
        let micros = elapsed.as_micros().min(HOUR) as u64;
        let parts = micros * u64::from(self.limits.control_per_second) * u64::from(ONE) / 1_000_000;
        let more = u32::try_from(parts).unwrap_or(u32::MAX);
        self.allowance = self.allowance.saturating_add(more).min(burst);
    }

    /// Room for the payload of the data frame under way, so that a large one is read straight into
    /// the buffer from which it will be lent. `None` if nothing is [wanted](Self::want).
    ///
    /// What is appended there is looked at by the next `receive`, which may be called with an empty
    /// input. Append only: the bytes in front are the message so far.
    pub fn space(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        let want = self.want();
        if want == 0 {
            return None;
        }
        let max = self.limits.max_message;
        Some(self.assembler.space(want, max).limit(want))
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
        assert!(self.role == Role::Server, "a client masks its frames");
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
        assert!(self.role == Role::Client, "a server masks nothing");
        self.control.poll_transmit_masked(out, key)
    }

    /// The buffer of the message that was lent last, if it was put together here.
    #[cfg(feature = "codec")]
    pub(crate) fn take_assembled(&mut self) -> Vec<u8> {
        self.assembler.take()
    }

    #[inline]
    const fn reads(&self) -> bool {
        matches!(self.state(), State::Open | State::CloseSent)
    }

    /// The next message, if it is what nearly all are: one frame, not compressed, that lies whole in
    /// the input. Everything else, and every fault, is left to `receive_any`.
    #[inline]
    fn whole<'i>(&self, input: &mut &'i mut [u8]) -> Option<Found<'i>> {
        let between = matches!(self.reading, Reading::Header { len: 0, .. })
            && self.under_way.is_none()
            && self.assembler.is_empty()
            && self.reads();
        let (header, size) = Header::parse(input).ok()??;
        let kind = match header.opcode {
            OpCode::Text => Kind::Text,
            OpCode::Binary => Kind::Binary,
            _ => return None,
        };
        let len = usize::try_from(header.len).ok()?;
        let end = size.checked_add(len)?;
        if !between
            || !header.fin
            || header.rsv != 0
            || header.mask.is_some() != (self.role == Role::Server)
            || len > self.limits.max_message
            || end > input.len()
        {
            return None;
        }
        let (frame, rest) = std::mem::take(input).split_at_mut(end);
        *input = rest;
        let payload = &mut frame[size..];
        if let Some(key) = header.mask {
            mask(payload, key);
        }
        Some(Found::Data(Data::Plain(kind), payload))
    }

    fn receive_any<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i mut [u8],
        spare: &mut Vec<u8>,
    ) -> Result<Option<Message<'a>>, ProtocolError> {
        match self.advance(input, spare) {
            Ok(Some(found)) => self.lend(found, input).map(Some),
            Ok(None) => Ok(None),
            Err(fault) => Err(self.fail(fault, input)),
        }
    }

    /// Goes to the end of the next message or control frame, or of the input.
    fn advance<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        spare: &mut Vec<u8>,
    ) -> Result<Option<Found<'i>>, ProtocolError> {
        if !self.reads() {
            *input = &mut [];
            self.reading = Reading::START;
            self.assembler.reset(spare);
            return Ok(None);
        }
        if let Reading::Header { .. } = self.reading {
            self.assembler.release(spare);
        }
        loop {
            if let Reading::Header { .. } = self.reading {
                let Some(header) = self.read_header(input)? else {
                    return Ok(None);
                };
                let data = self.admit(&header)?;
                // Within the limit of a message or of a control frame, so it fits.
                let left = header.len as usize;
                let whole = match data {
                    None => true,
                    Some(_) => header.fin && header.opcode != OpCode::Continuation,
                };
                if whole && left <= input.len() {
                    let (payload, rest) = std::mem::take(input).split_at_mut(left);
                    *input = rest;
                    self.reading = Reading::START;
                    if let Some(key) = header.mask {
                        mask(payload, key);
                    }
                    return Ok(Some(match data {
                        None => Found::Control(header.opcode, payload),
                        Some(data) => Found::Data(data, payload),
                    }));
                }
                if data.is_some() {
                    self.under_way = data;
                }
                self.reading = Reading::Payload {
                    fin: header.fin,
                    opcode: header.opcode,
                    masker: header.mask.map(Masker::new),
                    left,
                };
            }
            let found = self.read_payload(input, spare)?;
            if found.is_some() || matches!(self.reading, Reading::Payload { .. }) {
                return Ok(found);
            }
        }
    }

    /// The next header, if it is complete.
    #[inline]
    fn read_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        if let Reading::Header { len: 0, .. } = self.reading
            && let Some((header, size)) = Header::parse(input)?
        {
            *input = &mut std::mem::take(input)[size..];
            return Ok(Some(header));
        }
        self.read_cut_header(input)
    }

    fn read_cut_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, ProtocolError> {
        let Reading::Header { len, bytes } = &mut self.reading else {
            return Ok(None);
        };
        let had = usize::from(*len);
        let mut buf = [0; Header::MAX_LEN];
        let now = input.len().min(buf.len() - had);
        buf[..had].copy_from_slice(&bytes[..had]);
        buf[had..had + now].copy_from_slice(&input[..now]);
        let (header, taken) = match Header::parse(&buf[..had + now])? {
            Some((header, size)) => (Some(header), size - had),
            None => {
                // What is not complete is shorter than the longest header.
                bytes[had..had + now].copy_from_slice(&buf[had..had + now]);
                *len += now as u8;
                (None, now)
            }
        };
        *input = &mut std::mem::take(input)[taken..];
        Ok(header)
    }

    /// Checks a header against the roles, the extensions, the message under way and the limits, and
    /// says what message the frame belongs to; `None` for a control frame.
    #[inline]
    fn admit(&mut self, header: &Header) -> Result<Option<Data>, ProtocolError> {
        let kind = match header.opcode {
            OpCode::Text => Some(Kind::Text),
            OpCode::Binary => Some(Kind::Binary),
            OpCode::Continuation | OpCode::Close | OpCode::Ping | OpCode::Pong => None,
        };
        // §5.2: a reserved bit to which no extension gives a meaning fails the connection. RFC 7692
        // §6: RSV1 stands on the first frame of a message, and on no other.
        let allowed = match (self.extensions, kind) {
            (Extensions::Deflate, Some(_)) => Header::RSV1,
            _ => 0,
        };
        if header.rsv & !allowed != 0 {
            return Err(ProtocolError::ReservedBits { rsv: header.rsv });
        }
        // §5.1: a client masks, a server does not.
        match self.role {
            Role::Server if header.mask.is_none() => return Err(ProtocolError::MaskMissing),
            Role::Client if header.mask.is_some() => return Err(ProtocolError::MaskForbidden),
            _ => {}
        }
        if header.opcode.is_control() {
            let Some(rest) = self.allowance.checked_sub(ONE) else {
                return Err(ProtocolError::ControlRate);
            };
            self.allowance = rest;
            return Ok(None);
        }

        // §5.4: fragments of different messages are not mixed.
        let data = match (self.under_way, kind) {
            (None, None) => return Err(ProtocolError::ContinuationUnexpected),
            (Some(_), Some(_)) => return Err(ProtocolError::MessageUnfinished),
            (None, Some(kind)) => {
                self.assembler.fragments = 1;
                match header.rsv {
                    0 => Data::Plain(kind),
                    _ => Data::Compressed(kind),
                }
            }
            (Some(data), None) => {
                let limit = self.limits.max_fragments;
                if self.assembler.fragments >= limit {
                    return Err(ProtocolError::Fragments { limit });
                }
                self.assembler.fragments += 1;
                data
            }
        };
        // A header's length is less than 2^63, so the sum does not overflow.
        let len = self.assembler.len() as u64 + header.len;
        if len > self.limits.max_message as u64 {
            let limit = self.limits.max_message;
            return Err(ProtocolError::TooBig { len, limit });
        }
        Ok(Some(data))
    }

    /// Takes what there is of the payload under way. If that ends the message or the control frame,
    /// it is found.
    fn read_payload<'i>(
        &mut self,
        input: &mut &mut [u8],
        spare: &mut Vec<u8>,
    ) -> Result<Option<Found<'i>>, ProtocolError> {
        let Reading::Payload {
            fin,
            opcode,
            ref mut masker,
            ref mut left,
        } = self.reading
        else {
            return Ok(None);
        };
        let assembler = &mut self.assembler;

        // Bytes of a data frame that were read straight in come before those of the input.
        let straight = match opcode.is_control() {
            true => 0,
            false => assembler.behind().len(),
        };
        if straight > 0
            && let Some(masker) = masker
        {
            masker.apply(assembler.behind_mut());
        }
        *left -= straight;

        let count = (*left).min(input.len());
        let (piece, rest) = std::mem::take(input).split_at_mut(count);
        *input = rest;
        if let Some(masker) = masker {
            masker.apply(piece);
        }
        assembler.push(piece, *left, self.limits.max_message, spare);
        *left -= piece.len();

        let ended = *left == 0;
        if ended {
            self.reading = Reading::START;
        }
        if opcode.is_control() {
            return Ok(ended.then_some(Found::ControlBehind(opcode)));
        }
        let count = straight + piece.len();
        if ended && fin {
            // The text is checked as a whole when it is lent.
            assembler.commit(count);
            let len = assembler.finish();
            let data = self.under_way.take();
            return Ok(data.map(|data| Found::Assembled(data, len)));
        }
        match self.under_way {
            Some(Data::Plain(Kind::Text)) => assembler.commit_text(count)?,
            _ => assembler.commit(count),
        }
        Ok(None)
    }

    /// Makes a message of what was found.
    #[inline]
    fn lend<'a, 'i: 'a>(
        &'a mut self,
        found: Found<'i>,
        input: &mut &'i mut [u8],
    ) -> Result<Message<'a>, ProtocolError> {
        let (opcode, payload) = match found {
            Found::Data(Data::Plain(Kind::Binary), payload) => return Ok(Message::Binary(payload)),
            Found::Data(Data::Plain(Kind::Text), payload) => {
                return match utf8::text(payload) {
                    Ok(text) => Ok(Message::Text(text)),
                    Err(fault) => Err(self.fail(fault, input)),
                };
            }
            Found::Data(Data::Compressed(kind), payload) => {
                return Ok(Message::Compressed { kind, payload });
            }
            Found::Assembled(data, len) => {
                let payload = self.assembler.lent(len);
                return match data {
                    Data::Plain(Kind::Binary) => Ok(Message::Binary(payload)),
                    Data::Plain(Kind::Text) => match utf8::text(payload) {
                        Ok(text) => Ok(Message::Text(text)),
                        Err(fault) => {
                            self.control.handle_fault(&fault);
                            *input = &mut [];
                            Err(fault)
                        }
                    },
                    Data::Compressed(kind) => Ok(Message::Compressed { kind, payload }),
                };
            }
            Found::Control(opcode, payload) => (opcode, payload),
            Found::ControlBehind(opcode) => (opcode, self.assembler.behind()),
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
        self.assembler.reset(&mut Vec::new());
        *input = &mut [];
        fault
    }
}

/// One control frame, in the unit of `allowance`: a burst of 65,535 is just within 32 bits, and
/// microseconds at fifty a second are still three parts each.
const ONE: u32 = 1 << 16;

/// In microseconds: more than any burst lasts that would be worth waiting for.
const HOUR: u128 = 3_600_000_000;
