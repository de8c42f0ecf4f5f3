//! The session in every state, one sentence of the protocol per test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eio_transport::{
    Action, Answer, Config, Control, Data, ErrorCode, Packet, PollId, Reason, Revision, Road,
    Session, Source, Transport,
};

/// A session with a clock that stands still until it is moved.
struct Bench {
    session: Session,
    now: Instant,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl Bench {
    fn open(via: Transport) -> Self {
        Self::with(Revision::V4, via, Config::default())
    }

    fn polling() -> Self {
        Self::open(Transport::Polling)
    }

    fn with(revision: Revision, via: Transport, config: Config) -> Self {
        let now = Instant::now();
        let mut session = Session::open(revision, via, Arc::new(config), now);
        session.claim();
        Self { session, now }
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.session.poll_action()).collect()
    }

    fn poll(&mut self) -> PollId {
        self.session
            .handle_poll(self.now)
            .expect("the GET may wait")
    }

    fn packet<'a>(&mut self, from: Source, text: &'a str) -> Option<Data<'a>> {
        self.session
            .handle_packet(from, Packet::parse_text(text).unwrap(), self.now)
    }

    fn post(&mut self, text: &str) {
        self.session
            .handle_post(self.now)
            .expect("the POST is wanted");
        self.packet(Source::Polling, text);
        self.session.handle_post_end(self.now);
    }

    fn probe(&mut self) {
        self.session
            .handle_probe(self.now)
            .expect("the WebSocket is wanted");
        self.packet(Source::Probe, "2probe");
        assert_eq!(self.session.poll_action(), Some(Action::SendProbe));
    }

    fn upgraded() -> Self {
        let mut bench = Self::polling();
        bench.probe();
        bench.packet(Source::Probe, "5");
        assert_eq!(bench.actions(), [Action::Switch]);
        bench
    }

    /// Moves the clock by `by`, stopping at each deadline as a driver does.
    fn advance(&mut self, by: Duration) -> Vec<Action> {
        let end = self.now + by;
        let mut actions = Vec::new();
        while let Some(deadline) = self
            .session
            .poll_timeout()
            .filter(|deadline| *deadline <= end)
        {
            self.now = deadline.max(self.now);
            self.session.handle_timeout(self.now);
            actions.extend(self.actions());
            let next = self.session.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a deadline moves on"
            );
        }
        self.now = end;
        actions
    }
}

// Polling

#[test]
fn the_queue_drains_only_while_a_get_waits() {
    let mut bench = Bench::polling();
    assert_eq!(bench.session.road(), None);
    let id = bench.poll();
    assert_eq!(bench.session.road(), Some(Road::Polling));
    assert_eq!(bench.session.waiting(), Some(id));
    bench.session.drained();
    assert_eq!(bench.session.road(), None);
    assert_eq!(bench.session.waiting(), None);
    assert_eq!(bench.actions(), []);
}

#[test]
fn a_second_get_is_refused_and_ends_the_session_and_the_first_gets_the_close() {
    let mut bench = Bench::polling();
    let first = bench.poll();
    assert_eq!(
        bench.session.handle_poll(bench.now),
        Err(ErrorCode::BadRequest)
    );
    assert_eq!(
        bench.actions(),
        [
            Action::Answer(first, Answer::Close),
            Action::Ended(Reason::PollOverlap)
        ]
    );
    assert_eq!(Reason::PollOverlap.as_str(), "transport error");
    assert_eq!(
        bench.session.handle_poll(bench.now),
        Err(ErrorCode::UnknownSid)
    );
}

#[test]
fn a_second_post_is_refused_and_ends_the_session() {
    let mut bench = Bench::polling();
    bench.session.handle_post(bench.now).unwrap();
    assert_eq!(
        bench.session.handle_post(bench.now),
        Err(ErrorCode::BadRequest)
    );
    assert_eq!(bench.actions(), [Action::Ended(Reason::PostOverlap)]);
    bench.session.handle_post_end(bench.now);
    assert_eq!(bench.actions(), []);
}

