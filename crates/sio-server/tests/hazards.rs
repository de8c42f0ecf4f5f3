//! The hazards of HTTP and Engine.IO that need a whole server to show: see `docs/HAZARDS.md`.

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sio_server::{Ack, Namespace};
use support::{
    Got, House, Peer, Polling, Road, Ws, config, get, on_every_road, post, request, sid_of, until,
    within,
};
use tokio::sync::Semaphore;

const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";
const NOBODY: &str = "AAAAAAAAAAAAAAAAAAAA";

/// A request for each way to be refused.
fn refusals(sid: &str) -> Vec<(&'static str, Vec<u8>)> {
    let fields = |start: &str, fields: &str| {
        format!("{start} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").into_bytes()
    };
    let upgrade = |query: &str, more: &str| {
        let mut bytes = request(query);
        bytes.truncate(bytes.len() - 2);
        bytes.extend(format!("{more}\r\n").bytes());
        bytes
    };
    let session = format!("{POLLING}&sid={sid}");
    let unknown = format!("{POLLING}&sid={NOBODY}");
    vec![
        ("0 plain", fields("GET /socket.io/?EIO=4&transport=x", "")),
        ("0 upgrade", upgrade("EIO=4&transport=x", "")),
        ("1 get", fields(&format!("GET /socket.io/?{unknown}"), "")),
        ("1 post", post(&unknown, "40").into_bytes()),
        (
            "1 upgrade",
            upgrade(&format!("{WEBSOCKET}&sid={NOBODY}"), ""),
        ),
        ("2", fields(&format!("PUT /socket.io/?{POLLING}"), "")),
        ("3", fields(&format!("GET /socket.io/?{WEBSOCKET}"), "")),
        (
            "4 plain",
            fields(
                &format!("GET /socket.io/?{POLLING}"),
                "Origin: http://evil\r\n",
            ),
        ),
        ("4 upgrade", upgrade(WEBSOCKET, "Origin: http://evil\r\n")),
        (
            "5 plain",
            fields("GET /socket.io/?EIO=3&transport=polling", ""),
        ),
        ("5 upgrade", upgrade("EIO=3&transport=websocket", "")),
        ("500", fields(&format!("PUT /socket.io/?{session}"), "")),
        ("404", fields("GET /elsewhere", "")),
        (
            "413",
            fields(
                &format!("POST /socket.io/?{session}"),
                "Content-Length: 99999999\r\n",
            ),
        ),
        (
            "414",
            fields(
                &format!("GET /socket.io/?{POLLING}&x={}", "y".repeat(9000)),
                "",
            ),
        ),
        (
            "431",
            fields(
                &format!("GET /socket.io/?{POLLING}"),
                &"X: y\r\n".repeat(70),
            ),
        ),
        ("426", upgrade(WEBSOCKET, "").replace_field("13", "12")),
        ("malformed", b"GARBAGE\r\n\r\n".to_vec()),
        ("415", {
            let start = format!("POST /socket.io/?{session}");
            let mut bytes = fields(&start, "Content-Encoding: br\r\nContent-Length: 1\r\n");
            bytes.push(b'6');
            bytes
        }),
    ]
}

trait ReplaceField {
    fn replace_field(self, from: &str, to: &str) -> Self;
}

impl ReplaceField for Vec<u8> {
    /// Replaces the value of `Sec-WebSocket-Version`.
    fn replace_field(self, from: &str, to: &str) -> Self {
        let text = String::from_utf8(self).unwrap();
        let name = "Sec-WebSocket-Version: ";
        text.replace(&format!("{name}{from}"), &format!("{name}{to}"))
            .into_bytes()
    }
}

