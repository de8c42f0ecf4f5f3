//! A message on its way out, encoded once for all who receive it.
//!
//! ```text
//!  wire:  [header|4 2["photo",{"_placeholder":true,"num":0}]] [header|attachment 0] …
//!          └ a text frame                                      └ binary frames
//! ```
//!
//! The frames are complete, as a server sends them, and lie next to each other: a WebSocket takes
//! them in one write, and polling reads the same memory frame by frame.

use std::any::Any;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use ws_frame::{Header, OpCode, write_frame};

use crate::config::Revision;
use crate::packet::Data;
use crate::payload::{self, v3};

/// One unit of an outbox: a text message with its attachments, or a control packet.
///
/// Shared by all who receive it (`Arc<Parcel>`), and atomic: it is sent whole or not at all, so
/// attachments are never separated from their text.
///
/// ```
/// use std::sync::Arc;
/// use eio_transport::{Data, Dialect, Parcel};
///
/// let photo = Parcel::builder(8, |text| text.extend_from_slice(b"51-[...]"));
/// let photo = Arc::new(photo.attach(b"\xff\xd8").build());
/// assert_eq!(photo.wire(), b"\x81\x09451-[...]\x82\x02\xff\xd8");
/// let packets: Vec<_> = photo.packets().collect();
/// assert_eq!(packets, [Data::Text("451-[...]"), Data::Binary(b"\xff\xd8"[..].into())]);
///
/// // The same for a client that polls, and for one that takes text only.
/// let mut payload = Vec::new();
/// photo.append_payload(&mut payload);
/// assert_eq!(payload, b"451-[...]\x1eb/9g=");
/// assert!(photo.translated(Dialect::V4Base64).wire().ends_with(b"b/9g="));
/// ```
#[derive(Debug)]
pub struct Parcel {
    wire: Box<[u8]>,
    /// Made when the first client needs one of them.
    others: OnceLock<Box<Others>>,
    is_final: bool,
    is_droppable: bool,
}

/// What else a parcel can look like.
#[derive(Debug, Default)]
struct Others {
    /// In a payload of revision 4, with binary frames. Text alone is copied from `wire` as fast as
    /// from here.
    polling: OnceLock<Box<[u8]>>,
    /// The same for WebSockets that compress; none if it would not get smaller.
    compressed: OnceLock<Option<Arc<Parcel>>>,
    /// With binary frames, for the dialects that carry bytes in another way.
    translated: [OnceLock<Arc<Parcel>>; 3],
    /// What lives as long as the parcel.
    luggage: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// How a client wants its bytes.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Dialect {
    /// Revision 4: a binary frame is the bytes of a message.
    #[default]
    V4,
    /// Revision 4, of a client that takes text only: `b` and base64 in a text frame.
    V4Base64,
    /// Revision 3: the first byte of a binary frame is the packet type.
    V3,
    /// Revision 3, of a client that takes text only: `b4` and base64 in a text frame.
    V3Base64,
}

impl Dialect {
    /// The dialect of a client of that revision; `base64` if it takes text only.
    #[inline]
    pub const fn new(revision: Revision, base64: bool) -> Self {
        match (revision, base64) {
            (Revision::V3, false) => Self::V3,
            (Revision::V3, true) => Self::V3Base64,
            (Revision::V4, false) => Self::V4,
            (Revision::V4, true) => Self::V4Base64,
        }
    }

    /// Its revision.
    #[inline]
    pub const fn revision(self) -> Revision {
        match self {
            Self::V3 | Self::V3Base64 => Revision::V3,
            Self::V4 | Self::V4Base64 => Revision::V4,
        }
    }
}

/// The packets that a session sends of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Control {
    /// `2`, the heartbeat of revision 4.
    Ping,
    /// `3`, the answer to a heartbeat of revision 3.
    Pong,
}

impl Control {
    /// The packet as text.
    #[inline]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "2",
            Self::Pong => "3",
        }
    }
}