#[test]
fn posts_follow_each_other_while_a_get_waits() {
    let mut bench = Bench::polling();
    bench.poll();
    for _ in 0..3 {
        bench.session.handle_post(bench.now).unwrap();
        assert_eq!(bench.packet(Source::Polling, "4a"), Some(Data::Text("a")));
        bench.session.handle_post_end(bench.now);
    }
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.session.road(), Some(Road::Polling));
}

#[test]
fn a_lost_get_or_post_is_a_transport_error() {
    let mut bench = Bench::polling();
    let id = bench.poll();
    bench.session.handle_poll_lost(id, bench.now);
    assert_eq!(bench.actions(), [Action::Ended(Reason::PollLost)]);

    let mut bench = Bench::polling();
    let id = bench.poll();
    bench.session.handle_post(bench.now).unwrap();
    bench.session.handle_post_lost(bench.now);
    let close = Action::Answer(id, Answer::Close);
    assert_eq!(bench.actions(), [close, Action::Ended(Reason::PostLost)]);
}

#[test]
fn the_loss_of_a_get_that_was_answered_means_nothing() {
    let mut bench = Bench::polling();
    let old = bench.poll();
    bench.session.drained();
    bench.session.handle_poll_lost(old, bench.now);
    assert_eq!(bench.actions(), []);
    bench.poll();
    bench.session.handle_poll_lost(old, bench.now);
    assert_eq!(bench.actions(), []);
    assert!(!bench.session.is_ended());
}

#[test]
fn a_packet_that_cannot_be_read_is_a_parse_error_and_the_waiting_get_gets_the_close() {
    let mut bench = Bench::polling();
    let id = bench.poll();
    bench.session.handle_post(bench.now).unwrap();
    bench.session.handle_malformed(Source::Polling, bench.now);
    bench.session.handle_post_end(bench.now);
    let close = Action::Answer(id, Answer::Close);
    assert_eq!(bench.actions(), [close, Action::Ended(Reason::ParseError)]);
}

// Packets

#[test]
fn packets_without_meaning_from_a_client_are_ignored() {
    let mut bench = Bench::polling();
    for text in ["0{}", "5", "6"] {
        assert_eq!(bench.packet(Source::Polling, text), None);
    }
    let mut websocket = Bench::open(Transport::WebSocket);
    for text in ["0{}", "1", "5", "6"] {
        assert_eq!(websocket.packet(Source::WebSocket, text), None);
    }
    assert_eq!(bench.actions(), []);
    assert_eq!(websocket.actions(), []);
}

#[test]
fn messages_are_for_the_application() {
    let mut bench = Bench::open(Transport::WebSocket);
    assert!(bench.session.accepts(Source::WebSocket));
    assert_eq!(bench.packet(Source::WebSocket, "4a"), Some(Data::Text("a")));
    assert_eq!(
        bench.packet(Source::WebSocket, "bAAA"),
        Some(Data::Binary(vec![0, 0].into()))
    );
    let mut bench = Bench::polling();
    assert!(bench.session.accepts(Source::Polling));
    assert!(!bench.session.accepts(Source::WebSocket));
    assert_eq!(bench.packet(Source::Polling, "4a"), Some(Data::Text("a")));
}

#[test]
fn a_client_of_revision_4_that_pings_has_the_heartbeat_the_wrong_way_round() {
    let mut bench = Bench::open(Transport::WebSocket);
    bench.packet(Source::WebSocket, "2");
    assert_eq!(
        bench.actions(),
        [Action::Hang, Action::Ended(Reason::HeartbeatDirection)]
    );
    assert_eq!(Reason::HeartbeatDirection.as_str(), "transport error");
}

#[test]
fn a_ping_of_revision_3_is_answered_without_its_data_and_a_pong_is_an_error() {
    let mut bench = Bench::with(Revision::V3, Transport::WebSocket, Config::default());
    for text in ["2", "2probe"] {
        bench.packet(Source::WebSocket, text);
        assert_eq!(bench.actions(), [Action::Send(Control::Pong)]);
    }
    bench.packet(Source::WebSocket, "3");
    assert_eq!(
        bench.actions(),
        [Action::Hang, Action::Ended(Reason::HeartbeatDirection)]
    );
}

// Heartbeat

