//! What a session tells its driver to do.

use crate::parcel::Control;
use crate::payload::Payload;
use crate::reason::Reason;

/// Names one GET of a session, so that a late word about it is not taken for another one's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PollId(pub(crate) u32);

/// What to do now. From [`Session::poll_action`](crate::Session::poll_action).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Queue this packet behind what is queued.
    Send(Control),
    /// Send `3probe` on the probing WebSocket, at once and past the queue.
    SendProbe,
    /// Answer this GET, which waits no longer.
    Answer(PollId, Answer),
    /// Close the probing WebSocket with an empty close frame; the session goes on without it.
    DropProbe,
    /// The probing WebSocket is now the session's; send what is queued there.
    Switch,
    /// Send what is queued on the WebSocket, then close it with an empty close frame.
    Hang,
    /// The session is over. Always the last action.
    Ended(Reason),
}

/// How to answer a GET.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// With what is queued, then `1`.
    Close,
    /// With what is queued or `6`, then `1`: the last words of a session that was closed while no
    /// GET was waiting.
    LastWords,
    /// With what is queued, or `6` if nothing is.
    Noop,
    /// With `1` alone: the session has moved, and what is queued goes with it.
    Superseded,
}

impl Answer {
    /// Whether what is queued goes into the answer.
    #[inline]
    pub const fn drains(self) -> bool {
        !matches!(self, Self::Superseded)
    }

    /// Completes the body of the answer, into which the queue was drained before.
    pub fn finish(self, payload: &mut Payload) {
        if payload.is_empty() && matches!(self, Self::LastWords | Self::Noop) {
            payload.push_text("6");
        }
        if !matches!(self, Self::Noop) {
            payload.push_text("1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Revision;

    fn finished(answer: Answer, revision: Revision, queued: &[&str]) -> Vec<u8> {
        let mut payload = Payload::new(revision, 0);
        queued.iter().for_each(|packet| payload.push_text(packet));
        answer.finish(&mut payload);
        payload.into_bytes()
    }

    #[test]
    fn an_answer_is_never_empty() {
        for (answer, alone, behind, v3) in [
            (Answer::Close, "1", "4a\x1e1", "1:1"),
            (Answer::LastWords, "6\x1e1", "4a\x1e1", "1:61:1"),
            (Answer::Noop, "6", "4a", "1:6"),
            (Answer::Superseded, "1", "4a\x1e1", "1:1"),
        ] {
            assert_eq!(finished(answer, Revision::V4, &[]), alone.as_bytes());
            assert_eq!(finished(answer, Revision::V4, &["4a"]), behind.as_bytes());
            assert_eq!(finished(answer, Revision::V3, &[]), v3.as_bytes());
        }
    }
}