impl Parcel {
    /// Takes complete, unmasked, unfragmented frames as they go over a WebSocket: text frames begin
    /// with the packet type, binary frames are the bytes of a message, as in revision 4.
    #[inline]
    pub fn from_frames(wire: impl Into<Box<[u8]>>) -> Self {
        let parcel = Self {
            wire: wire.into(),
            others: OnceLock::new(),
            is_final: false,
            is_droppable: false,
        };
        debug_assert_eq!(
            parcel
                .frames()
                .map(|(start, payload, _)| start + payload.len())
                .last(),
            Some(parcel.wire.len()),
            "the wire is a row of whole frames",
        );
        parcel
    }

    /// Begins a parcel with the text message that `write` appends; `expect` is its length in
    /// bytes, as well as it is known.
    #[inline]
    pub fn builder(expect: usize, write: impl FnOnce(&mut Vec<u8>)) -> Builder {
        let mut wire = Vec::with_capacity(expect + 1 + HEADROOM);
        push_message(&mut wire, expect, write);
        Builder { wire }
    }

    /// A parcel of one text message.
    pub fn text(text: &str) -> Self {
        Self::builder(text.len(), |out| out.extend_from_slice(text.as_bytes())).build()
    }

    /// A parcel of one binary message.
    pub fn binary(bytes: &[u8]) -> Self {
        Builder {
            wire: Vec::with_capacity(bytes.len() + HEADROOM),
        }
        .attach(bytes)
        .build()
    }

    /// A parcel of one control packet.
    pub fn control(control: Control) -> Self {
        let mut wire = Vec::new();
        write_frame(&mut wire, OpCode::Text, 1, |out| {
            out.extend_from_slice(control.as_str().as_bytes());
        });
        Self::from_frames(wire)
    }

    /// The same parcel, never to be [compressed](Self::compressed).
    #[must_use]
    pub fn as_it_is(mut self) -> Self {
        self.is_final = true;
        self
    }

    /// Whether the frames go out as they are, on every WebSocket.
    #[inline]
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// The same parcel, which may be dropped where there is no room for it, even if it waits already.
    #[must_use]
    pub fn droppable(mut self) -> Self {
        self.is_droppable = true;
        self
    }

    /// Whether the parcel may be dropped while it waits.
    #[inline]
    pub fn is_droppable(&self) -> bool {
        self.is_droppable
    }

    /// This parcel, to be treated as `other` is of which it was made.
    #[must_use]
    pub fn like(mut self, other: &Self) -> Self {
        self.is_final |= other.is_final;
        self.is_droppable |= other.is_droppable;
        self
    }

    /// The parcel for WebSockets that agreed to compress: what `compress` makes of it, once for all of
    /// them, or `None` if that is nothing else. It is not for polling.
    pub fn compressed(&self, compress: impl FnOnce() -> Option<Self>) -> Option<Arc<Self>> {
        self.others()
            .compressed
            .get_or_init(|| compress().map(Arc::new))
            .clone()
    }

    /// Keeps what `make` makes until the parcel is dropped, if it keeps nothing yet: what counts parcels
    /// that wait, for example, each once, however many it waits for.
    pub fn keep(&self, make: impl FnOnce() -> Box<dyn Any + Send + Sync>) {
        self.others().luggage.get_or_init(make);
    }

