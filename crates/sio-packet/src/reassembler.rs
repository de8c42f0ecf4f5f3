//! A binary packet and its attachments, put together again.

use bytes::Bytes;

use crate::{Limits, Packet, ParseError};

/// Puts binary packets together: the text comes first, then so many binary messages as it said.
///
/// It holds at most one packet: its text, which is at most one message, and its attachments, whose
/// number and bytes are bounded by [`Limits`] as they come. Without one it is a null pointer.
///
/// The attachments must follow at once; anything else ends the connection. How long to wait for
/// them is the caller's business, see [`Reassembler::is_waiting`].
///
/// ```
/// use bytes::Bytes;
/// use sio_packet::{Args, Limits, Reassembler};
///
/// let (mut packets, limits) = (Reassembler::new(), Limits::default());
/// let text = r#"51-["photo",{"_placeholder":true,"num":0}]"#;
/// assert!(packets.push_text(text, &limits)?.is_none());
/// assert!(packets.is_waiting() && packets.held() == text.len());
///
/// let photo = Bytes::from_static(b"\xff\xd8");
/// let mut complete = packets.push_binary(photo.clone(), &limits)?.expect("it was the last");
/// let (packet, attachments) = complete.parts();
/// let (event, rest) = packet.event(&limits)?;
/// let read: Bytes = Args::event(rest, attachments).read()?;
/// assert_eq!((&*event, read), ("photo", photo));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Reassembler {
    begun: Option<Box<Complete>>,
}

/// A binary packet with all its attachments.
#[derive(Debug)]
pub struct Complete {
    text: Box<str>,
    attachments: Vec<Bytes>,
    due: usize,
    len: usize,
}

impl Reassembler {
    /// One that waits for nothing; allocates nothing.
    pub const fn new() -> Self {
        Self { begun: None }
    }

    /// Whether attachments are due.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.begun.is_some()
    }

    /// Bytes of the packet that is not complete yet: its text and its attachments so far.
    #[inline]
    pub fn held(&self) -> usize {
        self.begun
            .as_ref()
            .map_or(0, |begun| begun.text.len() + begun.len)
    }

    /// A text message came: its packet, or `None` if attachments are due first.
    ///
    /// # Errors
    /// If attachments were due, or the text is no packet: close the connection.
    #[inline]
    pub fn push_text<'a>(
        &mut self,
        text: &'a str,
        limits: &Limits,
    ) -> Result<Option<Packet<'a>>, ParseError> {
        if let Some(begun) = self.begun.take() {
            let missing = begun.due - begun.attachments.len();
            return Err(ParseError::AttachmentsDue { missing });
        }
        let packet = Packet::parse(text, limits)?;
        if packet.attachments == 0 {
            return Ok(Some(packet));
        }
        self.begin(text, packet.attachments);
        Ok(None)
    }

    /// A binary message came: the packet that it completes, or `None` if more attachments are due.
    ///
    /// The packet keeps `data` alive: give it memory of its own, not a slice of a read buffer.
    ///
    /// # Errors
    /// If no attachment was due, or the limit is exceeded: close the connection.
    pub fn push_binary(
        &mut self,
        data: Bytes,
        limits: &Limits,
    ) -> Result<Option<Box<Complete>>, ParseError> {
        let mut begun = self.begun.take().ok_or(ParseError::UnexpectedBinary)?;
        begun.len += data.len();
        if begun.len > limits.max_binary_bytes {
            let (len, limit) = (begun.len, limits.max_binary_bytes);
            return Err(ParseError::BinaryTooLong { len, limit });
        }
        begun.attachments.push(data);
        if begun.attachments.len() == begun.due {
            return Ok(Some(begun));
        }
        self.begun = Some(begun);
        Ok(None)
    }

    /// Forgets a packet that was begun.
    pub fn clear(&mut self) {
        self.begun = None;
    }

    #[cold]
    fn begin(&mut self, text: &str, due: usize) {
        let attachments = Vec::with_capacity(due);
        self.begun = Some(Box::new(Complete {
            text: text.into(),
            attachments,
            due,
            len: 0,
        }));
    }
}

impl Complete {
    /// The packet, and its attachments in the order of their numbers, for
    /// [`Args`](crate::Args).
    pub fn parts(&mut self) -> (Packet<'_>, &mut [Bytes]) {
        let packet = Packet::parse(&self.text, &UNLIMITED).expect("it was a packet when it came");
        (packet, &mut self.attachments)
    }
}