#[test]
fn pings_are_answered_by_pongs_for_ever() {
    for via in [Transport::Polling, Transport::WebSocket] {
        let mut bench = Bench::open(via);
        let from = match via {
            Transport::Polling => Source::Polling,
            Transport::WebSocket => Source::WebSocket,
        };
        for _ in 0..10 {
            assert_eq!(bench.advance(ms(24_999)), []);
            assert_eq!(bench.advance(ms(1)), [Action::Send(Control::Ping)]);
            assert_eq!(bench.advance(ms(19_999)), []);
            bench.packet(from, "3");
            assert_eq!(bench.actions(), []);
        }
    }
}

#[test]
fn a_client_that_is_silent_after_a_ping_has_timed_out() {
    let mut bench = Bench::open(Transport::WebSocket);
    assert_eq!(bench.advance(secs(44)), [Action::Send(Control::Ping)]);
    assert_eq!(
        bench.advance(secs(1)),
        [Action::Hang, Action::Ended(Reason::PingTimeout)]
    );
    assert_eq!(bench.session.poll_timeout(), None);
}

#[test]
fn a_client_that_does_not_poll_has_timed_out_after_interval_and_timeout() {
    let mut bench = Bench::polling();
    let actions = bench.advance(secs(45));
    assert_eq!(
        actions,
        [
            Action::Send(Control::Ping),
            Action::Ended(Reason::PingTimeout)
        ]
    );
}

#[test]
fn half_a_frame_is_a_sign_of_life() {
    let mut bench = Bench::open(Transport::WebSocket);
    bench.advance(secs(44));
    for _ in 0..10 {
        bench.session.handle_heard(bench.now);
        assert_eq!(bench.advance(ms(19_999)), []);
    }
    assert_eq!(
        bench.advance(ms(1)),
        [Action::Hang, Action::Ended(Reason::PingTimeout)]
    );
}

#[test]
fn whatever_comes_is_a_sign_of_life() {
    let signs: [fn(&mut Bench); 5] = [
        |bench| {
            bench.poll();
        },
        |bench| bench.session.handle_post(bench.now).unwrap(),
        |bench| bench.session.handle_post_end(bench.now),
        |bench| bench.session.handle_probe(bench.now).unwrap(),
        |bench| {
            bench.packet(Source::Polling, "6");
        },
    ];
    for sign in signs {
        let mut bench = Bench::polling();
        assert_eq!(bench.advance(secs(40)), [Action::Send(Control::Ping)]);
        sign(&mut bench);
        bench.actions();
        let died = bench.session.poll_timeout();
        let actions = bench.advance(ms(19_999));
        assert!(!bench.session.is_ended(), "{actions:?}, next {died:?}");
        bench.advance(ms(1));
        assert!(bench.session.is_ended());
    }
}

#[test]
fn a_flood_of_pongs_moves_no_ping_and_ends_the_session() {
    let mut bench = Bench::open(Transport::WebSocket);
    bench.advance(secs(24));
    let due = bench.session.poll_timeout();
    for _ in 0..8 {
        bench.packet(Source::WebSocket, "3");
        assert_eq!(bench.actions(), []);
        assert_eq!(bench.session.poll_timeout(), due);
    }
    bench.packet(Source::WebSocket, "3");
    assert_eq!(
        bench.actions(),
        [Action::Hang, Action::Ended(Reason::StrayPongs)]
    );
    for _ in 0..100_000 {
        bench.packet(Source::WebSocket, "3");
    }
    assert_eq!(bench.actions(), []);
}

#[test]
fn a_session_that_nobody_claims_is_closed() {
    let config = Config::default();
    let now = Instant::now();
    let session = Session::open(Revision::V4, Transport::WebSocket, Arc::new(config), now);
    let mut bench = Bench { session, now };
    bench.advance(secs(25));
    bench.packet(Source::WebSocket, "3");
    assert_eq!(bench.advance(ms(19_999)), []);
    assert_eq!(
        bench.advance(ms(1)),
        [Action::Hang, Action::Ended(Reason::ConnectTimeout)]
    );
}

// Upgrade

