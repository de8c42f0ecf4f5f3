//! Socket.IO packets as the WebSocket frames that carry them, headers included.
//!
//! Frames from a server are not masked, so these bytes are the same for every recipient: they are
//! written once, and what goes to each of them is a pointer.
//!
//! A large attachment is not copied behind its header. It stays where serde has put it, as a *piece*,
//! until the frames are written in one call or made a parcel:
//!
//! ```text
//!  bytes:   [header|4 61-…][header] [header|4 35[…]] …
//!                                  ▲ at
//!  piece:              [attachment ]
//! ```

use std::{
    borrow::Cow,
    io::{self, IoSlice},
};

use eio_transport::Parcel;
use serde::Serialize;
use sio_packet::{Attachments, WriteError};
use ws_frame::{Header, OpCode, write_frame};

use crate::{outbox::MAX_SLICES, tcp::Tcp};

/// The Engine.IO packet type that stands in front of every Socket.IO packet.
pub(crate) const MESSAGE: u8 = b'4';

/// The payload length guessed for a text frame: most are short, and a wrong guess costs one move.
const EXPECT: usize = 64;

/// Attachments of so many bytes are pieces. Two more slices for the kernel cost as much as a copy of
/// some kilobytes.
const PIECE: usize = 8 << 10;

/// Frames in the making, one behind the other.
#[derive(Default)]
pub(crate) struct Frames {
    /// All but the pieces.
    pub(crate) bytes: Vec<u8>,
    /// Those that are pieces, and what else their packets have; empty if there are no pieces.
    attachments: Attachments,
    pieces: Vec<Piece>,
    /// How long the pieces are together.
    apart: usize,
}

/// An attachment that lies elsewhere.
struct Piece {
    /// How many of `bytes` are in front of it.
    at: usize,
    attachment: usize,
}

/// How far frames were written.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    bytes: usize,
    pieces: usize,
}

impl Frames {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.apart
    }

    /// Whether any of it lies elsewhere than in `bytes`.
    #[inline]
    pub(crate) fn has_pieces(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// All of it, in one piece.
    #[inline]
    pub(crate) fn joined(&self) -> Cow<'_, [u8]> {
        match self.has_pieces() {
            false => Cow::Borrowed(&self.bytes),
            true => Cow::Owned(self.join()),
        }
    }

    #[cold]
    fn join(&self) -> Vec<u8> {
        let mut joined = Vec::with_capacity(self.len());
        self.slices()
            .for_each(|slice| joined.extend_from_slice(slice));
        joined
    }

    pub(crate) fn parcel(&self) -> Parcel {
        Parcel::from_frames(self.joined())
    }

    /// Writes as much of it as the socket takes in one call.
    pub(crate) fn send(&self, stream: &Tcp) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(self.slices()) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        stream.send_all(&slices[..count])
    }

    /// Bytes and pieces, in order.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let between = self.pieces.iter().flat_map(move |piece| {
            let bytes = &self.bytes[std::mem::replace(&mut from, piece.at)..piece.at];
            let attachment = self.attachments.get(piece.attachment);
            [bytes, attachment.unwrap_or_default()]
        });
        let last = self.pieces.last().map_or(0, |piece| piece.at);
        let all = between.chain([&self.bytes[last..]]);
        all.filter(|slice| !slice.is_empty())
    }

    /// Appends an event: its text, then its attachments.
    pub(crate) fn event<T: Serialize + ?Sized>(
        &mut self,
        namespace: &str,
        ack: Option<u64>,
        name: &str,
        args: &T,
    ) -> Result<(), WriteError> {
        self.message(|text, attachments| {
            sio_packet::write_event(text, namespace, ack, name, args, attachments)
        })
    }

    /// Appends the answer to an event.
    pub(crate) fn ack<T: Serialize + ?Sized>(
        &mut self,
        namespace: &str,
        id: u64,
        args: &T,
    ) -> Result<(), WriteError> {
        self.message(|text, attachments| {
            sio_packet::write_ack(text, namespace, id, args, attachments)
        })
    }

    /// Appends a packet without attachments.
    pub(crate) fn plain(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        plain(&mut self.bytes, write)
    }

    /// Appends what others have written.
    pub(crate) fn append(&mut self, frames: &Self) {
        self.bytes.extend_from_slice(&frames.joined());
    }

    fn message(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, &mut Attachments) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let before = self.attachments.len();
        plain(&mut self.bytes, |text| write(text, &mut self.attachments))?;
        if self.attachments.len() > before {
            self.attach(before);
        }
        Ok(())
    }

    /// Appends the frames of the attachments behind the first `before`.
    #[cold]
    fn attach(&mut self, before: usize) {
        let pieces = self.pieces.len();
        for (number, attachment) in self.attachments.iter().enumerate().skip(before) {
            let len = attachment.len();
            if len < PIECE {
                write_frame(&mut self.bytes, OpCode::Binary, len, |payload| {
                    payload.extend_from_slice(attachment);
                });
                continue;
            }
            let header = Header::new(OpCode::Binary, len as u64).encode();
            self.bytes.extend_from_slice(header.as_ref());
            self.pieces.push(Piece {
                at: self.bytes.len(),
                attachment: number,
            });
            self.apart += len;
        }
        if self.pieces.len() == pieces {
            self.attachments.truncate(before);
        }
    }

    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes.len(),
            pieces: self.pieces.len(),
        }
    }

    /// Takes away what was written behind a mark.
    #[inline]
    pub(crate) fn truncate(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        if self.pieces.len() > mark.pieces {
            self.truncate_pieces(mark.pieces);
        }
    }

    #[cold]
    fn truncate_pieces(&mut self, len: usize) {
        self.pieces.truncate(len);
        let attachments = self.pieces.last().map_or(0, |piece| piece.attachment + 1);
        self.attachments.truncate(attachments);
        let lens = self
            .pieces
            .iter()
            .map(|piece| self.attachments.get(piece.attachment));
        self.apart = lens.flatten().map(<[u8]>::len).sum();
    }

    /// Takes away everything, and keeps the memory unless it is more than `most`.
    #[inline]
    pub(crate) fn clear(&mut self, most: usize) {
        self.bytes.clear();
        if self.bytes.capacity() > most || !self.attachments.is_empty() {
            self.clear_all(most);
        }
    }

    #[cold]
    fn clear_all(&mut self, most: usize) {
        self.pieces.clear();
        self.apart = 0;
        self.attachments.clear();
        if self.bytes.capacity().max(self.attachments.capacity()) > most {
            *self = Self::default();
        }
    }
}

