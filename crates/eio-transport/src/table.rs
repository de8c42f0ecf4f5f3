//! The states of a session and its transitions, as a table.
//!
//! Theory of operation: a session is on polling or on a WebSocket, and can move from the first
//! to the second, once. On polling a GET waits or none does. While a WebSocket offers itself
//! both are true of both: so there are three pairs of states on polling. What a state and an
//! input do not list does nothing.
//!
//! `docs/engine-io-states.md` is drawn from this table by a test.

/// Where a session stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// Polling, no GET waits.
    Resting,
    /// Polling, a GET waits.
    Waiting,
    /// Resting, and a WebSocket has come that said nothing yet.
    RestingOffered,
    /// Waiting, and a WebSocket has come that said nothing yet.
    WaitingOffered,
    /// Resting, and the WebSocket has been probed: GETs are answered, so that the client can pause.
    RestingProbed,
    /// Waiting, and the WebSocket has been probed.
    WaitingProbed,
    /// On the WebSocket, but a POST from before is still being read and goes first.
    Settling,
    /// On the WebSocket.
    WebSocket,
    /// Closed by the server over polling; the last words wait for a GET.
    Closing,
    /// Over.
    Ended,
}

/// What the states have in common that share a deadline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    Polling,
    Upgrading,
    Settling,
    WebSocket,
    Closing,
    Ended,
}

/// What can happen to a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Input {
    /// A GET came.
    Poll,
    /// The driver answered the waiting GET with what was queued.
    Drained,
    /// The connection of the waiting GET was lost.
    PollLost,
    /// A NOOP may be given to the waiting GET.
    NoopDue,
    /// A WebSocket came.
    Offer,
    /// `2probe` on it.
    ProbePing,
    /// `5` on it.
    Upgrade,
    /// `5` on it while a POST is being read.
    UpgradeEarly,
    /// That POST has ended.
    PostEnd,
    /// Anything else on it, or its time is up.
    ProbeFailed,
    /// It is gone.
    ProbeLost,
    /// The session's WebSocket is gone.
    SocketLost,
    /// `1` in a POST.
    PeerClose,
    /// The application closes the session.
    Close,
    /// The client broke a rule or is dead.
    Fail,
    /// Nobody fetched the last words.
    GiveUp,
}

/// Effects of a step, a set. In this order they are handed out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Effects(u16);

/// What a state does on an input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Step {
    pub(crate) to: State,
    pub(crate) effects: Effects,
}

#[rustfmt::skip]
const TABLE: &[(State, &[(Input, State, &[Effects])])] = {
    use Input::*;
    use State::*;
    const NOOP: Effects = Effects::ANSWER_NOOP;
    const CLOSE: Effects = Effects::ANSWER_CLOSE;
    const LAST: Effects = Effects::ANSWER_LAST;
    const OVER: Effects = Effects::ANSWER_OVER;
    const PROBE: Effects = Effects::SEND_PROBE;
    const DROP: Effects = Effects::DROP_PROBE;
    const SWITCH: Effects = Effects::SWITCH;
    const HANG: Effects = Effects::HANG;
    const END: Effects = Effects::END;
    &[
        (Resting, &[
            (Poll,         Waiting,        &[]),
            (Offer,        RestingOffered, &[]),
            (PeerClose,    Ended,          &[END]),
            (Close,        Closing,        &[]),
            (Fail,         Ended,          &[END]),
        ]),
        (Waiting, &[
            (Drained,      Resting,        &[]),
            (PollLost,     Ended,          &[END]),
            (Offer,        WaitingOffered, &[]),
            (PeerClose,    Ended,          &[NOOP, END]),
            (Close,        Ended,          &[CLOSE, END]),
            (Fail,         Ended,          &[CLOSE, END]),
        ]),
        (RestingOffered, &[
            (Poll,         WaitingOffered, &[]),
            (ProbePing,    RestingProbed,  &[PROBE]),
            (Upgrade,      WebSocket,      &[SWITCH]),
            (UpgradeEarly, Settling,       &[SWITCH]),
            (ProbeFailed,  Resting,        &[DROP]),
            (ProbeLost,    Resting,        &[]),
            (PeerClose,    Ended,          &[DROP, END]),
            (Close,        Closing,        &[DROP]),
            (Fail,         Ended,          &[DROP, END]),
        ]),
        (WaitingOffered, &[
            (Drained,      RestingOffered, &[]),
            (PollLost,     Ended,          &[DROP, END]),
            (ProbePing,    WaitingProbed,  &[PROBE]),
            (Upgrade,      WebSocket,      &[OVER, SWITCH]),
            (UpgradeEarly, Settling,       &[OVER, SWITCH]),
            (ProbeFailed,  Waiting,        &[DROP]),
            (ProbeLost,    Waiting,        &[]),
            (PeerClose,    Ended,          &[NOOP, DROP, END]),
            (Close,        Ended,          &[CLOSE, DROP, END]),
            (Fail,         Ended,          &[CLOSE, DROP, END]),
        ]),
        (RestingProbed, &[
            (Poll,         WaitingProbed,  &[]),
            (ProbePing,    RestingProbed,  &[PROBE]),
            (Upgrade,      WebSocket,      &[SWITCH]),
            (UpgradeEarly, Settling,       &[SWITCH]),
            (ProbeFailed,  Resting,        &[DROP]),
            (ProbeLost,    Resting,        &[]),
            (PeerClose,    Ended,          &[DROP, END]),
            (Close,        Closing,        &[DROP]),
            (Fail,         Ended,          &[DROP, END]),
        ]),
        (WaitingProbed, &[
            (Drained,      RestingProbed,  &[]),
            (PollLost,     Ended,          &[DROP, END]),
            (NoopDue,      RestingProbed,  &[NOOP]),
            (ProbePing,    WaitingProbed,  &[PROBE]),
            (Upgrade,      WebSocket,      &[OVER, SWITCH]),
            (UpgradeEarly, Settling,       &[OVER, SWITCH]),
            (ProbeFailed,  Waiting,        &[DROP]),
            (ProbeLost,    Waiting,        &[]),
            (PeerClose,    Ended,          &[NOOP, DROP, END]),
            (Close,        Ended,          &[CLOSE, DROP, END]),
            (Fail,         Ended,          &[CLOSE, DROP, END]),
        ]),
        (Settling, &[
            (PostEnd,      WebSocket,      &[]),
            (SocketLost,   Ended,          &[END]),
            (PeerClose,    Ended,          &[HANG, END]),
            (Close,        Ended,          &[HANG, END]),
            (Fail,         Ended,          &[HANG, END]),
        ]),
        (WebSocket, &[
            (SocketLost,   Ended,          &[END]),
            (Close,        Ended,          &[HANG, END]),
            (Fail,         Ended,          &[HANG, END]),
        ]),
        (Closing, &[
            (Poll,         Ended,          &[LAST, END]),
            (PeerClose,    Ended,          &[END]),
            (Fail,         Ended,          &[END]),
            (GiveUp,       Ended,          &[END]),
        ]),
        (Ended, &[]),
    ]
};