#[test]
fn an_upgrade_takes_probe_pause_and_five() {
    let mut bench = Bench::polling();
    let first = bench.poll();
    bench.session.handle_probe(bench.now).unwrap();
    assert_eq!(bench.actions(), []);
    bench.packet(Source::Probe, "2probe");
    assert_eq!(
        bench.actions(),
        [Action::SendProbe, Action::Answer(first, Answer::Noop)]
    );
    assert_eq!(bench.session.road(), None);
    assert_eq!(bench.session.transport(), Transport::Polling);
    bench.packet(Source::Probe, "5");
    assert_eq!(bench.actions(), [Action::Switch]);
    assert_eq!(bench.session.road(), Some(Road::WebSocket));
    assert_eq!(bench.session.transport(), Transport::WebSocket);
    assert_eq!(bench.packet(Source::WebSocket, "4a"), Some(Data::Text("a")));
    assert_eq!(
        bench.session.handle_poll(bench.now),
        Err(ErrorCode::BadRequest)
    );
    assert_eq!(
        bench.session.handle_post(bench.now),
        Err(ErrorCode::BadRequest)
    );
    assert_eq!(bench.actions(), []);
}

#[test]
fn five_without_a_probe_is_an_upgrade_too() {
    let mut bench = Bench::polling();
    bench.session.handle_probe(bench.now).unwrap();
    bench.packet(Source::Probe, "5");
    assert_eq!(bench.actions(), [Action::Switch]);
}

#[test]
fn while_probed_every_get_is_answered_at_once_or_one_noop_interval_after_the_last() {
    let mut bench = Bench::polling();
    bench.probe();
    let id = bench.poll();
    assert_eq!(bench.actions(), [Action::Answer(id, Answer::Noop)]);
    for _ in 0..5 {
        bench.now += ms(10);
        let id = bench.poll();
        assert_eq!(bench.actions(), []);
        assert_eq!(bench.advance(ms(89)), []);
        assert_eq!(bench.advance(ms(1)), [Action::Answer(id, Answer::Noop)]);
    }
    bench.now += ms(200);
    let id = bench.poll();
    assert_eq!(bench.actions(), [Action::Answer(id, Answer::Noop)]);
}

#[test]
fn before_the_probe_is_spoken_gets_wait_and_drain_as_ever() {
    let mut bench = Bench::polling();
    bench.session.handle_probe(bench.now).unwrap();
    bench.poll();
    assert_eq!(bench.advance(secs(5)), []);
    assert_eq!(bench.session.road(), Some(Road::Polling));
    bench.session.drained();
    assert_eq!(bench.session.road(), None);
}

#[test]
fn the_probe_never_is_a_road() {
    let mut bench = Bench::polling();
    bench.probe();
    assert_eq!(bench.session.road(), None);
    assert!(!bench.session.accepts(Source::Probe));
}

#[test]
fn anything_else_on_the_probe_closes_the_probe_alone() {
    for text in ["4a", "2", "2prob", "3probe", "1", "6", "0", "bAAA"] {
        let mut bench = Bench::polling();
        let id = bench.poll();
        bench.session.handle_probe(bench.now).unwrap();
        assert_eq!(bench.packet(Source::Probe, text), None);
        assert_eq!(bench.actions(), [Action::DropProbe], "{text}");
        assert_eq!(bench.session.waiting(), Some(id));
    }
    let mut bench = Bench::polling();
    bench.probe();
    bench.session.handle_malformed(Source::Probe, bench.now);
    assert_eq!(bench.actions(), [Action::DropProbe]);
    assert!(bench.session.accepts(Source::Polling));
}

#[test]
fn an_abandoned_upgrade_is_reclaimed_and_polling_goes_on() {
    let mut bench = Bench::polling();
    bench.session.handle_probe(bench.now).unwrap();
    assert_eq!(bench.advance(ms(9_999)), []);
    assert_eq!(bench.advance(ms(1)), [Action::DropProbe]);
    bench.probe();
    assert_eq!(bench.advance(secs(10)), [Action::DropProbe]);
    bench.poll();
    assert_eq!(bench.session.road(), Some(Road::Polling));
    assert_eq!(bench.advance(ms(500)), [], "no NOOP any more");
}

#[test]
fn the_heartbeat_stays_armed_during_an_upgrade() {
    let mut bench = Bench::polling();
    assert_eq!(bench.advance(secs(40)), [Action::Send(Control::Ping)]);
    bench.probe();
    let id = bench.poll();
    bench.actions();
    let _ = id;
    assert_eq!(bench.advance(secs(10)), [Action::DropProbe]);
    assert_eq!(
        bench.advance(secs(10)),
        [Action::Ended(Reason::PingTimeout)]
    );
}

