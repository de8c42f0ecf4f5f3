//! From bytes to whole payloads: RFC 6455 §5.1 to §5.5, as a receiver.
//!
//! Every header is held against the roles, the extensions, the message under way and the limits, in
//! [`admit`](Reader::admit), before a byte of its payload is stored. What is found is checked as text and
//! made a message by [`Connection`](crate::Connection).

use crate::assembler::Assembler;
use crate::control::Control;
use crate::mask::{Masker, masked_copy};
use crate::{Header, Kind, Limits, OpCode, ProtocolError, Role, mask};

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) assembler: Assembler,
    reading: Reading,
    pub(crate) limits: Limits,
    /// The message under way.
    under_way: Option<Data>,
    /// How many frames it came in so far.
    fragments: u32,
    pub(crate) role: Role,
    pub(crate) extensions: Extensions,
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
pub(crate) enum Data {
    Plain(Kind),
    Compressed(Kind),
}

/// What was negotiated beyond the protocol itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extensions {
    None,
    Deflate,
}

/// A message or control frame that is complete.
#[derive(Clone, Copy)]
pub(crate) enum Found<'i> {
    /// Data that lies whole in the input.
    Data(Data, &'i [u8]),
    /// Data in the assembler, with its length.
    Assembled(Data, usize),
    /// A control frame that lies whole in the input.
    Control(OpCode, &'i [u8]),
    /// A control frame behind the message in the assembler.
    ControlBehind(OpCode),
}

/// A message that lies whole in the input, still masked.
struct Whole {
    kind: Kind,
    key: Option<[u8; 4]>,
    /// How long its header is, and its payload.
    start: (usize, usize),
}

/// Takes a frame of these lengths out of the input, and returns its payload.
#[inline]
fn take<'i>(input: &mut &'i mut [u8], (header, payload): (usize, usize)) -> &'i mut [u8] {
    let (frame, rest) = std::mem::take(input).split_at_mut(header + payload);
    *input = rest;
    &mut frame[header..]
}

impl Reader {
    pub(crate) const fn new(role: Role, limits: Limits) -> Self {
        Self {
            assembler: Assembler::new(),
            reading: Reading::START,
            limits,
            under_way: None,
            fragments: 0,
            role,
            extensions: Extensions::None,
        }
    }

    /// How many bytes of payload the data frame under way still lacks.
    #[inline]
    pub(crate) fn want(&self) -> usize {
        match self.reading {
            Reading::Payload { opcode, left, .. } if !opcode.is_control() => {
                left - self.assembler.behind().len()
            }
            _ => 0,
        }
    }

    /// Forgets everything: nothing more will be read.
    pub(crate) fn stop(&mut self, spare: &mut Vec<u8>) {
        self.reading = Reading::START;
        self.under_way = None;
        self.assembler.reset(spare);
    }

