//! What the decoder is held against: a naive one that sees the whole stream at once.
//!
//! Written from RFC 6455 and for nothing but being obviously right: it copies, it takes one byte at a
//! time, it checks the text of a message from the beginning for every frame. The fuzz targets `frame`
//! and `frame_chunks` (in `fuzz/` at the root) call [`frame`] and [`frame_chunks`]; so do the tests
//! of this crate, over the seeds and over generated streams.

use bytes::BufMut;
use ws_frame::{
    CloseCode, CloseFrame, Connection, Header, Kind, Limits, Message, OpCode, ProtocolError, Role,
    State,
};

/// One stream, and how the connection stands towards it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) role: Role,
    pub(crate) deflate: bool,
    pub(crate) limits: Limits,
    /// The application closes once it has seen so many messages and control frames.
    pub(crate) close_after: usize,
}

/// How input is handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum By {
    /// `receive`, nothing else.
    Slice,
    /// `receive_binary`, else `receive_pooled` with a spare buffer, and `space` whenever something is
    /// wanted.
    Space,
}

/// An owned [`Message`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    Text(String),
    Binary(Vec<u8>),
    Compressed(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// Everything that can be seen from outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<Event>,
    pub(crate) fault: Option<ProtocolError>,
    pub(crate) transmitted: Vec<u8>,
    pub(crate) state: State,
}

/// The masking key of our own frames, where we are the client.
pub(crate) const OWN_KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Fuzz target `frame`: both roles read arbitrary bytes as the reference does, and every header that
/// can be read is written the same way.
pub(crate) fn frame(data: &[u8]) {
    if let Ok(Some((header, size))) = Header::parse(data) {
        assert_eq!(header.encode().as_ref(), &data[..size]);
    }
    for role in [Role::Client, Role::Server] {
        for deflate in [false, true] {
            let case = Case {
                role,
                deflate,
                limits: Limits::default(),
                close_after: usize::MAX,
            };
            assert_eq!(drive(case, By::Slice, data, &[]), reference(case, data));
        }
    }
}

/// Fuzz target `frame_chunks`: three bytes of settings, eight of cutting, then the stream. However it
/// is cut, the outcome is that of the whole.
pub(crate) fn frame_chunks(data: &[u8]) {
    let Some((&[flags, close_after, small, ref cuts @ ..], stream)) =
        data.split_first_chunk::<11>()
    else {
        return;
    };
    let mut limits = Limits::default();
    if flags & 4 != 0 {
        limits.max_message = usize::from(small);
        limits.max_fragments = u32::from(small >> 4) + 1;
        limits.control_burst = u16::from(small & 0xf) + 1;
    }
    let case = Case {
        role: if flags & 1 == 0 {
            Role::Server
        } else {
            Role::Client
        },
        deflate: flags & 2 != 0,
        limits,
        close_after: match close_after {
            0 => usize::MAX,
            after => usize::from(after),
        },
    };
    let expected = reference(case, stream);
    let cuts = cuts.map(usize::from);
    for by in [By::Slice, By::Space] {
        assert_eq!(drive(case, by, stream, &[]), expected, "whole, {by:?}");
        assert_eq!(drive(case, by, stream, &cuts), expected, "cut, {by:?}");
    }
}

/// Runs a connection over `stream`, cut into pieces of the lengths in `cuts`, over and over; whole if
/// there are none.
pub(crate) fn drive(case: Case, by: By, stream: &[u8], cuts: &[usize]) -> Outcome {
    let mut connection = Connection::new(case.role, case.limits);
    if case.deflate {
        connection = connection.with_deflate();
    }
    let mut outcome = Outcome {
        events: Vec::new(),
        fault: None,
        transmitted: Vec::new(),
        state: State::Open,
    };
    let mut spare = Vec::with_capacity(300);
    let mut cuts = cuts.iter().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let count = cuts
            .next()
            .map_or(rest.len(), |&cut| cut.clamp(1, rest.len()));
        let (piece, behind) = rest.split_at(count);
        rest = behind;

        let mut piece = piece.to_vec();
        if by == By::Space
            && let Some(mut space) = connection.space()
        {
            let count = piece.len().min(space.remaining_mut());
            space.put_slice(&piece[..count]);
            piece.drain(..count);
            receive(&mut connection, &mut [], &mut spare, by, case, &mut outcome);
        }
        receive(
            &mut connection,
            &mut piece,
            &mut spare,
            by,
            case,
            &mut outcome,
        );
    }
    outcome.state = connection.state();
    outcome
}