#[test]
fn a_second_websocket_is_not_wanted_during_or_after_an_upgrade() {
    let mut bench = Bench::polling();
    bench.probe();
    assert_eq!(
        bench.session.handle_probe(bench.now),
        Err(ErrorCode::BadRequest)
    );
    bench.packet(Source::Probe, "5");
    assert_eq!(bench.actions(), [Action::Switch]);
    assert_eq!(
        bench.session.handle_probe(bench.now),
        Err(ErrorCode::BadRequest)
    );
    assert_eq!(bench.actions(), []);
    let mut bench = Bench::open(Transport::WebSocket);
    assert_eq!(
        bench.session.handle_probe(bench.now),
        Err(ErrorCode::BadRequest)
    );
}

#[test]
fn where_upgrades_are_not_allowed_no_websocket_is_wanted() {
    let mut config = Config::default();
    config.allow_upgrades = false;
    let mut bench = Bench::with(Revision::V4, Transport::Polling, config);
    assert_eq!(
        bench.session.handle_probe(bench.now),
        Err(ErrorCode::BadRequest)
    );
}

#[test]
fn a_lost_probe_leaves_polling_as_it_was() {
    let mut bench = Bench::polling();
    let id = bench.poll();
    bench.session.handle_probe(bench.now).unwrap();
    bench.session.handle_lost(Source::Probe, bench.now);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.session.waiting(), Some(id));
    bench.probe();
}

#[test]
fn probes_without_end_are_refused_and_polling_goes_on() {
    let mut bench = Bench::polling();
    for _ in 0..8 {
        bench.session.handle_probe(bench.now).unwrap();
        bench.session.handle_lost(Source::Probe, bench.now);
    }
    assert_eq!(
        bench.session.handle_probe(bench.now),
        Err(ErrorCode::BadRequest)
    );
    assert!(bench.session.accepts(Source::Polling));
    bench.advance(secs(25));
    assert_eq!(bench.session.handle_probe(bench.now), Ok(()));
}

