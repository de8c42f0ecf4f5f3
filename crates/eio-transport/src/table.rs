//! The states of a session and its transitions, as a table.
//!
//! Theory of operation: a session is on polling or on a WebSocket, and can move from the first
//! to the second, once. On polling a GET waits or none does, and that holds while a WebSocket
//! offers itself and after it was probed: three pairs of states. What a state and an
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
    /// The same, and the WebSocket has been probed: a client that has paused will not send a GET
    /// any more, but `5`.
    ClosingProbed,
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

/// A state, and what it does on which inputs.
struct When(State, &'static [On]);

/// On this input go to that state and do these things.
struct On(Input, State, &'static [Effects]);

#[rustfmt::skip]
const TABLE: &[When] = {
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
        When(Resting, &[
            On(Poll,         Waiting,        &[]),
            On(Offer,        RestingOffered, &[]),
            On(PeerClose,    Ended,          &[END]),
            On(Close,        Closing,        &[]),
            On(Fail,         Ended,          &[END]),
        ]),
        When(Waiting, &[
            On(Drained,      Resting,        &[]),
            On(PollLost,     Ended,          &[END]),
            On(Offer,        WaitingOffered, &[]),
            On(PeerClose,    Ended,          &[NOOP, END]),
            On(Close,        Ended,          &[CLOSE, END]),
            On(Fail,         Ended,          &[CLOSE, END]),
        ]),
        When(RestingOffered, &[
            On(Poll,         WaitingOffered, &[]),
            On(ProbePing,    RestingProbed,  &[PROBE]),
            On(Upgrade,      WebSocket,      &[SWITCH]),
            On(UpgradeEarly, Settling,       &[SWITCH]),
            On(ProbeFailed,  Resting,        &[DROP]),
            On(ProbeLost,    Resting,        &[]),
            On(PeerClose,    Ended,          &[DROP, END]),
            On(Close,        Closing,        &[DROP]),
            On(Fail,         Ended,          &[DROP, END]),
        ]),
        When(WaitingOffered, &[
            On(Drained,      RestingOffered, &[]),
            On(PollLost,     Ended,          &[DROP, END]),
            On(ProbePing,    WaitingProbed,  &[PROBE]),
            On(Upgrade,      WebSocket,      &[OVER, SWITCH]),
            On(UpgradeEarly, Settling,       &[OVER, SWITCH]),
            On(ProbeFailed,  Waiting,        &[DROP]),
            On(ProbeLost,    Waiting,        &[]),
            On(PeerClose,    Ended,          &[NOOP, DROP, END]),
            On(Close,        Ended,          &[CLOSE, DROP, END]),
            On(Fail,         Ended,          &[CLOSE, DROP, END]),
        ]),
        When(RestingProbed, &[
            On(Poll,         WaitingProbed,  &[]),
            On(ProbePing,    RestingProbed,  &[PROBE]),
            On(Upgrade,      WebSocket,      &[SWITCH]),
            On(UpgradeEarly, Settling,       &[SWITCH]),
            On(ProbeFailed,  Resting,        &[DROP]),
            On(ProbeLost,    Resting,        &[]),
            On(PeerClose,    Ended,          &[DROP, END]),
            On(Close,        ClosingProbed,  &[]),
            On(Fail,         Ended,          &[DROP, END]),
        ]),
        When(WaitingProbed, &[
            On(Drained,      RestingProbed,  &[]),
            On(PollLost,     Ended,          &[DROP, END]),
            On(NoopDue,      RestingProbed,  &[NOOP]),
            On(ProbePing,    WaitingProbed,  &[PROBE]),
            On(Upgrade,      WebSocket,      &[OVER, SWITCH]),
            On(UpgradeEarly, Settling,       &[OVER, SWITCH]),
            On(ProbeFailed,  Waiting,        &[DROP]),
            On(ProbeLost,    Waiting,        &[]),
            On(PeerClose,    Ended,          &[NOOP, DROP, END]),
            On(Close,        Ended,          &[CLOSE, DROP, END]),
            On(Fail,         Ended,          &[CLOSE, DROP, END]),
        ]),
        When(Settling, &[
            On(PostEnd,      WebSocket,      &[]),
            On(SocketLost,   Ended,          &[END]),
            On(PeerClose,    Ended,          &[HANG, END]),
            On(Close,        Ended,          &[HANG, END]),
            On(Fail,         Ended,          &[HANG, END]),
        ]),
        When(WebSocket, &[
            On(SocketLost,   Ended,          &[END]),
            On(Close,        Ended,          &[HANG, END]),
            On(Fail,         Ended,          &[HANG, END]),
        ]),
        When(Closing, &[
            On(Poll,         Ended,          &[LAST, END]),
            On(PeerClose,    Ended,          &[END]),
            On(Fail,         Ended,          &[END]),
            On(GiveUp,       Ended,          &[END]),
        ]),
        When(ClosingProbed, &[
            On(Poll,         Ended,          &[LAST, DROP, END]),
            On(ProbePing,    ClosingProbed,  &[PROBE]),
            On(Upgrade,      Ended,          &[SWITCH, HANG, END]),
            On(UpgradeEarly, Ended,          &[SWITCH, HANG, END]),
            On(ProbeFailed,  Closing,        &[DROP]),
            On(ProbeLost,    Closing,        &[]),
            On(PeerClose,    Ended,          &[DROP, END]),
            On(Fail,         Ended,          &[DROP, END]),
            On(GiveUp,       Ended,          &[DROP, END]),
        ]),
        When(Ended, &[]),
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
            Self::Closing | Self::ClosingProbed => Phase::Closing,
            Self::Ended => Phase::Ended,
        }
    }

    /// Whether a WebSocket offers itself.
    #[inline]
    pub(crate) const fn has_probe(self) -> bool {
        matches!(self.phase(), Phase::Upgrading) || matches!(self, Self::ClosingProbed)
    }

    #[inline]
    pub(crate) const fn is_probed(self) -> bool {
        matches!(
            self,
            Self::RestingProbed | Self::WaitingProbed | Self::ClosingProbed
        )
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
        State::ClosingProbed,
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
        let When(state, rows) = &TABLE[from];
        assert!(
            *state as usize == from,
            "the table is in the order of the states"
        );
        let mut row = 0;
        while row < rows.len() {
            let On(input, to, effects) = &rows[row];
            let in_order = row == 0 || (rows[row - 1].0 as usize) < *input as usize;
            assert!(in_order, "the rows are in the order of the inputs");
            let step = &mut steps[from][*input as usize];
            step.to = *to;
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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;
    use std::path::Path;

    use super::*;

    const NAMES: [(Effects, &str); 11] = [
        (Effects::PING, "send `2`"),
        (Effects::PONG, "send `3`"),
        (Effects::SEND_PROBE, "send `3probe` on the probe"),
        (Effects::ANSWER_NOOP, "answer the GET: the queue, or `6`"),
        (Effects::ANSWER_CLOSE, "answer the GET: the queue, then `1`"),
        (
            Effects::ANSWER_LAST,
            "answer the GET: the queue or `6`, then `1`",
        ),
        (Effects::ANSWER_OVER, "answer the GET: `1` alone"),
        (Effects::DROP_PROBE, "close the probe"),
        (Effects::SWITCH, "the probe is the WebSocket now"),
        (Effects::HANG, "send the queue, close the WebSocket"),
        (Effects::END, "the session is over"),
    ];

    fn describe(effects: &[Effects]) -> String {
        let name = |effect| NAMES.iter().find(|(known, _)| known == effect).unwrap().1;
        effects.iter().map(name).collect::<Vec<_>>().join("; ")
    }

    fn draw() -> String {
        let mut page = String::from(
            "# The states of an Engine.IO session\n\n\
             Drawn from the table in `crates/eio-transport/src/table.rs` by its test; do not edit.\n\
             To draw it again: `BLESS=1 cargo test -p eio-transport the_picture`.\n\n\
             ```mermaid\nstateDiagram-v2\n    [*] --> Resting: opened by polling\n    \
             [*] --> WebSocket: opened by WebSocket\n",
        );
        for When(from, rows) in TABLE {
            let mut targets: Vec<(State, Vec<Input>)> = Vec::new();
            for On(input, to, _) in *rows {
                match targets.iter_mut().find(|(target, _)| target == to) {
                    Some((_, inputs)) => inputs.push(*input),
                    None => targets.push((*to, vec![*input])),
                }
            }
            for (to, inputs) in targets {
                let inputs: Vec<_> = inputs.iter().map(|input| format!("{input:?}")).collect();
                writeln!(page, "    {from:?} --> {to:?}: {}", inputs.join(", ")).unwrap();
            }
        }
        page.push_str("    Ended --> [*]\n```\n\nWhat is not listed does nothing.\n");
        for When(from, rows) in TABLE {
            if rows.is_empty() {
                continue;
            }
            writeln!(page, "\n## {from:?}\n\n| on | go to | and |\n|---|---|---|").unwrap();
            for On(input, to, effects) in *rows {
                writeln!(page, "| {input:?} | {to:?} | {} |", describe(effects)).unwrap();
            }
        }
        page
    }

    #[test]
    fn the_picture_in_the_documentation_is_this_table() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        if !docs.is_dir() {
            return; // The crate stands alone.
        }
        let file = docs.join("engine-io-states.md");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, draw()).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == draw(),
            "{} is out of date; run with BLESS=1",
            file.display()
        );
    }

    fn rows() -> impl Iterator<Item = (State, Input, State, Effects)> {
        TABLE.iter().flat_map(|When(from, rows)| {
            rows.iter().map(|On(input, to, effects)| {
                let mut set = Effects::NONE;
                effects.iter().for_each(|effect| set.add(*effect));
                (*from, *input, *to, set)
            })
        })
    }

    fn waits(state: State) -> bool {
        matches!(
            state,
            State::Waiting | State::WaitingOffered | State::WaitingProbed
        )
    }

    fn has(effects: Effects, effect: Effects) -> bool {
        effects.0 & effect.0 != 0
    }

    #[test]
    fn the_session_is_over_exactly_when_it_says_so() {
        for (from, input, to, effects) in rows() {
            assert_eq!(
                to == State::Ended,
                has(effects, Effects::END),
                "{from:?} {input:?}"
            );
        }
    }

    #[test]
    fn a_get_that_waits_no_longer_was_answered_or_lost() {
        for (from, input, to, effects) in rows() {
            let answers = (effects.0 >> 3 & 0b1111).count_ones();
            let left =
                waits(from) && !waits(to) && !matches!(input, Input::Drained | Input::PollLost);
            // The last words are the answer to the GET that came in this step.
            let asked = from.phase() == Phase::Closing && input == Input::Poll;
            assert_eq!(answers, u32::from(left || asked), "{from:?} {input:?}");
        }
    }

    #[test]
    fn a_probe_that_leaves_was_dropped_lost_or_taken() {
        for (from, input, to, effects) in rows() {
            let left = from.has_probe() && !to.has_probe();
            let gone = u32::from(has(effects, Effects::DROP_PROBE))
                + u32::from(has(effects, Effects::SWITCH))
                + u32::from(input == Input::ProbeLost);
            assert_eq!(gone, u32::from(left), "{from:?} {input:?}");
        }
    }

    #[test]
    fn a_websocket_never_goes_back_to_polling() {
        for (from, input, to, _) in rows() {
            if matches!(from.phase(), Phase::WebSocket | Phase::Settling) {
                let stays = matches!(to.phase(), Phase::WebSocket | Phase::Ended);
                assert!(stays, "{from:?} {input:?}");
            }
        }
    }

    /// So it begins no deadline, and `drained` needs no clock.
    #[test]
    fn an_answer_with_what_was_queued_leads_to_no_other_phase() {
        for (from, input, to, _) in rows() {
            let same = from.phase() == to.phase();
            assert!(input != Input::Drained || same, "{from:?}");
        }
    }

    #[test]
    fn whether_a_get_waits_changes_nothing_else() {
        let partner = |state| match state {
            State::Waiting => State::Resting,
            State::WaitingOffered => State::RestingOffered,
            State::WaitingProbed => State::RestingProbed,
            other => other,
        };
        use Input::*;
        for (from, input, to, effects) in rows().filter(|row| waits(row.0)) {
            if matches!(input, Drained | PollLost | NoopDue | Close) {
                continue;
            }
            let step = partner(from).on(input);
            assert_eq!(partner(to), step.to, "{from:?} {input:?}");
            assert_eq!(
                effects.0 & !0b111_1000,
                step.effects.0,
                "{from:?} {input:?}"
            );
        }
    }
}
