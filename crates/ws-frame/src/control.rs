//! What a connection says by itself: pongs, and its part of the closing handshake, RFC 6455 §5.5
//! and §7.
//!
//! ```text
//! state         | close         peer's close  fault         transmitted   end of stream
//! --------------+----------------------------------------------------------------------
//! Open          | CloseSent     CloseReceived Failed        Open          Failed
//! CloseSent     | CloseSent     Closed        Failed        CloseSent     Failed
//! CloseReceived | CloseReceived CloseReceived CloseReceived Closed        CloseReceived
//! Closed        | Closed        Closed        Closed        Closed        Closed
//! Failed        | Failed        Failed        Failed        Failed        Failed
//! ```
//!
//! A close frame is queued on the way out of `Open` and at no other time, so there is never a second
//! one, and nothing is queued behind it.

use std::time::Duration;

use crate::{CloseCode, CloseFrame, Header, Limits, OpCode, ProtocolError, mask};

/// Where the closing handshake stands, §7.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// Our close frame is queued or sent. Nothing may be sent behind it (§5.5.1); the peer's is
    /// awaited, and until it comes messages may still arrive.
    CloseSent,
    /// The peer's close frame has come. The reply waits to be transmitted, what else arrives is
    /// discarded (§1.4).
    CloseReceived,
    /// Both close frames are through. A server closes the TCP connection now, a client gives the
    /// server a moment to do so (§7.1.1).
    Closed,
    /// The connection was failed (§7.1.7), or it ended without a close frame. What arrives is
    /// discarded; drop the TCP connection once nothing is left to transmit.
    Failed,
}

/// How a connection ended, §7.1.4 and §7.1.5.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum End {
    /// Behind the peer's close frame.
    Clean,
    /// Without one, or after a fault: what the API of browsers calls 1006.
    Abnormal,
}

/// Pongs that may wait; the newest takes the place of the last one if there are more. A peer that
/// reads nothing costs 2 KiB, and one that does gets each of its pongs.
const MAX_PONGS: u8 = 16;

#[derive(Debug)]
pub(crate) struct Control {
    state: State,
    /// Our close frame waits, behind what else is due. Without a reason it needs no memory.
    closes: bool,
    /// Its code, if it has one.
    code: Option<CloseCode>,
    /// Control frames that may still come, in parts of [`ONE`].
    allowance: u32,
    /// Nothing on an idle connection.
    due: Option<Box<Due>>,
}

/// Frames as a server sends them, one behind the other.
#[derive(Debug, Default)]
struct Due {
    frames: Vec<u8>,
    pongs: u8,
    /// Where the newest pong begins.
    newest: u16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Input {
    Close,
    PeerClose,
    Fault,
    Transmitted,
    EndOfStream,
}

const fn next(state: State, input: Input) -> State {
    match (state, input) {
        (State::Open, Input::Close) => State::CloseSent,
        (State::Open, Input::PeerClose) => State::CloseReceived,
        (State::CloseSent, Input::PeerClose) => State::Closed,
        (State::Open | State::CloseSent, Input::Fault | Input::EndOfStream) => State::Failed,
        (State::CloseReceived, Input::Transmitted) => State::Closed,
        (state, _) => state,
    }
}

impl Control {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self {
            state: State::Open,
            closes: false,
            code: None,
            allowance: limits.control_burst as u32 * ONE,
            due: None,
        }
    }

    #[inline]
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    #[inline]
    pub(crate) const fn is_due(&self) -> bool {
        self.due.is_some() || self.closes
    }

    /// A control frame has begun; an error if too many have come in too short a time.
    pub(crate) fn admit(&mut self) -> Result<(), ProtocolError> {
        let rest = self.allowance.checked_sub(ONE);
        self.allowance = rest.ok_or(ProtocolError::ControlRate)?;
        Ok(())
    }

    #[inline]
    pub(crate) fn handle_elapsed(&mut self, elapsed: Duration, limits: &Limits) {
        let burst = u32::from(limits.control_burst) * ONE;
        let micros = elapsed.as_micros().min(HOUR) as u64;
        let parts = micros * u64::from(limits.control_per_second) * u64::from(ONE) / 1_000_000;
        let more = u32::try_from(parts).unwrap_or(u32::MAX);
        self.allowance = self.allowance.saturating_add(more).min(burst);
    }