/// The table with every state and input in its place.
static STEPS: [[Step; Input::COUNT]; State::COUNT] = index();

impl State {
    const COUNT: usize = Self::Ended as usize + 1;

    #[inline]
    pub(crate) const fn phase(self) -> Phase {
        match self {
            Self::Resting | Self::Waiting => Phase::Polling,
            Self::RestingOffered
            | Self::WaitingOffered
            | Self::RestingProbed
            | Self::WaitingProbed => Phase::Upgrading,
            Self::Settling => Phase::Settling,
            Self::WebSocket => Phase::WebSocket,
            Self::Closing => Phase::Closing,
            Self::Ended => Phase::Ended,
        }
    }

    #[inline]
    pub(crate) const fn is_probed(self) -> bool {
        matches!(self, Self::RestingProbed | Self::WaitingProbed)
    }

    #[inline]
    pub(crate) fn on(self, input: Input) -> Step {
        STEPS[self as usize][input as usize]
    }
}

impl Input {
    const COUNT: usize = Self::GiveUp as usize + 1;
}

impl Effects {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const PING: Self = Self(1);
    pub(crate) const PONG: Self = Self(1 << 1);
    pub(crate) const SEND_PROBE: Self = Self(1 << 2);
    pub(crate) const ANSWER_NOOP: Self = Self(1 << 3);
    pub(crate) const ANSWER_CLOSE: Self = Self(1 << 4);
    pub(crate) const ANSWER_LAST: Self = Self(1 << 5);
    pub(crate) const ANSWER_OVER: Self = Self(1 << 6);
    pub(crate) const DROP_PROBE: Self = Self(1 << 7);
    pub(crate) const SWITCH: Self = Self(1 << 8);
    pub(crate) const HANG: Self = Self(1 << 9);
    pub(crate) const END: Self = Self(1 << 10);

    #[inline]
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(crate) const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Takes the first effect out of a set that is not empty.
    #[inline]
    pub(crate) const fn take_first(&mut self) -> Self {
        let first = Self(self.0 & self.0.wrapping_neg());
        self.0 &= !first.0;
        first
    }
}

const fn index() -> [[Step; Input::COUNT]; State::COUNT] {
    const STATES: [State; State::COUNT] = [
        State::Resting,
        State::Waiting,
        State::RestingOffered,
        State::WaitingOffered,
        State::RestingProbed,
        State::WaitingProbed,
        State::Settling,
        State::WebSocket,
        State::Closing,
        State::Ended,
    ];
    let stay = Step {
        to: State::Ended,
        effects: Effects::NONE,
    };
    let mut steps = [[stay; Input::COUNT]; State::COUNT];
    let mut from = 0;
    while from < State::COUNT {
        let mut input = 0;
        while input < Input::COUNT {
            steps[from][input].to = STATES[from];
            input += 1;
        }
        let (state, rows) = TABLE[from];
        assert!(
            state as usize == from,
            "the table is in the order of the states"
        );
        let mut row = 0;
        while row < rows.len() {
            let (input, to, effects) = rows[row];
            assert!(
                row == 0 || (rows[row - 1].0 as usize) < input as usize,
                "inputs are in order"
            );
            let step = &mut steps[from][input as usize];
            step.to = to;
            let mut effect = 0;
            while effect < effects.len() {
                step.effects.add(effects[effect]);
                effect += 1;
            }
            row += 1;
        }
        from += 1;
    }
    steps
}