fn receive(
    connection: &mut Connection,
    mut input: &mut [u8],
    spare: &mut Vec<u8>,
    by: By,
    case: Case,
    outcome: &mut Outcome,
) {
    loop {
        let received = match by {
            By::Slice => connection.receive(&mut input).map(|some| some.map(event)),
            By::Space => match connection.receive_binary(&mut input) {
                Some(payload) => Ok(Some(Event::Binary(payload))),
                None => {
                    let received = connection.receive_pooled(&mut input, spare);
                    received.map(|some| some.map(event))
                }
            },
        };
        let done = match received {
            Ok(Some(event)) => {
                outcome.events.push(event);
                if outcome.events.len() == case.close_after {
                    connection.close(Some(CloseCode::NORMAL.into()));
                }
                false
            }
            Ok(None) => {
                assert!(input.is_empty(), "none means that the input is used up");
                true
            }
            Err(fault) => {
                assert_eq!(
                    outcome.fault.replace(fault),
                    None,
                    "a connection fails once"
                );
                assert_eq!(connection.state(), State::Failed);
                false
            }
        };
        match case.role {
            Role::Server => connection.poll_transmit(&mut outcome.transmitted),
            Role::Client => connection.poll_transmit_masked(&mut outcome.transmitted, || OWN_KEY),
        };
        if done {
            return;
        }
    }
}

