//! Settings at the ends of their types: "as many as there are", "for ever".

mod support;

use std::{
    future::IntoFuture,
    panic,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sio_server::{Answers, Config, Recovery, Server, Value};
use support::{
    Got, House, Peer, Polling, Road, Ws, frame, get, on_every_road, post, sid_of, within,
};

/// What settings are set to.
struct Bound {
    time: Duration,
    size: usize,
    rate: u32,
}

const MOST: Bound = Bound {
    time: Duration::MAX,
    size: usize::MAX,
    rate: u32::MAX,
};

const NOTHING: Bound = Bound {
    time: Duration::ZERO,
    size: 0,
    rate: 0,
};

type Setting = (&'static str, fn(&mut Config, &Bound));

macro_rules! settings {
    (|$config:ident| $($place:expr => $of:ident,)*) => {
        [$((stringify!($place), |$config, bound| $place = bound.$of.into())),*]
    };
}

/// All that can be counted or measured.
fn settings() -> [Setting; 48] {
    settings! { |c|
        c.engine.ping_interval => time,
        c.engine.ping_timeout => time,
        c.engine.upgrade_timeout => time,
        c.engine.connect_timeout => time,
        c.engine.close_timeout => time,
        c.engine.noop_interval => time,
        c.engine.max_payload => size,
        c.engine.max_packets_per_payload => size,
        c.packet.max_attachments => size,
        c.packet.max_auth => size,
        c.packet.max_binary_bytes => size,
        c.packet.max_event_name => size,
        c.packet.max_namespace => size,
        recovery(c).max_disconnection_duration => time,
        recovery(c).max_packets => size,
        recovery(c).max_bytes => size,
        recovery(c).max_sessions => size,
        c.compress_above => size,
        c.max_queued_bytes => size,
        c.max_queued_packets => size,
        c.soft_queued_bytes => size,
        c.soft_queued_time => time,
        c.write_timeout => time,
        c.max_pending_bytes => size,
        c.stall_timeout => time,
        c.attachment_timeout => time,
        c.max_message_bytes => size,
        c.max_answer_bytes => size,
        c.ack_timeout => time,
        c.max_namespaces => size,
        c.max_packet_rate => rate,
        c.packet_burst => rate,
        c.max_connect_attempts => rate,
        c.max_connections => size,
        c.max_opening_rate => rate,
        c.per_ip.max_connections => rate,
        c.per_ip.max_handshake_rate => rate,
        c.per_ip.handshake_burst => rate,
        c.max_pending => size,
        c.memory_budget => size,
        c.max_rooms => size,
        c.max_dynamic_namespaces => size,
        c.linger => time,
        c.header_timeout => time,
        c.body_timeout => time,
        c.body_grace => time,
        c.min_body_rate => size,
        c.close_timeout => time,
    }
}

fn recovery(config: &mut Config) -> &mut Recovery {
    config.recovery.get_or_insert_default()
}

/// Those with which, if they are 0, some client could not say anything.
const REFUSERS: [&str; 14] = [
    "c.engine.connect_timeout",
    "c.engine.max_packets_per_payload",
    "c.engine.max_payload",
    "c.header_timeout",
    "c.max_connect_attempts",
    "c.max_connections",
    "c.max_message_bytes",
    "c.max_namespaces",
    "c.max_queued_bytes",
    "c.max_queued_packets",
    "c.memory_budget",
    "c.packet.max_event_name",
    "c.packet.max_namespace",
    "c.per_ip.max_connections",
];

/// All settings without bounds.
fn boundless() -> Config {
    let mut config = support::config();
    for (_, set) in settings() {
        set(&mut config, &MOST);
    }
    config
}

/// The id of the ack that an event asks for.
fn id_of(text: &str) -> String {
    let digits = text["42".len()..].chars().take_while(char::is_ascii_digit);
    digits.collect()
}

/// Whether an echo comes over a WebSocket, before the server refuses or closes it.
async fn websocket(house: &House) -> bool {
    let mut ws = Ws::ask(house.address, "EIO=4&transport=websocket", b"").await;
    if ws
        .peer
        .try_answer()
        .await
        .is_none_or(|answer| answer.status != 101)
    {
        return false;
    }
    for text in ["40", r#"421["echo",1]"#] {
        ws.peer.try_send(frame(0x81, text.as_bytes())).await;
    }
    loop {
        match ws.next().await {
            Got::Text(text) if text == "431[1]" => return true,
            Got::End(_) => return false,
            _ => {}
        }
    }
}

/// Whether one comes by polling.
async fn polling(house: &House) -> bool {
    let mut peer = Peer::connect(house.address).await;
    let query = "EIO=4&transport=polling";
    let opened = asked(&mut peer, format!("{}\r\n", get(query))).await;
    let Some(json) = opened.as_deref().and_then(|body| body.strip_prefix('0')) else {
        return false;
    };
    let query = format!("{query}&sid={}", sid_of(json));
    for packet in ["40", r#"421["echo",1]"#] {
        if asked(&mut peer, post(&query, packet)).await.is_none() {
            return false;
        }
    }
    while let Some(body) = asked(&mut peer, format!("{}\r\n", get(&query))).await {
        if body.contains("431[1]") {
            asked(&mut peer, post(&query, "1")).await;
            return true;
        }
    }
    false
}

/// The body of a good answer.
async fn asked(peer: &mut Peer, request: String) -> Option<String> {
    peer.try_send(request).await;
    let answer = peer.try_answer().await?;
    (answer.status == 200).then_some(answer.body)
}

on_every_road! {
    async fn what_is_bounded_by_the_largest_number_there_is_works_as_if_it_were_unbounded(road: Road) {
        let mut house = House::with(road, boundless(), |server| {
            server.on("ask", async |socket, within: Value| {
                let call = socket.call::<_, _, u32>("count", &());
                let answer = match within == Value::from("ever") {
                    true => call.timeout(Duration::MAX).await,
                    false => call.await,
                };
                socket.emit("counted", &answer.ok());
            })
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/").await;
        ws.join("/dyn-a").await;
        for within in ["ever", "default"] {
            ws.text(&format!(r#"42["ask","{within}"]"#)).await;
            let Got::Text(text) = ws.next().await else { panic!("the end") };
            ws.text(&format!("43{}[7]", id_of(&text))).await;
            let Got::Text(text) = ws.next().await else { panic!("the end") };
            assert!(text.starts_with(r#"42["counted",7"#), "{text}");
        }
        let asked = house.io.everyone().call::<_, _, u32>("count", &()).timeout(Duration::MAX);
        let answering = async {
            let Got::Text(text) = ws.next().await else { panic!("the end") };
            ws.text(&format!("43{}[8]", id_of(&text))).await;
        };
        let (answers, ()) = tokio::join!(within("the answers", asked.into_future()), answering);
        let answers: Answers<u32> = answers.unwrap();
        assert_eq!(answers.into_values(), [8]);
        let socket = house.io.everyone().sockets::<()>().remove(0);
        socket.emit_within(Duration::MAX, "news", &1).await.unwrap();
        let Got::Text(text) = ws.next().await else { panic!("the end") };
        assert!(text.starts_with(r#"42["news",1"#), "{text}");
        // An event with an attachment, and a body that comes in two pieces.
        ws.text(r#"451-1["echo",{"_placeholder":true,"num":0}]"#).await;
        ws.binary(b"abc").await;
        assert!(matches!(ws.next().await, Got::Text(text) if text.starts_with("461-1[")));
        assert_eq!(ws.next().await, Got::Binary(b"abc".to_vec()));
        let mut polling = Polling::join(house.address).await;
        let request = post(&polling.query(), r#"421["echo",1]"#);
        let (first, second) = request.split_at(request.len() - 4);
        polling.posts.send(first).await;
        house.serves_others().await;
        polling.posts.send(second).await;
        assert_eq!(polling.posts.answer().await.body, "ok");
        assert_eq!(polling.get().await, "431[1]");
        polling.post("1").await;
        ws.leave().await;
        house.empties().await;
        house.stop().await;
    }

    async fn a_setting_of_nothing_does_without_or_keeps_the_server_from_starting(road: Road) {
        static PANICS: AtomicUsize = AtomicUsize::new(0);
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                PANICS.fetch_add(1, Ordering::Relaxed);
                before(info);
            }));
        });
        for (name, set) in settings() {
            let mut config = support::config();
            config.close_timeout = Duration::from_millis(20);
            set(&mut config, &NOTHING);
            if REFUSERS.contains(&name) {
                let error = Server::new().config(config).into_service().err();
                let sentence = format!("Config::{} is 0: ", &name[2..]);
                let said = error.map(|error| error.to_string()).unwrap_or_default();
                assert!(said.starts_with(&sentence), "{name}: {said}");
                continue;
            }
            let mut house = House::with(road, config, |server| server).await;
            let served = [websocket(&house).await, polling(&house).await];
            house.stop().await;
            assert_eq!(served, [true, true], "{name}");
            assert_eq!(PANICS.load(Ordering::Relaxed), 0, "{name}");
        }
    }
}