    /// The frames, for a WebSocket.
    #[inline]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The bytes that the parcel holds for a WebSocket. Outboxes are bounded by this.
    #[inline]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a parcel holds one frame at least"
    )]
    pub fn len(&self) -> usize {
        self.wire.len()
    }

    /// The packets, in order: text with its type, binary as it is.
    pub fn packets(&self) -> impl Iterator<Item = Data<'_>> {
        self.frames().map(|(_, payload, opcode)| match opcode {
            OpCode::Binary => Data::Binary(Cow::Borrowed(payload)),
            _ => Data::Text(std::str::from_utf8(payload).unwrap_or_default()),
        })
    }

    /// The bytes that [`append_payload`](Self::append_payload) appends, without the separator in
    /// front.
    pub fn payload_len(&self) -> usize {
        let len = self.frames().map(|(_, payload, opcode)| match opcode {
            OpCode::Binary => payload::binary_len(payload.len()) + 1,
            _ => payload.len() + 1,
        });
        len.sum::<usize>().saturating_sub(1)
    }

    /// Appends the packets as polling carries them, with a separator if `out` is not empty.
    pub fn append_payload(&self, out: &mut Vec<u8>) {
        let mut frames = self.frames();
        match (frames.next(), frames.next()) {
            (Some((_, payload, OpCode::Text)), None) => payload::push_raw(out, payload),
            _ => {
                let polling = &self.others().polling;
                payload::push_raw(out, polling.get_or_init(|| self.encode_payload()));
            }
        }
    }

    /// The parcel as clients of that dialect take it: itself, unless it holds bytes that they want
    /// in another way. Made once for all of them.
    pub fn translated(self: &Arc<Self>, dialect: Dialect) -> Arc<Self> {
        let index = match dialect {
            Dialect::V4 => return Arc::clone(self),
            Dialect::V4Base64 => 0,
            Dialect::V3 => 1,
            Dialect::V3Base64 => 2,
        };
        if self.frames().all(|(_, _, opcode)| opcode != OpCode::Binary) {
            return Arc::clone(self);
        }
        let translated = &self.others().translated[index];
        Arc::clone(translated.get_or_init(|| Arc::new(self.translate(dialect))))
    }

    fn translate(&self, dialect: Dialect) -> Self {
        let mut wire = Vec::with_capacity(self.wire.len() + 16);
        for (_, payload, opcode) in self.frames() {
            match (opcode, dialect) {
                (OpCode::Binary, Dialect::V3) => {
                    write_frame(&mut wire, OpCode::Binary, payload.len() + 1, |out| {
                        out.push(4);
                        out.extend_from_slice(payload);
                    });
                }
                (OpCode::Binary, Dialect::V3Base64) => {
                    let expect = payload::binary_len(payload.len()) + 1;
                    write_frame(&mut wire, OpCode::Text, expect, |out| {
                        v3::write_base64(out, payload);
                    });
                }
                (OpCode::Binary, Dialect::V4Base64) => {
                    let expect = payload::binary_len(payload.len());
                    write_frame(&mut wire, OpCode::Text, expect, |out| {
                        payload::write_base64(out, payload);
                    });
                }
                (opcode, _) => write_frame(&mut wire, opcode, payload.len(), |out| {
                    out.extend_from_slice(payload);
                }),
            }
        }
        Self::from_frames(wire).like(self)
    }

    fn others(&self) -> &Others {
        self.others.get_or_init(Box::default)
    }

    fn encode_payload(&self) -> Box<[u8]> {
        let mut out = Vec::with_capacity(self.payload_len());
        for (_, payload, opcode) in self.frames() {
            match opcode {
                OpCode::Binary => payload::push_binary(&mut out, payload),
                _ => payload::push_raw(&mut out, payload),
            }
        }
        out.into_boxed_slice()
    }

    /// Where each payload starts, the payload, and its kind. The headers say it, so nothing else
    /// has to be kept.
    fn frames(&self) -> impl Iterator<Item = (usize, &[u8], OpCode)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (header, len) = Header::parse(self.wire.get(at..)?).ok()??;
            let start = at + len;
            at = start.checked_add(usize::try_from(header.len).ok()?)?;
            Some((start, self.wire.get(start..at)?, header.opcode))
        })
    }
}

/// A parcel in the making.
#[derive(Debug)]
pub struct Builder {
    wire: Vec<u8>,
}

impl Builder {
    /// Adds an attachment, a binary message behind the text.
    #[must_use]
    pub fn attach(mut self, bytes: &[u8]) -> Self {
        write_frame(&mut self.wire, OpCode::Binary, bytes.len(), |out| {
            out.extend_from_slice(bytes);
        });
        self
    }

    /// Finishes the parcel.
    pub fn build(self) -> Parcel {
        Parcel::from_frames(self.wire)
    }
}

/// Appends the frame of one text message to `out`: the header, the type `4`, and what `write`
/// appends. For answers that go to one socket and need no parcel.
#[inline]
pub fn push_message(out: &mut Vec<u8>, expect: usize, write: impl FnOnce(&mut Vec<u8>)) {
    write_frame(out, OpCode::Text, expect + 1, |out| {
        out.push(b'4');
        write(out);
    });
}

