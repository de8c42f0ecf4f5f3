//! Attachments, small and large, on their way to a client: whole and in order, whatever leaves around
//! them and however slowly they are taken.

mod support;

use std::sync::LazyLock;

use bytes::Bytes;
use sio_server::{Ack, EngineEvent, Server, Value};
use socket2::SockRef;
use support::{Got, House, Road, Ws, config, frame, on_every_road, until, within};
use tokio::sync::mpsc::unbounded_channel;

/// Of each of these lengths there is one in each round.
const LENS: [usize; 5] = [3, 70_000, 0, 9_000, 300_000];

const ROUNDS: usize = 12;

/// Bytes of which no two stretches are the same, for each round others.
fn bytes(len: usize, round: usize) -> Bytes {
    static ALL: LazyLock<Bytes> = LazyLock::new(|| {
        let numbers = 0..200_000_u32;
        numbers
            .flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes())
            .collect()
    });
    ALL.slice(round..round + len)
}

/// A server that says a lot when it is asked to: in its own turn, by broadcasts and after having waited.
fn talkative(server: Server) -> Server {
    server.on("talk", async |socket, round: usize| {
        let all: Vec<_> = LENS
            .iter()
            .map(|len| Value::Binary(bytes(*len, round)))
            .collect();
        socket.emit("first", &all);
        socket.emit("plain", &round);
        for (len, value) in LENS.iter().zip(&all) {
            socket.emit("shared", value);
            socket.emit("copied", &(len, bytes(*len, round)));
            if round.is_multiple_of(3) {
                socket.everyone().emit("everyone", value);
            }
        }
        if round % 4 == 1 {
            tokio::task::yield_now().await;
        }
        socket.everyone().emit("short", &round);
        Ack((round, Value::Binary(bytes(100_000, round))))
    })
}

/// The same, as the client hears it.
fn talk(round: usize) -> Vec<Got> {
    let mut said = Vec::new();
    let text = |text: String| Got::Text(text);
    let binary = |len: usize| Got::Binary(bytes(len, round).into());
    let place = |n: usize| format!(r#"{{"_placeholder":true,"num":{n}}}"#);
    let places: Vec<_> = (0..LENS.len()).map(place).collect();
    said.push(text(format!(
        r#"45{}-["first",[{}]]"#,
        LENS.len(),
        places.join(",")
    )));
    said.extend(LENS.map(binary));
    said.push(text(format!(r#"42["plain",{round}]"#)));
    for len in LENS {
        let one = &places[0];
        said.extend([text(format!(r#"451-["shared",{one}]"#)), binary(len)]);
        said.extend([text(format!(r#"451-["copied",{len},{one}]"#)), binary(len)]);
        if round.is_multiple_of(3) {
            said.extend([text(format!(r#"451-["everyone",{one}]"#)), binary(len)]);
        }
    }
    said.push(text(format!(r#"42["short",{round}]"#)));
    said.extend([
        text(format!(r#"461-{round}[{round},{}]"#, places[0])),
        binary(100_000),
    ]);
    said
}

/// Expects all that is said in a round, pongs anywhere in between.
async fn hear(ws: &mut Ws, round: usize) {
    for expected in talk(round) {
        let got = loop {
            match ws.next().await {
                Got::Pong(_) => {}
                got => break got,
            }
        };
        assert!(
            got == expected,
            "round {round}: {got:.80?} instead of {expected:.80?}"
        );
    }
}

on_every_road! {
    async fn they_arrive_whole_and_in_order_when_they_are_taken_at_once(road: Road) {
        let house = House::with(road, config(), talkative).await;
        let mut ws = house.client().await;
        for round in 0..ROUNDS {
            ws.text(&format!(r#"42{round}["talk",{round}]"#)).await;
            ws.raw(&frame(0x89, b"?")).await;
            hear(&mut ws, round).await;
        }
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn they_arrive_whole_and_in_order_when_the_socket_is_full(road: Road) {
        let mut config = config();
        config.max_queued_bytes = 64 << 20;
        let house = House::with(road, config, talkative).await;
        let mut ws = house.client().await;
        SockRef::from(&ws.peer.stream).set_recv_buffer_size(16 << 10).unwrap();
        for round in 0..ROUNDS {
            ws.text(&format!(r#"42{round}["talk",{round}]"#)).await;
        }
        until("some of it waits", || house.io.buffered_bytes() > 1 << 20).await;
        for round in 0..ROUNDS {
            hear(&mut ws, round).await;
        }
        until("nothing is counted", || house.io.buffered_bytes() == 0).await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn many_of_one_packet_arrive(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("many", async |_socket, count: usize| {
                let one = Value::Binary(bytes(9_000, 1));
                Ack(Value::Array(vec![one; count]))
            })
        })
        .await;
        let mut ws = house.client().await;
        // More than go into one call.
        for count in [1, 31, 32, 33, 100] {
            ws.text(&format!(r#"421["many",{count}]"#)).await;
            assert!(matches!(ws.next().await, Got::Text(_)));
            for _ in 0..count {
                assert!(ws.next().await == Got::Binary(bytes(9_000, 1).into()));
            }
        }
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn what_was_said_before_the_end_arrives(road: Road) {
        let house = House::with(road, config(), |server| {
            server.on("go", async |socket, ()| {
                socket.emit("last", &Value::Binary(bytes(500_000, 1)));
                socket.disconnect();
            })
        })
        .await;
        let mut ws = house.client().await;
        ws.text(r#"42["go"]"#).await;
        ws.expect_text(r#"451-["last",{"_placeholder":true,"num":0}]"#).await;
        assert!(ws.next().await == Got::Binary(bytes(500_000, 1).into()));
        ws.expect_text("41").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn who_watches_sees_them_leave(road: Road) {
        let (tell, mut seen) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            talkative(server).observe(move |event| {
                if let EngineEvent::Sent { binary, len, .. } = event {
                    let _ = tell.send((binary, len));
                }
            })
        })
        .await;
        let mut ws = house.client().await;
        let _connect = within("the answer to CONNECT", seen.recv()).await;
        ws.text(r#"421["talk",1]"#).await;
        hear(&mut ws, 1).await;
        for got in talk(1) {
            let expected = match got {
                Got::Text(text) => (false, text.len() - 1),
                Got::Binary(bytes) => (true, bytes.len()),
                other => panic!("{other:?} is no message"),
            };
            assert_eq!(within("a message", seen.recv()).await, Some(expected));
        }
        ws.leave().await;
    }
}