fn event(message: Message<'_>) -> Event {
    match message {
        Message::Text(text) => Event::Text(text.to_owned()),
        Message::Binary(payload) => Event::Binary(payload.to_vec()),
        Message::Compressed { kind, payload } => Event::Compressed(kind, payload.to_vec()),
        Message::Ping(payload) => Event::Ping(payload.to_vec()),
        Message::Pong(payload) => Event::Pong(payload.to_vec()),
        Message::Close(frame) => Event::Close(
            frame.map(|frame: CloseFrame<'_>| (frame.code().get(), frame.reason().to_owned())),
        ),
        _ => unreachable!("there is no other message"),
    }
}

/// The naive decoder.
pub(crate) fn reference(case: Case, stream: &[u8]) -> Outcome {
    let mut model = Model {
        case,
        outcome: Outcome {
            events: Vec::new(),
            fault: None,
            transmitted: Vec::new(),
            state: State::Open,
        },
        message: None,
        controls: 0,
    };
    let mut at = 0;
    while matches!(model.outcome.state, State::Open | State::CloseSent) {
        match model.frame(&stream[at..]) {
            Ok(Some(size)) => at += size,
            Ok(None) => break,
            Err(fault) => {
                if model.outcome.state == State::Open {
                    model.send(0x88, &fault.close_code().get().to_be_bytes());
                }
                model.outcome.state = State::Failed;
                model.outcome.fault = Some(fault);
            }
        }
    }
    model.outcome
}

struct Model {
    case: Case,
    outcome: Outcome,
    message: Option<Partial>,
    controls: u64,
}

struct Partial {
    kind: Kind,
    compressed: bool,
    frames: u32,
    bytes: Vec<u8>,
}

impl Model {
    /// Reads one frame; `None` if it is not all there.
    fn frame(&mut self, stream: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let &[b0, b1, ..] = stream else {
            return Ok(None);
        };
        let (fin, rsv, opcode) = (b0 >> 7 == 1, b0 >> 4 & 7, b0 & 15);
        let (masked, short) = (b1 >> 7 == 1, b1 & 127);
        if !matches!(opcode, 0..=2 | 8..=10) {
            return Err(ProtocolError::ReservedOpCode { opcode });
        }
        if opcode >= 8 && short > 125 {
            return Err(ProtocolError::ControlTooLong);
        }
        if opcode >= 8 && !fin {
            return Err(ProtocolError::ControlFragmented);
        }
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mut len = u64::from(short);
        if extended > 0 {
            let Some(bytes) = stream.get(2..2 + extended) else {
                return Ok(None);
            };
            len = bytes
                .iter()
                .fold(0, |len, &byte| len << 8 | u64::from(byte));
            let least = if extended == 2 { 126 } else { 65_536 };
            if len < least {
                return Err(ProtocolError::LengthNotMinimal { len });
            }
            if len >= 1 << 63 {
                return Err(ProtocolError::LengthTopBit { len });
            }
        }
        let mut size = 2 + extended;
        let mut key = [0; 4];
        if masked {
            let Some(bytes) = stream.get(size..size + 4) else {
                return Ok(None);
            };
            key.copy_from_slice(bytes);
            size += 4;
        }

        let deflated = rsv == 4 && self.case.deflate && matches!(opcode, 1 | 2);
        if rsv != 0 && !deflated {
            return Err(ProtocolError::ReservedBits { rsv });
        }
        match self.case.role {
            Role::Server if !masked => return Err(ProtocolError::MaskMissing),
            Role::Client if masked => return Err(ProtocolError::MaskForbidden),
            _ => {}
        }
        if opcode >= 8 {
            self.controls += 1;
            if self.controls > u64::from(self.case.limits.control_burst) {
                return Err(ProtocolError::ControlRate);
            }
        } else if opcode == 0 {
            match &mut self.message {
                None => return Err(ProtocolError::ContinuationUnexpected),
                Some(message) => message.frames += 1,
            }
        } else {
            if self.message.is_some() {
                return Err(ProtocolError::MessageUnfinished);
            }
            self.message = Some(Partial {
                kind: if opcode == 1 {
                    Kind::Text
                } else {
                    Kind::Binary
                },
                compressed: deflated,
                frames: 1,
                bytes: Vec::new(),
            });
        }
        if opcode < 8
            && let Some(message) = &self.message
        {
            let limit = self.case.limits.max_fragments;
            if opcode == 0 && message.frames > limit {
                return Err(ProtocolError::Fragments { limit });
            }
            let limit = self.case.limits.max_message;
            let total = message.bytes.len() as u64 + len;
            if total > limit as u64 {
                return Err(ProtocolError::TooBig { len: total, limit });
            }
        }

        let len = len as usize;
        let here = &stream[size..];
        let complete = here.len() >= len;
        let mut payload = here[..len.min(here.len())].to_vec();
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[i % 4];
        }
        if opcode >= 8 {
            if complete {
                self.control(opcode, payload)?;
            }
        } else if let Some(message) = &mut self.message {
            message.bytes.extend(payload);
            let end = complete && fin;
            if message.kind == Kind::Text && !message.compressed {
                match std::str::from_utf8(&message.bytes) {
                    Ok(_) => {}
                    Err(error) if error.error_len().is_none() && !end => {}
                    Err(_) => return Err(ProtocolError::Utf8),
                }
            }
            if end {
                let message = self.message.take().expect("it is under way");
                self.show(match (message.compressed, message.kind) {
                    (true, kind) => Event::Compressed(kind, message.bytes),
                    (false, Kind::Binary) => Event::Binary(message.bytes),
                    (false, Kind::Text) => {
                        Event::Text(String::from_utf8(message.bytes).expect("checked"))
                    }
                });
            }
        }
        Ok(complete.then_some(size + len))
    }

    fn control(&mut self, opcode: u8, payload: Vec<u8>) -> Result<(), ProtocolError> {
        match opcode {
            8 => {
                let frame = match payload.as_slice() {
                    [] => None,
                    [_] => return Err(ProtocolError::CloseTooShort),
                    [a, b, reason @ ..] => {
                        let code = u16::from_be_bytes([*a, *b]);
                        if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                            return Err(ProtocolError::CloseCode { code });
                        }
                        let reason = String::from_utf8(reason.to_vec())
                            .map_err(|_| ProtocolError::CloseReason)?;
                        Some((code, reason))
                    }
                };
                if self.outcome.state == State::Open {
                    self.send(0x88, &payload[..payload.len().min(2)]);
                }
                self.outcome.state = State::Closed;
                self.outcome.events.push(Event::Close(frame));
            }
            9 => {
                if self.outcome.state == State::Open {
                    self.send(0x8a, &payload);
                }
                self.show(Event::Ping(payload));
            }
            _ => self.show(Event::Pong(payload)),
        }
        Ok(())
    }

    fn show(&mut self, event: Event) {
        self.outcome.events.push(event);
        if self.outcome.events.len() == self.case.close_after && self.outcome.state == State::Open {
            self.send(0x88, &1000_u16.to_be_bytes());
            self.outcome.state = State::CloseSent;
        }
    }

    fn send(&mut self, first: u8, payload: &[u8]) {
        let out = &mut self.outcome.transmitted;
        match self.case.role {
            Role::Server => {
                out.extend([first, payload.len() as u8]);
                out.extend(payload);
            }
            Role::Client => {
                out.extend([first, 0x80 | payload.len() as u8]);
                out.extend(OWN_KEY);
                out.extend(
                    payload
                        .iter()
                        .zip(OWN_KEY.iter().cycle())
                        .map(|(byte, key)| byte ^ key),
                );
            }
        }
    }
}

/// One frame as the other side of `role` would send it.
#[allow(
    dead_code,
    reason = "the fuzz targets, which share this file, make no frames"
)]
pub(crate) fn wire(role: Role, fin: bool, rsv: u8, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mask = match role {
        Role::Server => Some([0x12, 0x34, 0x56, 0x78]),
        Role::Client => None,
    };
    let header = Header {
        fin,
        rsv,
        opcode,
        mask,
        len: payload.len() as u64,
    };
    let mut out = header.encode().as_ref().to_vec();
    let body = out.len();
    out.extend(payload);
    ws_frame::mask(&mut out[body..], mask.unwrap_or_default());
    out
}