    /// Whether nothing is to be done without more input, and nothing to be given back.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.reading, Reading::Header { .. }) && self.assembler.is_empty()
    }

    /// The next message, if it is what nearly all are: one frame, not compressed, that lies whole in
    /// the input. Everything else, and every fault, is left to [`advance`](Self::advance).
    #[inline]
    pub(crate) fn whole<'i>(&self, input: &mut &'i mut [u8]) -> Option<(Kind, &'i [u8])> {
        let Whole { kind, key, start } = self.find_whole(input)?;
        let payload = take(input, start);
        if let Some(key) = key {
            mask(payload, key);
        }
        Some((kind, payload))
    }

    /// The same for a binary message, which is copied out of the input.
    #[inline]
    pub(crate) fn whole_binary(&self, input: &mut &mut [u8]) -> Option<Vec<u8>> {
        let whole = self.find_whole(input)?;
        if whole.kind != Kind::Binary {
            return None;
        }
        let payload = take(input, whole.start);
        Some(match whole.key {
            Some(key) => masked_copy(payload, key),
            None => payload.to_vec(),
        })
    }

    #[inline]
    fn find_whole(&self, input: &[u8]) -> Option<Whole> {
        let between = matches!(self.reading, Reading::Header { len: 0, .. })
            && self.under_way.is_none()
            && self.assembler.is_empty();
        if !between {
            return None;
        }
        let &[first, second, ref rest @ ..] = input else {
            return None;
        };
        // A text or binary message, FIN set and no reserved bit.
        let kind = match first {
            0x81 => Kind::Text,
            0x82 => Kind::Binary,
            _ => return None,
        };
        let masked = second & 0x80 != 0;
        if masked != (self.role == Role::Server) {
            return None;
        }
        // The least that a header of this size is for.
        let (len, mut size, least) = match second & 0x7f {
            127 => {
                let len = u64::from_be_bytes(*rest.first_chunk()?);
                (usize::try_from(len).ok()?, 10, 0x1_0000)
            }
            126 => (
                usize::from(u16::from_be_bytes(*rest.first_chunk()?)),
                4,
                126,
            ),
            short => (usize::from(short), 2, 0),
        };
        let key = match masked {
            true => {
                size += 4;
                Some(*input.get(size - 4..)?.first_chunk()?)
            }
            false => None,
        };
        if len < least || len > self.limits.max_message || input.len() - size < len {
            return None;
        }
        let start = (size, len);
        Some(Whole { kind, key, start })
    }

    /// Goes to the end of the next message or control frame, or of the input.
    pub(crate) fn advance<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        spare: &mut Vec<u8>,
        control: &mut Control,
    ) -> Result<Option<Found<'i>>, ProtocolError> {
        if let Reading::Header { .. } = self.reading {
            self.assembler.release(spare);
        }
        loop {
            if let Reading::Header { .. } = self.reading {
                let Some(header) = self.read_header(input)? else {
                    return Ok(None);
                };
                let data = self.admit(&header, control)?;
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
    fn admit(
        &mut self,
        header: &Header,
        control: &mut Control,
    ) -> Result<Option<Data>, ProtocolError> {
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
            control.admit()?;
            return Ok(None);
        }

        // §5.4: fragments of different messages are not mixed.
        let data = match (self.under_way, kind) {
            (None, None) => return Err(ProtocolError::ContinuationUnexpected),
            (Some(_), Some(_)) => return Err(ProtocolError::MessageUnfinished),
            (None, Some(kind)) => {
                self.fragments = 1;
                match header.rsv {
                    0 => Data::Plain(kind),
                    _ => Data::Compressed(kind),
                }
            }
            (Some(data), None) => {
                let limit = self.limits.max_fragments;
                if self.fragments >= limit {
                    return Err(ProtocolError::Fragments { limit });
                }
                self.fragments += 1;
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
        let text = self.under_way == Some(Data::Plain(Kind::Text)) && !opcode.is_control();
        // A text that is whole with what was read straight in is checked as a whole when it is lent.
        let gather_text = text && !(fin && straight == *left);
        let max = self.limits.max_message;
        if gather_text {
            assembler.restore_text(*left, max, spare)?;
        }
        *left -= straight;

        let count = (*left).min(input.len());
        let (piece, rest) = std::mem::take(input).split_at_mut(count);
        *input = rest;
        if gather_text {
            assembler.push_text(piece, masker, *left, max, spare)?;
        } else {
            if let Some(masker) = masker {
                masker.apply(piece);
            }
            assembler.push(piece, *left, max, spare);
        }
        *left -= piece.len();

        let ended = *left == 0;
        if ended {
            self.reading = Reading::START;
        }
        if opcode.is_control() {
            return Ok(ended.then_some(Found::ControlBehind(opcode)));
        }
        if !gather_text {
            assembler.commit(straight + piece.len());
        }
        if !(ended && fin) {
            return Ok(None);
        }
        let len = assembler.finish()?;
        let data = self.under_way.take();
        Ok(data.map(|data| Found::Assembled(data, len)))
    }
}