    /// A ping came: §5.5.2 wants it answered. Behind our close frame it is not: the peer would
    /// discard the pong (§1.4).
    pub(crate) fn handle_ping(&mut self, payload: &[u8]) {
        if self.state != State::Open {
            return;
        }
        let due = self.due.get_or_insert_default();
        if due.pongs == MAX_PONGS {
            // §5.5.3: a pong for only the newest ping will do.
            due.frames.truncate(usize::from(due.newest));
        } else {
            due.pongs += 1;
        }
        due.newest = due.frames.len() as u16;
        due.push(OpCode::Pong, [payload, &[]]);
    }

    /// The peer's close frame came; if it is not the answer to ours, the code is sent back (§5.5.1).
    pub(crate) fn handle_close(&mut self, frame: Option<CloseFrame<'_>>) {
        let reply = frame.map(|frame| frame.code().into());
        self.leave_open(Input::PeerClose, reply);
    }

    /// The peer broke the protocol: §7.1.7.
    #[cold]
    pub(crate) fn handle_fault(&mut self, fault: &ProtocolError) {
        self.leave_open(Input::Fault, Some(fault.close_code().into()));
    }

    pub(crate) fn handle_eof(&mut self) -> End {
        if matches!(self.state, State::Open | State::CloseSent) {
            self.due = None;
            self.closes = false;
        }
        self.state = next(self.state, Input::EndOfStream);
        match self.state {
            State::CloseReceived | State::Closed => End::Clean,
            State::Open | State::CloseSent | State::Failed => End::Abnormal,
        }
    }

    pub(crate) fn close(&mut self, frame: Option<CloseFrame<'_>>) {
        self.leave_open(Input::Close, frame);
    }

    fn leave_open(&mut self, input: Input, frame: Option<CloseFrame<'_>>) {
        if self.state == State::Open {
            match frame.filter(|frame| !frame.reason().is_empty()) {
                None => {
                    self.closes = true;
                    self.code = frame.map(|frame| frame.code());
                }
                Some(frame) => {
                    let code = frame.code().get().to_be_bytes();
                    let due = self.due.get_or_insert_default();
                    due.push(OpCode::Close, [&code, frame.reason().as_bytes()]);
                }
            }
        }
        self.state = next(self.state, input);
    }

    #[inline]
    pub(crate) fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.is_due() {
            return false;
        }
        if let Some(due) = self.due.take() {
            out.extend_from_slice(&due.frames);
        }
        if std::mem::take(&mut self.closes) {
            let code = self.code.map(|code| code.get().to_be_bytes());
            let code = code.as_ref().map_or(&[][..], |code| &code[..]);
            out.extend_from_slice(
                Header::new(OpCode::Close, code.len() as u64)
                    .encode()
                    .as_ref(),
            );
            out.extend_from_slice(code);
        }
        self.state = next(self.state, Input::Transmitted);
        true
    }

    pub(crate) fn poll_transmit_masked(
        &mut self,
        out: &mut Vec<u8>,
        mut key: impl FnMut() -> [u8; 4],
    ) -> bool {
        let mut plain = Vec::new();
        if !self.poll_transmit(&mut plain) {
            return false;
        }
        let mut frames = plain.as_slice();
        while let Ok(Some((header, size))) = Header::parse(frames) {
            let (frame, rest) = frames.split_at(size + header.len as usize);
            let key = key();
            let header = Header {
                mask: Some(key),
                ..header
            };
            out.extend_from_slice(header.encode().as_ref());
            let body = out.len();
            out.extend_from_slice(&frame[size..]);
            mask(&mut out[body..], key);
            frames = rest;
        }
        true
    }
}

impl Due {
    /// A frame with a payload in two parts.
    fn push(&mut self, opcode: OpCode, payload: [&[u8]; 2]) {
        let len = payload.map(<[u8]>::len).iter().sum::<usize>();
        let header = Header::new(opcode, len as u64).encode();
        self.frames.reserve(header.as_ref().len() + len);
        self.frames.extend_from_slice(header.as_ref());
        for part in payload {
            self.frames.extend_from_slice(part);
        }
    }
}

/// One control frame, in the unit of `allowance`: a burst of 65,535 is just within 32 bits, and
/// microseconds at fifty a second are still three parts each.
const ONE: u32 = 1 << 16;