#[test]
fn repeated_probes_on_one_websocket_are_answered_and_bounded() {
    let mut bench = Bench::polling();
    bench.probe();
    let mut answers = 0;
    loop {
        bench.packet(Source::Probe, "2probe");
        match bench.actions()[..] {
            [Action::SendProbe] => answers += 1,
            [Action::DropProbe] => break,
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(answers, 7);
    assert!(bench.session.accepts(Source::Polling));
}

#[test]
fn a_get_that_waits_at_five_is_answered_and_takes_nothing_from_the_queue() {
    let mut bench = Bench::polling();
    let id = bench.poll();
    bench.session.handle_probe(bench.now).unwrap();
    bench.packet(Source::Probe, "5");
    assert_eq!(
        bench.actions(),
        [Action::Answer(id, Answer::Superseded), Action::Switch]
    );
    assert!(!Answer::Superseded.drains());
}

#[test]
fn a_post_in_flight_at_five_is_delivered_before_the_websocket_is_read() {
    let mut bench = Bench::polling();
    bench.session.handle_post(bench.now).unwrap();
    bench.probe();
    bench.packet(Source::Probe, "5");
    assert_eq!(bench.actions(), [Action::Switch]);
    assert_eq!(
        bench.session.road(),
        Some(Road::WebSocket),
        "outwards the WebSocket is in use"
    );
    assert!(!bench.session.accepts(Source::WebSocket));
    assert_eq!(bench.packet(Source::Polling, "4a"), Some(Data::Text("a")));
    bench.session.handle_post_end(bench.now);
    assert!(bench.session.accepts(Source::WebSocket));
    assert_eq!(bench.packet(Source::Polling, "4late"), None);
    assert_eq!(bench.actions(), []);
}

#[test]
fn a_pong_in_a_post_in_flight_at_five_counts() {
    let mut bench = Bench::polling();
    bench.advance(secs(25));
    bench.session.handle_post(bench.now).unwrap();
    bench.probe();
    bench.packet(Source::Probe, "5");
    assert_eq!(bench.actions(), [Action::Switch]);
    bench.packet(Source::Polling, "3");
    bench.session.handle_post_end(bench.now);
    assert_eq!(bench.advance(secs(25)), [Action::Send(Control::Ping)]);
}

#[test]
fn a_new_probe_does_not_wait_for_the_noop_interval_of_an_old_one() {
    let mut bench = Bench::polling();
    bench.probe();
    let id = bench.poll();
    assert_eq!(bench.actions(), [Action::Answer(id, Answer::Noop)]);
    bench.session.handle_lost(Source::Probe, bench.now);
    let id = bench.poll();
    bench.probe();
    assert_eq!(bench.actions(), [Action::Answer(id, Answer::Noop)]);
}

#[test]
fn a_post_that_never_ends_after_five_ends_the_session() {
    let mut bench = Bench::polling();
    bench.session.handle_post(bench.now).unwrap();
    bench.probe();
    bench.packet(Source::Probe, "5");
    bench.actions();
    assert_eq!(
        bench.advance(secs(10)),
        [Action::Hang, Action::Ended(Reason::PostTimeout)]
    );
}

#[test]
fn while_the_websocket_is_not_read_its_silence_is_not_death() {
    let mut config = Config::default();
    config.ping_timeout = secs(1);
    let mut bench = Bench::with(Revision::V4, Transport::Polling, config);
    bench.session.handle_post(bench.now).unwrap();
    bench.advance(secs(25));
    bench.probe();
    bench.packet(Source::Probe, "5");
    bench.actions();
    assert_eq!(bench.advance(secs(9)), []);
    bench.session.handle_post_end(bench.now);
    assert_eq!(bench.advance(ms(999)), []);
    assert_eq!(
        bench.advance(ms(1)),
        [Action::Hang, Action::Ended(Reason::PingTimeout)]
    );
}

#[test]
fn the_death_of_the_websocket_after_five_is_the_end() {
    let mut bench = Bench::upgraded();
    bench.session.handle_lost(Source::WebSocket, bench.now);
    assert_eq!(bench.actions(), [Action::Ended(Reason::TransportClose)]);
}

// Close

#[test]
fn a_client_that_closes_over_polling_frees_its_get() {
    let mut bench = Bench::polling();
    let id = bench.poll();
    bench.post("1");
    let noop = Action::Answer(id, Answer::Noop);
    assert_eq!(
        bench.actions(),
        [noop, Action::Ended(Reason::TransportClose)]
    );
    assert_eq!(
        bench.session.handle_poll(bench.now),
        Err(ErrorCode::UnknownSid)
    );
}

#[test]
fn the_server_closes_with_a_get_waiting() {
    let mut bench = Bench::polling();
    let id = bench.poll();
    bench.session.close(Reason::ForcedServerClose, bench.now);
    let close = Action::Answer(id, Answer::Close);
    assert_eq!(
        bench.actions(),
        [close, Action::Ended(Reason::ForcedServerClose)]
    );
}

#[test]
fn the_last_words_wait_for_a_get() {
    let mut bench = Bench::polling();
    bench.session.close(Reason::ForcedServerClose, bench.now);
    assert_eq!(bench.actions(), []);
    assert!(!bench.session.is_ended());
    bench.post("4not for the application");
    assert!(!bench.session.accepts(Source::Polling));
    assert_eq!(
        bench.session.handle_probe(bench.now),
        Err(ErrorCode::BadRequest)
    );
    let id = bench.poll();
    let last = Action::Answer(id, Answer::LastWords);
    assert_eq!(
        bench.actions(),
        [last, Action::Ended(Reason::ForcedServerClose)]
    );
}

#[test]
fn the_last_words_wait_thirty_seconds() {
    let mut bench = Bench::polling();
    bench.session.close(Reason::ServerShuttingDown, bench.now);
    assert_eq!(bench.advance(ms(29_999)), []);
    assert_eq!(
        bench.advance(ms(1)),
        [Action::Ended(Reason::ServerShuttingDown)]
    );
}

#[test]
fn the_server_closes_a_websocket() {
    let mut bench = Bench::open(Transport::WebSocket);
    bench.session.close(Reason::ForcedServerClose, bench.now);
    assert_eq!(
        bench.actions(),
        [Action::Hang, Action::Ended(Reason::ForcedServerClose)]
    );
    assert!(!bench.session.accepts(Source::WebSocket));
    bench.session.handle_lost(Source::WebSocket, bench.now);
    bench.session.close(Reason::ForcedClose, bench.now);
    assert_eq!(bench.actions(), []);
}

#[test]
fn the_server_closes_while_upgrading() {
    let mut bench = Bench::polling();
    bench.session.handle_probe(bench.now).unwrap();
    bench.session.close(Reason::ForcedServerClose, bench.now);
    assert_eq!(bench.actions(), [Action::DropProbe]);
    let id = bench.poll();
    let last = Action::Answer(id, Answer::LastWords);
    assert_eq!(
        bench.actions(),
        [last, Action::Ended(Reason::ForcedServerClose)]
    );

    let mut bench = Bench::polling();
    let id = bench.poll();
    bench.session.handle_probe(bench.now).unwrap();
    bench.session.close(Reason::ForcedServerClose, bench.now);
    let close = Action::Answer(id, Answer::Close);
    let ended = Action::Ended(Reason::ForcedServerClose);
    assert_eq!(bench.actions(), [close, Action::DropProbe, ended]);
}

#[test]
fn a_client_that_paused_before_the_close_hears_of_it_on_the_websocket() {
    let mut bench = Bench::polling();
    bench.probe();
    bench.session.close(Reason::ForcedServerClose, bench.now);
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.session.road(), None);
    bench.packet(Source::Probe, "5");
    let ended = Action::Ended(Reason::ForcedServerClose);
    assert_eq!(bench.actions(), [Action::Switch, Action::Hang, ended]);
}

#[test]
fn a_client_that_had_not_paused_hears_of_the_close_by_its_next_get() {
    let mut bench = Bench::polling();
    bench.probe();
    bench.session.close(Reason::ForcedServerClose, bench.now);
    let id = bench.poll();
    let last = Action::Answer(id, Answer::LastWords);
    let ended = Action::Ended(Reason::ForcedServerClose);
    assert_eq!(bench.actions(), [last, Action::DropProbe, ended]);

    let mut bench = Bench::polling();
    bench.probe();
    bench.session.close(Reason::ForcedServerClose, bench.now);
    assert_eq!(bench.advance(secs(30)), [Action::DropProbe, ended]);
}

#[test]
fn the_first_reason_counts() {
    let mut bench = Bench::polling();
    bench.session.close(Reason::ForcedServerClose, bench.now);
    bench.session.abort(Reason::SlowConsumer, bench.now);
    assert_eq!(bench.actions(), [Action::Ended(Reason::ForcedServerClose)]);
}

#[test]
fn a_session_that_is_over_takes_no_notice() {
    let mut bench = Bench::polling();
    let id = bench.poll();
    bench.session.abort(Reason::SlowConsumer, bench.now);
    bench.actions();
    bench.session.handle_heard(bench.now);
    bench.session.handle_poll_lost(id, bench.now);
    bench.session.handle_post_end(bench.now);
    bench.session.handle_post_lost(bench.now);
    bench.session.handle_malformed(Source::Polling, bench.now);
    bench.session.handle_lost(Source::WebSocket, bench.now);
    bench.session.handle_lost(Source::Probe, bench.now);
    bench.session.handle_timeout(bench.now + secs(3600));
    bench.session.drained();
    bench.session.close(Reason::ForcedClose, bench.now);
    for text in ["1", "2", "3", "4a", "5"] {
        for from in [Source::Polling, Source::Probe, Source::WebSocket] {
            assert_eq!(bench.packet(from, text), None);
        }
    }
    assert_eq!(
        bench.session.handle_post(bench.now),
        Err(ErrorCode::UnknownSid)
    );
    assert_eq!(
        bench.session.handle_probe(bench.now),
        Err(ErrorCode::UnknownSid)
    );
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.session.poll_timeout(), None);
    assert_eq!(bench.session.road(), None);
}

#[test]
fn a_session_is_at_most_96_bytes() {
    assert!(size_of::<Session>() <= 96, "{}", size_of::<Session>());
}