/// The limits were checked when the text came.
const UNLIMITED: Limits = Limits {
    max_attachments: usize::MAX,
    max_auth: usize::MAX,
    max_binary_bytes: usize::MAX,
    max_event_name: usize::MAX,
    max_namespace: usize::MAX,
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Kind;

    const LIMITS: Limits = Limits {
        max_attachments: 3,
        max_binary_bytes: 100,
        ..UNLIMITED
    };

    #[test]
    fn a_binary_packet_is_complete_with_its_last_attachment() {
        let mut reassembler = Reassembler::new();
        let text = String::from("52-/a,7[\"e\",{\"_placeholder\":true,\"num\":0}]");
        assert_eq!(reassembler.push_text(&text, &LIMITS), Ok(None));
        let text_len = text.len();
        drop(text);
        assert!(
            reassembler
                .push_binary(Bytes::from_static(b"one"), &LIMITS)
                .unwrap()
                .is_none()
        );
        assert!(reassembler.is_waiting());
        assert_eq!(reassembler.held(), text_len + 3);
        let complete = reassembler
            .push_binary(Bytes::from_static(b""), &LIMITS)
            .unwrap();
        assert!(!reassembler.is_waiting());
        assert_eq!(reassembler.held(), 0);
        let mut complete = complete.unwrap();
        let (packet, attachments) = complete.parts();
        assert_eq!(
            (packet.kind, packet.namespace, packet.id),
            (Kind::BinaryEvent, "/a", Some(7))
        );
        assert_eq!(attachments, [&b"one"[..], b""]);
    }

    #[test]
    fn a_text_packet_passes_through() {
        let mut reassembler = Reassembler::new();
        let packet = reassembler.push_text("2[\"e\"]", &LIMITS).unwrap();
        assert_eq!(packet.unwrap().data, "[\"e\"]");
        assert!(!reassembler.is_waiting());
    }

    #[test]
    fn nothing_may_come_between_a_packet_and_its_attachments() {
        let mut reassembler = Reassembler::new();
        reassembler.push_text("52-[\"e\"]", &LIMITS).unwrap();
        reassembler.push_binary(Bytes::new(), &LIMITS).unwrap();
        let error = ParseError::AttachmentsDue { missing: 1 };
        assert_eq!(reassembler.push_text("2[\"e\"]", &LIMITS), Err(error));
        assert!(!reassembler.is_waiting());
    }

    // S5.
    #[test]
    fn a_binary_message_without_a_packet_is_refused() {
        let mut reassembler = Reassembler::new();
        assert_eq!(
            reassembler.push_text("50-[\"e\"]", &LIMITS),
            Err(ParseError::NoAttachments)
        );
        let error = reassembler.push_binary(Bytes::new(), &LIMITS).unwrap_err();
        assert_eq!(error, ParseError::UnexpectedBinary);
        assert!(!reassembler.is_waiting());
    }

    // S6.
    #[test]
    fn a_packet_that_was_begun_can_be_forgotten() {
        let mut reassembler = Reassembler::new();
        reassembler.push_text("51-[\"e\"]", &LIMITS).unwrap();
        reassembler.clear();
        let error = reassembler.push_binary(Bytes::new(), &LIMITS).unwrap_err();
        assert_eq!(error, ParseError::UnexpectedBinary);
    }

    #[test]
    fn attachments_are_bounded_in_number_and_bytes() {
        let mut reassembler = Reassembler::new();
        let error = ParseError::TooManyAttachments { limit: 3 };
        assert_eq!(reassembler.push_text("54-[\"e\"]", &LIMITS), Err(error));
        for (len, result) in [(60, Ok(())), (61, Err(()))] {
            reassembler.push_text("52-[\"e\"]", &LIMITS).unwrap();
            reassembler
                .push_binary(Bytes::from(vec![0; 40]), &LIMITS)
                .unwrap();
            let last = reassembler.push_binary(Bytes::from(vec![0; len]), &LIMITS);
            assert_eq!(last.map(|_| ()).map_err(|_| ()), result, "{len}");
            assert!(!reassembler.is_waiting());
        }
    }

    #[derive(Clone, Debug)]
    enum Input {
        Binary(usize),
        Clear,
        Text(&'static str),
    }

    fn inputs() -> impl Strategy<Value = Vec<Input>> {
        let input = prop_oneof![
            (0..60usize).prop_map(Input::Binary),
            Just(Input::Clear),
            prop::sample::select(
                &[
                    "2[\"e\"]",
                    "51-[\"e\"]",
                    "52-[\"e\"]",
                    "53-[\"e\"]",
                    "54-[\"e\"]",
                    "50-[\"e\"]",
                    "x"
                ][..]
            )
            .prop_map(Input::Text),
        ];
        prop::collection::vec(input, 0..50)
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_its_limits(inputs in inputs()) {
            let mut reassembler = Reassembler::new();
            // The model: attachments due, and bytes of those that came.
            let (mut due, mut held) = (0usize, 0);
            for input in inputs {
                match input {
                    Input::Binary(len) => {
                        let result = reassembler.push_binary(Bytes::from(vec![0; len]), &LIMITS);
                        held += len;
                        let complete = matches!(result, Ok(Some(_)));
                        prop_assert_eq!(result.is_ok(), due > 0 && held <= 100);
                        prop_assert_eq!(complete, due == 1 && held <= 100);
                        due = if result.is_ok() { due - 1 } else { 0 };
                    }
                    Input::Clear => {
                        reassembler.clear();
                        due = 0;
                    }
                    Input::Text(text) => {
                        let result = reassembler.push_text(text, &LIMITS);
                        prop_assert!(result.is_err() || due == 0);
                        let begun = matches!(result, Ok(None));
                        due = if begun { text[1..2].parse().unwrap() } else { 0 };
                    }
                }
                held = if due == 0 { 0 } else { held };
                prop_assert_eq!(reassembler.is_waiting(), due > 0);
                if let Some(begun) = &reassembler.begun {
                    prop_assert_eq!(begun.due - begun.attachments.len(), due);
                    prop_assert!(begun.attachments.iter().map(Bytes::len).sum::<usize>() <= 100);
                }
            }
        }
    }
}