/// In microseconds: more than any burst lasts that would be worth waiting for.
const HOUR: u128 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_message: 0,
        max_fragments: 0,
        control_burst: 2,
        control_per_second: 50,
    };

    /// How many control frames are admitted, one behind the other.
    fn admitted(control: &mut Control) -> usize {
        (0..).take_while(|_| control.admit().is_ok()).count()
    }

    #[test]
    fn control_frames_come_at_their_rate_and_in_their_burst() {
        let mut control = Control::new(&LIMITS);
        assert_eq!(admitted(&mut control), 2);
        control.handle_elapsed(Duration::from_millis(19), &LIMITS);
        assert_eq!(admitted(&mut control), 0);
        control.handle_elapsed(Duration::from_millis(2), &LIMITS);
        assert_eq!(admitted(&mut control), 1);
        control.handle_elapsed(Duration::MAX, &LIMITS);
        assert_eq!(admitted(&mut control), 2);
    }

    #[test]
    fn time_that_goes_by_in_small_steps_is_not_lost() {
        let mut control = Control::new(&LIMITS);
        assert_eq!(admitted(&mut control), 2);
        for _ in 0..1010 {
            control.handle_elapsed(Duration::from_micros(20), &LIMITS);
        }
        assert_eq!(admitted(&mut control), 1);
    }

    #[test]
    fn the_table_at_the_top_of_this_file_is_the_machine() {
        use std::fmt::Write as _;

        let mut table = String::new();
        for state in [
            State::Open,
            State::CloseSent,
            State::CloseReceived,
            State::Closed,
            State::Failed,
        ] {
            let mut row = format!("{:<13} |", format!("{state:?}"));
            for input in [
                Input::Close,
                Input::PeerClose,
                Input::Fault,
                Input::Transmitted,
                Input::EndOfStream,
            ] {
                write!(row, " {:<13}", format!("{:?}", next(state, input))).expect("a string");
            }
            writeln!(table, "//! {}", row.trim_end()).expect("a string");
        }
        assert!(include_str!("control.rs").contains(&table), "{table}");
    }

    fn transmitted(control: &mut Control) -> Vec<u8> {
        let mut out = Vec::new();
        control.poll_transmit(&mut out);
        out
    }

    #[test]
    fn pongs_go_out_in_the_order_of_the_pings() {
        let mut control = Control::new(&LIMITS);
        control.handle_ping(b"a");
        control.handle_ping(b"bc");
        assert_eq!(transmitted(&mut control), b"\x8a\x01a\x8a\x02bc");
        assert_eq!(transmitted(&mut control), b"");
    }

    #[test]
    fn of_too_many_pongs_the_newest_is_kept() {
        let mut control = Control::new(&LIMITS);
        for ping in 0..100_u8 {
            control.handle_ping(&[ping]);
        }
        let out = transmitted(&mut control);
        let pongs: Vec<u8> = out.chunks(3).map(|pong| pong[2]).collect();
        assert_eq!(pongs, (0..15).chain([99]).collect::<Vec<u8>>());
    }

    #[test]
    fn only_one_close_frame_is_ever_sent() {
        let close = CloseFrame::new(CloseCode::NORMAL, "bye");
        let mut control = Control::new(&LIMITS);
        control.close(close);
        control.close(close);
        control.handle_fault(&ProtocolError::Utf8);
        control.handle_close(close);
        assert_eq!(transmitted(&mut control), b"\x88\x05\x03\xe8bye");
        assert_eq!(control.state(), State::Failed);
    }

    #[test]
    fn a_pong_that_waits_leaves_before_the_close_frame_and_none_comes_behind_it() {
        let mut control = Control::new(&LIMITS);
        control.handle_ping(b"a");
        control.close(None);
        control.handle_ping(b"b");
        assert_eq!(transmitted(&mut control), b"\x8a\x01a\x88\x00");
    }

    #[test]
    fn a_client_masks_each_control_frame_with_a_key_of_its_own() {
        let mut control = Control::new(&LIMITS);
        control.handle_ping(b"ab");
        control.close(None);
        let mut keys = [[1, 2, 3, 4], [5, 6, 7, 8]].into_iter();
        let mut out = Vec::new();
        assert!(control.poll_transmit_masked(&mut out, || keys.next().expect("two frames")));
        assert_eq!(
            out,
            [
                0x8a,
                0x82,
                1,
                2,
                3,
                4,
                b'a' ^ 1,
                b'b' ^ 2, // the pong
                0x88,
                0x80,
                5,
                6,
                7,
                8, // the close frame
            ]
        );
    }
}