on_every_road! {
    async fn sec_e1_a_head_byte_by_byte_is_read_in_linear_time(road: Road) {
        let house = House::start(road).await;
        let padding = format!("X: {}\r\n", "y".repeat(12_000));
        let head = format!("{}{padding}\r\n", get(POLLING));
        let began = Instant::now();
        let mut peer = Peer::connect(house.address).await;
        for byte in head.bytes() {
            peer.send([byte]).await;
        }
        let answer = peer.answer().await;
        assert_eq!(answer.status, 200);
        let sid = sid_of(&answer.body[1..]);
        peer.send(post(&format!("{POLLING}&sid={sid}"), "1")).await;
        assert_eq!(peer.answer().await.body, "ok");
        // Parsed from the start each time it would be 70 million bytes, in a debug build.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        house.is_unharmed().await;
    }

    async fn sec_e2_a_thousand_fields_hide_nothing(road: Road) {
        let house = House::start(road).await;
        let handshake = String::from_utf8(request(WEBSOCKET)).unwrap();
        let (start, fields) = handshake.split_once("\r\n").unwrap();
        let fields = fields.strip_suffix("\r\n").unwrap();
        let own = fields.lines().count();
        for total in [48, 49, 64, 65, 100, 101, 1000] {
            let padding: String = (own..total).map(|n| format!("X-{n}: y\r\n")).collect();
            for fields in [format!("{fields}{padding}"), format!("{padding}{fields}")] {
                let mut peer = Peer::connect(house.address).await;
                // It may be refused before all of it has come.
                peer.try_send(format!("{start}\r\n{fields}\r\n")).await;
                let expected = if total <= 64 { 101 } else { 431 };
                assert_eq!(peer.answer().await.status, expected, "{total}");
            }
        }
        house.io.close();
        house.is_unharmed().await;
    }

    async fn a_post_is_answered_when_the_handlers_have_caught_up(road: Road) {
        let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (at_gate, begins) = (Arc::clone(&gate), Arc::clone(&begun));
        let mut config = config();
        config.max_pending_bytes = 1000;
        let house = House::with(road, config, |server| {
            server.on("hold", async move |socket, text: String| {
                begins.add_permits(1);
                at_gate.acquire().await.unwrap().forget();
                socket.emit("held", &text.len());
            })
        })
        .await;
        let mut polling = Polling::join(house.address).await;
        let event = format!(r#"42["hold","{}"]"#, "x".repeat(500));
        let body = vec![event; 10].join("\u{1e}");
        polling.posts.send(post(&polling.query(), &body)).await;
        within("a handler to begin", begun.acquire()).await.unwrap().forget();
        let early = tokio::time::timeout(Duration::from_millis(50), polling.posts.read()).await;
        assert!(early.is_err(), "the POST was answered");
        assert_eq!(begun.available_permits(), 0);
        gate.add_permits(10);
        assert_eq!(polling.posts.answer().await.body, "ok");
        let mut held = 0;
        while held < 10 {
            held += polling.get().await.matches(r#"42["held",500]"#).count();
        }
        polling.post("1").await;
        house.is_unharmed().await;
    }

    async fn sec_e3_lists_in_header_fields_take_linear_time(road: Road) {
        let house = House::start(road).await;
        for name in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"] {
            for piece in [" ", ",", "\"", "a;", "a=\"\\\"", "constructor,", "__proto__;x="] {
                let mut bytes = request(WEBSOCKET);
                bytes.truncate(bytes.len() - 2);
                let list = piece.repeat(15_000 / piece.len());
                bytes.extend(format!("{name}: {list}\r\n\r\n").bytes());
                let began = Instant::now();
                let mut peer = Peer::connect(house.address).await;
                peer.send(bytes).await;
                let status = peer.answer().await.status;
                assert!(matches!(status, 101 | 400), "{name} {piece:?}: {status}");
                assert!(began.elapsed() < Duration::from_secs(5), "{name} {piece:?}");
            }
        }
        house.is_unharmed().await;
    }

    async fn sec_e12_an_abandoned_upgrade_is_reclaimed_and_polling_goes_on(road: Road) {
        let mut config = config();
        config.engine.upgrade_timeout = Duration::from_millis(1000);
        let house = House::with(road, config, |server| server).await;
        let mut abandoned = Vec::new();
        for said in [&b""[..], b"half", b"probe"] {
            let polling = Polling::join(house.address).await;
            let query = format!("{WEBSOCKET}&sid={}", polling.sid);
            let mut ws = Ws::upgrade(house.address, &query).await;
            let probe = support::frame(0x81, b"2probe");
            match said {
                b"half" => ws.raw(&probe[..4]).await,
                b"probe" => {
                    ws.raw(&probe).await;
                    ws.expect_text("3probe").await;
                }
                _ => {}
            }
            abandoned.push((said, polling, ws));
        }
        for (said, mut polling, mut ws) in abandoned {
            // The socket is held; the server lets go of it.
            assert!(matches!(ws.next().await, Got::End(_)), "{said:?}");
            polling.post(r#"421["echo",1]"#).await;
            let mut got = polling.get().await;
            while got == "6" {
                got = polling.get().await;
            }
            assert_eq!(got, "431[1]");
            polling.post("1").await;
        }
        house.is_unharmed().await;
    }

    async fn sec_e14_a_client_that_polls_on_is_upgraded_all_the_same(road: Road) {
        let house = House::start(road).await;
        for polls in 0..5 {
            let mut polling = Polling::join(house.address).await;
            polling.ask().await;
            let query = format!("{WEBSOCKET}&sid={}", polling.sid);
            let mut ws = Ws::upgrade(house.address, &query).await;
            ws.text("2probe").await;
            ws.expect_text("3probe").await;
            let began = Instant::now();
            assert_eq!(polling.gets.answer().await.body, "6");
            for _ in 0..polls {
                assert_eq!(polling.get().await, "6");
            }
            // Four times a tenth of a second, and far from the half minute of a GET that waits.
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
            ws.text("5").await;
            ws.text(r#"421["echo",1]"#).await;
            // No NOOP on the WebSocket.
            ws.expect_text("431[1]").await;
            ws.leave().await;
        }
        house.is_unharmed().await;
    }

    async fn sec_e16_of_two_upgrades_one_wins(road: Road) {
        let house = House::start(road).await;
        let polling = Polling::join(house.address).await;
        let query = format!("{WEBSOCKET}&sid={}", polling.sid);
        let mut first = Ws::upgrade(house.address, &query).await;
        first.text("2probe").await;
        first.expect_text("3probe").await;
        let mut second = Ws::upgrade(house.address, &query).await;
        second.text("2probe").await;
        assert!(matches!(second.next().await, Got::End(_)));
        first.text("5").await;
        first.text(r#"421["echo",1]"#).await;
        first.expect_text("431[1]").await;
        let mut third = Ws::upgrade(house.address, &query).await;
        assert!(matches!(third.next().await, Got::End(_)));
        first.text(r#"422["echo",2]"#).await;
        first.expect_text("432[2]").await;
        first.leave().await;
        house.is_unharmed().await;
    }

    async fn sec_e19_ids_do_not_meet_and_the_public_one_is_another(road: Road) {
        let house = House::start(road).await;
        let mut ids = std::collections::HashSet::new();
        for _ in 0..100 {
            let mut ws = Ws::open(house.address).await;
            let public = ws.join("/").await;
            assert!(ids.insert(ws.sid.clone()) && ids.insert(public));
            assert!(ws.sid.len() == 20);
            ws.leave().await;
        }
        house.is_unharmed().await;
    }

    async fn sec_e19_the_id_of_an_old_client_is_its_sessions_only_where_that_is_wanted(road: Road) {
        for hides in [false, true] {
            let mut config = config();
            config.engine.allow_eio3 = true;
            config.hide_session_ids = hides;
            let house = House::with(road, config, |server| {
                server
                    .on("who", async |socket, ()| Ack(socket.id().to_owned()))
                    .mount(
                        Namespace::open("/old").on("who", async |socket, ()| Ack(socket.id().to_owned())),
                    )
            })
            .await;
            let mut ws = Ws::upgrade(house.address, "EIO=3&transport=websocket").await;
            let Got::Text(open) = ws.next().await else { panic!("no open packet") };
            let sid = sid_of(&open[1..]);
            ws.expect_text("40").await;
            ws.text("40/old").await;
            ws.expect_text("40/old,").await;
            for (ask, answer) in [
                (r#"421["who"]"#, format!(r#"431["{sid}"]"#)),
                (r#"42/old,2["who"]"#, format!(r#"43/old,2["/old#{sid}"]"#)),
            ] {
                ws.text(ask).await;
                let Got::Text(text) = ws.next().await else { panic!("no answer") };
                assert_eq!(text == answer, !hides, "{text}");
                assert_eq!(text.contains(&sid), !hides, "{text}");
            }
            ws.leave().await;
            house.is_unharmed().await;
        }
    }

    async fn sec_e6_a_peer_that_goes_while_it_is_refused_takes_nobody_along(road: Road) {
        let house = House::start(road).await;
        for _ in 0..3 {
            let polling = Polling::join(house.address).await;
            for (what, request) in refusals(&polling.sid) {
                for len in [request.len() / 2, request.len() - 1, request.len()] {
                    let mut peer = Peer::connect(house.address).await;
                    assert!(peer.try_send(&request[..len]).await, "{what}");
                    peer.reset();
                }
                // Nearly at once, and when the answer is there.
                let mut peer = Peer::connect(house.address).await;
                peer.try_send(&request).await;
                let _ = peer.read().await;
                peer.reset();
            }
            let mut peer = Peer::connect(house.address).await;
            peer.send(post(&polling.query(), "1")).await;
            peer.answer().await;
        }
        house.is_unharmed().await;
        house.lets_go().await;
    }

    async fn sec_e7_every_refused_request_is_answered_and_its_descriptor_freed(road: Road) {
        let house = House::start(road).await;
        let polling = Polling::join(house.address).await;
        for (what, request) in refusals(&polling.sid) {
            let mut peer = Peer::connect(house.address).await;
            peer.send(&request).await;
            let answer = tokio::time::timeout(Duration::from_secs(5), peer.try_answer()).await;
            let answer = answer.unwrap_or_else(|_| panic!("{what}: no answer"));
            let answer = answer.unwrap_or_else(|| panic!("{what}: hung up without an answer"));
            let code = what.split(' ').next().unwrap();
            match code.parse::<u16>() {
                Ok(status @ 400..) => assert_eq!(answer.status, status, "{what}"),
                Ok(4) => assert_eq!(answer.status, 403, "{what}"),
                _ => assert_eq!(answer.status, 400, "{what}"),
            }
        }
        drop(polling);
        house.empties().await;
        house.lets_go().await;
    }

    async fn sec_e13_handshakes_given_up_at_any_point_leave_nothing(road: Road) {
        let mut config = config();
        config.header_timeout = Duration::from_secs(2);
        config.engine.ping_interval = Duration::from_secs(2);
        config.engine.ping_timeout = Duration::from_secs(2);
        config.engine.upgrade_timeout = Duration::from_secs(2);
        config.engine.close_timeout = Duration::from_millis(300);
        config.engine.connect_timeout = Duration::from_secs(2);
        let house = House::with(road, config, |server| server).await;
        for round in 0..20 {
            let whole = request(WEBSOCKET);
            for len in [0, 1, whole.len() / 2, whole.len() - 1, whole.len()] {
                let mut peer = Peer::connect(house.address).await;
                peer.send(&whole[..len]).await;
                match round % 2 {
                    0 => drop(peer),
                    _ => peer.reset(),
                }
            }
            // Answered and left; opened and left; joined and left.
            drop(Ws::upgrade(house.address, WEBSOCKET).await);
            drop(Ws::open(house.address).await);
            drop(house.client().await);
            // A session that nobody polls; one whose first GET is left; one whose POST is half.
            let _never = Polling::open(house.address).await;
            let mut polling = Polling::open(house.address).await;
            polling.ask().await;
            drop(polling);
            let mut polling = Polling::join(house.address).await;
            let half = post(&polling.query(), "40");
            polling.posts.send(&half[..half.len() - 1]).await;
            drop(polling);
            // An upgrade at each of its words.
            for words in [&[][..], &["2probe"], &["2probe", "5"], &["junk"], &["5"]] {
                let polling = Polling::join(house.address).await;
                let query = format!("{WEBSOCKET}&sid={}", polling.sid);
                let mut ws = Ws::upgrade(house.address, &query).await;
                for word in words {
                    ws.text(word).await;
                }
                match round % 2 {
                    0 => drop(ws),
                    _ => ws.peer.reset(),
                }
            }
        }
        house.empties().await;
        house.lets_go().await;
        let counters = house.io.counters();
        assert_eq!(counters.opened, counters.all_closed(), "each ends once");
        house.is_unharmed().await;
    }
}

/// E26: out of descriptors. The server is a child process that may have few of them.
#[cfg(target_os = "linux")]
mod descriptors {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
    };

    use rustix::process::{Resource, Rlimit, setrlimit};
    use sio_server::{Ack, Runtime, Server, Value};

    use super::*;

    const LIMIT: u64 = 40;

    /// Not a test of its own: what the test below starts as a child.
    #[tokio::test]
    async fn server_of_few_descriptors() {
        if std::env::var_os("FEW_DESCRIPTORS").is_none() {
            return;
        }
        let limit = Rlimit {
            current: Some(LIMIT),
            maximum: Some(LIMIT),
        };
        setrlimit(Resource::Nofile, limit).unwrap();
        let server = Server::new()
            .runtime(Runtime::CurrentThread)
            .on("echo", async |_socket, value: Value| Ack(value));
        let mut config = sio_server::Config::default();
        config.max_connections = Some(1000);
        let bound = server.config(config).bind("127.0.0.1:0").await.unwrap();
        println!("\nlistening {}", bound.local_addr());
        bound.serve().await.unwrap();
    }

    struct Kill(Child);

    impl Drop for Kill {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// User and system time of a process, in ticks of 10 ms.
    fn ticks(id: u32) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        let fields: Vec<_> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    #[tokio::test]
    async fn sec_e26_out_of_descriptors_the_server_waits_and_goes_on() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args([
                "--exact",
                "descriptors::server_of_few_descriptors",
                "--nocapture",
            ])
            .env("FEW_DESCRIPTORS", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = Kill(child.spawn().unwrap());
        let said = BufReader::new(child.0.stdout.take().unwrap());
        let address = said
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening ")?.parse().ok())
            .expect("it says where it listens");
        let mut known = Ws::open(address).await;
        known.join("/").await;
        // The kernel takes these; the server cannot.
        let mut crowd = Vec::new();
        for _ in 0..2 * LIMIT {
            crowd.push(Peer::connect(address).await);
        }
        let before = ticks(child.0.id());
        for round in 0..20 {
            known.text(&format!(r#"42{round}["echo",1]"#)).await;
            known.expect_text(&format!("43{round}[1]")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let spent = ticks(child.0.id()) - before;
        assert!(spent < 40, "{spent} of 100 ticks: it spins");
        assert!(child.0.try_wait().unwrap().is_none(), "it died");
        // When there is room again, those who waited are served.
        let mut last = crowd.pop().unwrap();
        drop(crowd);
        last.send(format!("{}\r\n", get(POLLING))).await;
        assert_eq!(last.answer().await.status, 200);
        let mut fresh = Ws::open(address).await;
        fresh.join("/").await;
    }
}

/// E25: what strangers do wrong cannot fill the disk. S23: nor forge what stands there.
mod log {
    use std::{
        fmt::Write,
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use serde_json::Value;
    use sio_server::{Incoming, Refuse};
    use tracing::{
        Event, Level, Metadata, Subscriber,
        field::{Field, Visit},
        span,
    };

    use super::*;

    struct Count(Arc<AtomicUsize>);

    impl Subscriber for Count {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::INFO
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test]
    async fn sec_e25_a_thousand_bad_requests_are_a_few_lines() {
        let lines = Arc::new(AtomicUsize::new(0));
        let guard = tracing::subscriber::set_default(Count(Arc::clone(&lines)));
        // On the caller's thread, where the subscriber listens.
        let house = House::start(Road::Hyper).await;
        let polling = Polling::join(house.address).await;
        let began = Instant::now();
        for _ in 0..50 {
            for (_, request) in refusals(&polling.sid) {
                let mut peer = Peer::connect(house.address).await;
                peer.try_send(&request).await;
                let _ = peer.read().await;
            }
            let mut ws = house.client().await;
            ws.raw(b"\xff\xff\xff\xff\xff\xff").await;
            let _ = ws.next().await;
        }
        let lines = lines.load(Ordering::Relaxed);
        // Ten in each second, however many that were.
        let most = 20 + 10 * began.elapsed().as_secs() as usize;
        assert!(
            (1..=most).contains(&lines),
            "{lines} lines for a thousand requests"
        );
        drop(guard);
        until("all having gone", || house.io.connections() <= 1).await;
    }

    /// Keeps what is written, as it would stand in a line.
    struct Keep(Arc<Mutex<Vec<String>>>);

    struct Line<'a>(&'a mut String);

    impl Visit for Line<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            let _ = write!(self.0, " {field}={value:?}");
        }
    }

    impl Subscriber for Keep {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target().starts_with("sio_server")
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut line = String::new();
            event.record(&mut Line(&mut line));
            self.0.lock().unwrap().push(line);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test]
    async fn what_clients_ask_for_in_vain_is_said_with_what_would_help() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let guard = tracing::subscriber::set_default(Keep(Arc::clone(&lines)));
        let house = House::start(Road::Hyper).await;
        let mut peer = Peer::connect(house.address).await;
        let query = "EIO=3&transport=polling";
        peer.send(format!("{}\r\n", get(query))).await;
        assert_eq!(peer.answer().await.status, 400);
        let mut ws = house.client().await;
        ws.text("40/lobyb,").await;
        ws.expect_text(r#"44/lobyb,{"message":"Invalid namespace"}"#)
            .await;
        ws.leave().await;
        drop(guard);
        let lines = lines.lock().unwrap().join("\n");
        for said in ["config.engine.allow_eio3", "/lobyb", "Server::mount"] {
            assert!(lines.contains(said), "{said}: {lines}");
        }
    }

    fn panics(what: &str) {
        panic!("{what}");
    }

    #[tokio::test]
    async fn sec_s23_what_clients_write_forges_no_line_and_tells_no_secret() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let guard = tracing::subscriber::set_default(Keep(Arc::clone(&lines)));
        let mut config = config();
        config.recovery = Some(sio_server::Recovery::default());
        let house = House::with(Road::Hyper, config, |server| {
            server
                .on(
                    "number",
                    async |_, _: std::collections::HashMap<String, u8>| (),
                )
                .on("fails", async |_, what: String| Err::<(), _>(what))
                .on("panics", async |_, what: String| panics(&what))
                .filter(
                    async |_, incoming: Incoming| match incoming.event().starts_with("no") {
                        true => Err(Refuse::new(incoming.event())),
                        false => Ok(()),
                    },
                )
        })
        .await;
        let evil = "x\\r\\nERROR all is lost\\u001b[2J\\u202e";
        let long = "y".repeat(900);
        let mut secrets = vec!["the-token".to_owned()];
        for packet in [
            format!(r#"42["number",{{"{evil}{long}":"z"}}]"#),
            format!(r#"42["fails","{evil}{long}"]"#),
            format!(r#"42["panics","{evil}{long}"]"#),
            format!(r#"42["no{evil}{long}"]"#),
            format!(r#"421["no{evil}{long}"]"#),
            "40/nowhere\n\u{1b}[2J,".to_owned(),
            "42/nowhere\n\u{1b}[2J,[1]".to_owned(),
            format!(r#"42["{}"]"#, "\n"),
            "4\n\u{1b}".to_owned(),
        ] {
            let mut ws = Ws::open(house.address).await;
            secrets.push(ws.sid.clone());
            ws.text(r#"40{"token":"the-token"}"#).await;
            let Got::Text(connect) = ws.next().await else {
                panic!("not joined")
            };
            let connect: Value = serde_json::from_str(&connect[2..]).unwrap();
            secrets.push(connect["pid"].as_str().unwrap().to_owned());
            ws.text(&packet).await;
            ws.text(r#"429["echo",1]"#).await;
            while matches!(ws.next().await, Got::Text(text) if text != "439[1]") {}
            ws.reset();
        }
        house.empties().await;
        drop(guard);
        let lines = lines.lock().unwrap();
        assert!(lines.len() > 10, "{lines:?}");
        assert!(
            lines.iter().any(|line| line.contains("all is lost")),
            "{lines:?}"
        );
        for line in lines.iter() {
            assert!(!line.contains(char::is_control), "{line:?}");
            assert!(!line.contains('\u{202e}'), "{line:?}");
            assert!(line.chars().count() < 1000, "{line:?}");
            let told = secrets.iter().find(|secret| line.contains(*secret));
            assert_eq!(told, None, "{line:?}");
        }
    }
}