/// Appends a packet without attachments.
#[inline]
fn plain(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let start = out.len();
    let mut result = Ok(());
    write_frame(out, OpCode::Text, EXPECT, |text| {
        text.push(MESSAGE);
        result = write(text);
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;
    use sio_packet::{Value, write_ack};

    use super::*;
    use crate::outbox::Outbox;

    /// An answer: its text, and attachments of these lengths.
    fn answer(lens: &[usize]) -> (String, Vec<Value>) {
        let bytes = |(n, len): (usize, &usize)| {
            Value::Binary((0..*len).map(|i| (i / 251 + i + n) as u8).collect())
        };
        (
            "text".repeat(lens.len()),
            lens.iter().enumerate().map(bytes).collect(),
        )
    }

    /// The same frames, one behind the other in one buffer.
    fn naive(wire: &mut Vec<u8>, id: u64, args: &(String, Vec<Value>)) {
        let mut attachments = Attachments::new();
        plain(wire, |text| {
            write_ack(text, "/", id, args, &mut attachments)
        })
        .unwrap();
        for bytes in args.1.iter().filter_map(Value::as_binary) {
            write_frame(wire, OpCode::Binary, bytes.len(), |out| {
                out.extend_from_slice(bytes)
            });
        }
    }

    fn answers() -> impl Strategy<Value = Vec<Vec<usize>>> {
        let len = prop_oneof![0..200usize, PIECE - 2..PIECE + 2, 65_530..65_540usize];
        prop::collection::vec(prop::collection::vec(len, 0..4), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_the_socket_takes_the_rest_follows_once_and_in_order(
            answers in answers(),
            takes in prop::collection::vec(1..200_000usize, 1..40),
            behind: bool,
        ) {
            let (mut frames, mut wire) = (Frames::default(), Vec::new());
            for (id, lens) in answers.iter().enumerate() {
                let args = answer(lens);
                frames.ack("/", id as u64, &args).unwrap();
                naive(&mut wire, id as u64, &args);
                prop_assert_eq!(frames.len(), wire.len());
            }
            let has_large = answers.iter().flatten().any(|len| *len >= PIECE);
            prop_assert_eq!(frames.has_pieces(), has_large);
            prop_assert!(frames.bytes.len() <= wire.len() - frames.apart);
            prop_assert!(frames.joined() == wire);

            // The one call, and then what `Link::send_pieces` does.
            let mut takes = takes.into_iter().cycle();
            let offered: Vec<u8> = frames.slices().take(MAX_SLICES).flatten().copied().collect();
            let mut sent = takes.next().unwrap().min(offered.len());
            let mut left = offered[..sent].to_vec();
            let mut outbox = Outbox::default();
            if behind {
                let parcel = Parcel::text("behind");
                wire.extend_from_slice(parcel.wire());
                outbox.push(Arc::new(parcel));
            }
            if sent < frames.len() {
                outbox.push_front(Arc::new(frames.parcel()), sent);
            }
            while !outbox.is_empty() {
                prop_assert_eq!(outbox.bytes(), wire.len() - left.len());
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let count = outbox.gather(&[], &mut slices);
                let offered = slices[..count].iter().flat_map(|slice| &slice[..]);
                sent = takes.next().unwrap();
                let taken: Vec<u8> = offered.take(sent).copied().collect();
                outbox.advance(taken.len());
                left.extend_from_slice(&taken);
            }
            prop_assert!(left == wire);
        }
    }

    #[test]
    fn what_is_taken_back_leaves_what_was_before() {
        let mut frames = Frames::default();
        let mut wire = Vec::new();
        for lens in [&[][..], &[5], &[PIECE, 5], &[5, 5]] {
            let args = answer(lens);
            let mark = frames.mark();
            frames.ack("/", 9, &answer(&[5, PIECE, PIECE])).unwrap();
            frames.truncate(mark);
            frames.ack("/", 1, &args).unwrap();
            naive(&mut wire, 1, &args);
            assert!(frames.joined() == wire);
            assert_eq!(frames.len(), wire.len());
        }
        let mut others = Frames::default();
        others.ack("/", 1, &answer(&[PIECE])).unwrap();
        naive(&mut wire, 1, &answer(&[PIECE]));
        frames.append(&others);
        assert!(frames.joined() == wire);
        frames.clear(usize::MAX);
        assert_eq!((frames.len(), frames.has_pieces()), (0, false));
    }

    #[test]
    fn an_attachment_that_is_shared_is_let_go_of_with_the_frames() {
        let shared = Bytes::from(vec![7; PIECE]);
        let mut frames = Frames::default();
        frames.ack("/", 1, &Value::Binary(shared.clone())).unwrap();
        assert!(frames.slices().any(|slice| std::ptr::eq(slice, &*shared)));
        assert!(!shared.is_unique());
        frames.clear(usize::MAX);
        assert!(shared.is_unique());
    }
}