/// The longest header of a frame that is not masked.
const HEADROOM: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(parcel: &Parcel) -> Vec<u8> {
        let mut out = Vec::new();
        parcel.append_payload(&mut out);
        assert_eq!(out.len(), parcel.payload_len());
        out
    }

    #[test]
    fn a_text_message_is_one_frame_and_one_segment() {
        let parcel = Parcel::text("2[\"a\"]");
        // FIN and text, 7 bytes, the packet.
        assert_eq!(parcel.wire(), b"\x81\x0742[\"a\"]");
        assert_eq!(payload(&parcel), b"42[\"a\"]");
    }

    #[test]
    fn attachments_lie_behind_their_text() {
        let parcel = Parcel::builder(5, |out| out.extend_from_slice(b"51-[]"))
            .attach(&[1, 2, 3, 4])
            .attach(&[])
            .build();
        assert_eq!(
            parcel.wire(),
            b"\x81\x06451-[]\x82\x04\x01\x02\x03\x04\x82\x00"
        );
        for _ in 0..2 {
            assert_eq!(payload(&parcel), b"451-[]\x1ebAQIDBA==\x1eb");
        }
        let mut out = b"6".to_vec();
        parcel.append_payload(&mut out);
        assert_eq!(out, b"6\x1e451-[]\x1ebAQIDBA==\x1eb");
    }

    #[test]
    fn a_binary_message_alone_is_a_parcel() {
        let parcel = Parcel::binary(&[0xff]);
        assert_eq!(parcel.wire(), b"\x82\x01\xff");
        assert_eq!(payload(&parcel), b"b/w==");
    }

    #[test]
    fn what_a_parcel_keeps_is_made_once_and_goes_with_it() {
        let counted = Arc::new(());
        let parcel = Arc::new(Parcel::text("x"));
        for holder in [Arc::clone(&parcel), parcel] {
            holder.keep(|| Box::new(Arc::clone(&counted)));
            assert_eq!(Arc::strong_count(&counted), 2);
        }
        assert_eq!(Arc::strong_count(&counted), 1);
    }

    #[test]
    fn control_packets_are_parcels() {
        assert_eq!(Parcel::control(Control::Ping).wire(), b"\x81\x012");
        assert_eq!(payload(&Parcel::control(Control::Pong)), b"3");
    }

    proptest! {
        #[test]
        fn a_parcel_is_the_same_on_both_roads(
            character: char,
            count in prop_oneof![0_usize..200, 20_000_usize..70_000],
            expect in 0_usize..70_000,
            attachments in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
        ) {
            let text = String::from_iter(vec![character; count]);
            let mut builder = Parcel::builder(expect, |out| out.extend_from_slice(text.as_bytes()));
            let mut naive = format!("4{text}").into_bytes();
            for attachment in &attachments {
                builder = builder.attach(attachment);
                payload::push_binary(&mut naive, attachment);
            }
            let parcel = builder.build();
            prop_assert_eq!(payload(&parcel), naive);
            let mut packets = parcel.packets();
            let first = format!("4{text}");
            prop_assert_eq!(packets.next(), Some(Data::Text(&first)));
            for attachment in &attachments {
                prop_assert_eq!(packets.next(), Some(Data::Binary(Cow::Borrowed(attachment))));
            }
            prop_assert_eq!(packets.next(), None);
        }
    }

    #[test]
    fn bytes_are_translated_for_those_who_want_them_otherwise_and_once() {
        let text = Arc::new(Parcel::text("a"));
        let photo = Parcel::builder(5, |out| out.extend_from_slice(b"51-[]"));
        let photo = Arc::new(photo.attach(&[1, 2, 3, 4]).build());
        for (dialect, wire) in [
            (Dialect::V4, &b"\x81\x06451-[]\x82\x04\x01\x02\x03\x04"[..]),
            (Dialect::V4Base64, b"\x81\x06451-[]\x81\x09bAQIDBA=="),
            (Dialect::V3, b"\x81\x06451-[]\x82\x05\x04\x01\x02\x03\x04"),
            (Dialect::V3Base64, b"\x81\x06451-[]\x81\x0ab4AQIDBA=="),
        ] {
            assert!(Arc::ptr_eq(&text.translated(dialect), &text));
            let translated = photo.translated(dialect);
            assert_eq!(translated.wire(), wire, "{dialect:?}");
            assert!(Arc::ptr_eq(&translated, &photo.translated(dialect)));
        }
    }
}
