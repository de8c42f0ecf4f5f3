//! The face for tokio: a pair over `tokio::io::duplex`, and a peer that writes bytes by hand.

#![cfg(feature = "tokio")]

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use ws_frame::tokio::{Error, Item, WebSocket};
use ws_frame::{
    CloseCode, Connection, Header, Kind, Limits, OpCode, ProtocolError, Role, State, mask,
};

fn server(io: DuplexStream) -> WebSocket<DuplexStream> {
    let limits = Limits {
        control_burst: 10_000,
        ..Limits::default()
    };
    WebSocket::server(io, Connection::new(Role::Server, limits).with_deflate())
}

fn client(io: DuplexStream) -> WebSocket<DuplexStream> {
    let mut key = 0_u32;
    let connection = Connection::new(Role::Client, Limits::default()).with_deflate();
    WebSocket::client(io, connection, move || {
        key = key.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        key.to_ne_bytes()
    })
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers")
        .block_on(future)
}

/// A server whose peer is bytes.
fn served() -> (WebSocket<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(1 << 20);
    (server(ours), theirs)
}

/// What is left on the wire; the other side has shut it down.
async fn rest(mut wire: DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire.read_to_end(&mut bytes).await.expect("duplex works");
    bytes
}

fn item() -> impl Strategy<Value = Item> {
    let bytes = |len| prop::collection::vec(any::<u8>(), 0..len).prop_map(Bytes::from);
    let long = (0..200_000_usize).prop_map(|len| Bytes::from(vec![b'x'; len]));
    let text = (0..70_000_usize).prop_map(|len| "größer ".repeat(len / 7));
    prop_oneof![
        ".{0,600}".prop_map(|text| Item::Text(text.into())),
        text.prop_map(|text| Item::Text(text.into())),
        bytes(5000).prop_map(Item::Binary),
        long.clone().prop_map(Item::Binary),
        bytes(126).prop_map(Item::Ping),
        long.prop_map(|payload| Item::Compressed {
            kind: Kind::Text,
            payload
        }),
    ]
}

/// Sends all, says goodbye, and gives what came back.
async fn call(mut socket: WebSocket<DuplexStream>, items: Vec<Item>) -> Vec<Item> {
    let mut back = Vec::new();
    for item in items {
        socket.send(item).await.expect("the peer reads");
        back.push(socket.next().await.expect("open").expect("well formed"));
    }
    socket.close().await.expect("the peer reads");
    while let Some(item) = socket.next().await {
        back.push(item.expect("well formed"));
    }
    assert_eq!(socket.connection().state(), State::Closed);
    back
}

async fn echo(mut socket: WebSocket<DuplexStream>) {
    while let Some(item) = socket.next().await {
        match item.expect("well formed") {
            Item::Ping(_) | Item::Pong(_) | Item::Close(_) => {}
            item => socket.send(item).await.expect("the peer reads"),
        }
    }
    assert_eq!(socket.connection().state(), State::Closed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_comes_back_however_the_stream_is_cut(
        items in prop::collection::vec(item(), 0..6),
        width in prop_oneof![1..40_usize, 1000..70_000_usize],
        caller_is_client in any::<bool>(),
    ) {
        let (left, right) = duplex(width);
        let (caller, callee) = match caller_is_client {
            true => (client(left), server(right)),
            false => (server(left), client(right)),
        };
        let (back, ()) = run(async { tokio::join!(call(caller, items.clone()), echo(callee)) });
        let mut expected: Vec<_> = items
            .into_iter()
            .map(|item| match item {
                Item::Ping(payload) => Item::Pong(payload),
                item => item,
            })
            .collect();
        expected.push(Item::Close(Some((CloseCode::NORMAL, "".into()))));
        prop_assert!(back == expected);
    }
}

#[test]
fn a_large_text_is_whole_wherever_its_frame_is_cut() {
    let text = "größer ".repeat(7_000);
    let mut frame = Header {
        mask: Some([1, 2, 3, 4]),
        ..Header::new(OpCode::Text, text.len() as u64)
    }
    .encode()
    .as_ref()
    .to_vec();
    let body = frame.len();
    frame.extend_from_slice(text.as_bytes());
    mask(&mut frame[body..], [1, 2, 3, 4]);
    for cut in [
        1,
        14,
        15,
        17,
        1000,
        5000,
        16_384,
        20_000,
        60_000,
        frame.len() - 1,
    ] {
        run(async {
            let (mut socket, mut wire) = served();
            for piece in [&frame[..cut], &frame[cut..]] {
                wire.write_all(piece).await.expect("duplex works");
                // It is read before more comes.
                let mut cx = Context::from_waker(Waker::noop());
                if let Poll::Ready(item) = socket.poll_next_unpin(&mut cx) {
                    let item = item.expect("an item").expect("a message");
                    assert!(item == Item::Text(text.as_str().into()), "cut at {cut}");
                    return;
                }
            }
            panic!("no message came, cut at {cut}");
        });
    }
}

#[test]
fn both_sides_may_close_at_once() {
    run(async {
        let (left, right) = duplex(1024);
        let (mut client, mut server) = (client(left), server(right));
        client.close().await.expect("there is room");
        server.close().await.expect("there is room");
        let bye = Item::Close(Some((CloseCode::NORMAL, "".into())));
        for socket in [&mut client, &mut server] {
            assert_eq!(socket.next().await.expect("a frame").expect("clean"), bye);
            assert!(socket.next().await.is_none());
        }
    });
}

#[test]
fn messages_arrive_until_the_peer_has_closed_too() {
    run(async {
        let (left, right) = duplex(1024);
        let (mut client, mut server) = (client(left), server(right));
        server.feed(Item::Text("late".into())).await.expect("room");
        client.send(Item::Close(None)).await.expect("it is open");
        assert!(matches!(
            client.send(Item::Text("too late".into())).await,
            Err(Error::Closing)
        ));
        let serve = async { while server.next().await.is_some() {} };
        let read = async {
            let late = client.next().await.expect("a message").expect("clean");
            assert_eq!(late, Item::Text("late".into()));
            let bye = client.next().await.expect("a frame").expect("clean");
            assert_eq!(bye, Item::Close(None));
            assert!(client.next().await.is_none());
        };
        tokio::join!(serve, read);
    });
}

#[test]
fn the_answer_to_a_close_frame_leaves_before_the_item_is_seen() {
    run(async {
        let (mut server, mut wire) = served();
        wire.write_all(b"\x88\x82\0\0\0\0\x03\xe8")
            .await
            .expect("room");
        assert!(matches!(
            server.next().await,
            Some(Ok(Item::Close(Some(_))))
        ));
        drop(server);
        assert_eq!(rest(wire).await, b"\x88\x02\x03\xe8");
    });
}

#[test]
fn a_fault_is_answered_with_its_code_and_is_the_last_item() {
    run(async {
        let (mut server, mut wire) = served();
        // "a", then an unmasked frame, then what must not be looked at.
        wire.write_all(b"\x81\x81\0\0\0\0a\x81\x01b\x81\x81\0\0\0\0c")
            .await
            .expect("room");
        assert_eq!(
            server.next().await.expect("one").expect("well formed"),
            Item::Text("a".into())
        );
        assert!(matches!(
            server.next().await,
            Some(Err(Error::Protocol(ProtocolError::MaskMissing)))
        ));
        assert!(server.next().await.is_none());
        // §7.1.1: it is the server that ends the TCP connection.
        assert_eq!(rest(wire).await, b"\x88\x02\x03\xea");
    });
}

#[test]
fn the_end_of_the_stream_without_a_close_frame_is_an_error_in_every_state() {
    for (bytes, closes) in [
        (&b""[..], false),
        (b"\x81", false),
        (b"\x81\x85\0\0\0\0He", false),
        (b"\x01\x82\0\0\0\0He", false),
        (b"", true),
    ] {
        run(async {
            let (mut server, mut wire) = served();
            wire.write_all(bytes).await.expect("room");
            wire.shutdown().await.expect("duplex works");
            if closes {
                server.close().await.expect("room");
            }
            assert!(matches!(server.next().await, Some(Err(Error::Abnormal))));
            assert!(server.next().await.is_none());
        });
    }
}

#[test]
fn bytes_behind_the_head_come_first() {
    run(async {
        let (server, mut wire) = served();
        let mut server = server.with_input(b"\x81\x82\0\0\0\0H");
        wire.write_all(b"i").await.expect("room");
        assert_eq!(
            server.next().await.expect("one").expect("well formed"),
            Item::Text("Hi".into())
        );
    });
}

#[test]
fn a_peer_that_does_not_read_holds_up_the_sink_and_costs_no_more_than_stated() {
    let (ours, _theirs) = duplex(1024);
    let mut server = server(ours);
    let mut cx = Context::from_waker(Waker::noop());
    let mut taken = 0;
    while let Poll::Ready(ready) = server.poll_ready_unpin(&mut cx) {
        ready.expect("it is open");
        server
            .start_send_unpin(Item::Binary(Bytes::from_static(&[0; 1000])))
            .expect("it is open");
        taken += 1000;
    }
    assert!((32_000..36_000).contains(&taken), "{taken}");
}

#[test]
fn a_peer_that_pings_and_does_not_read_is_read_on() {
    run(async {
        let (ours, mut theirs) = duplex(64);
        let mut server = server(ours);
        let pings = async {
            for _ in 0..5000 {
                theirs
                    .write_all(b"\x89\x84\0\0\0\0ping")
                    .await
                    .expect("it is read");
            }
            theirs
                .write_all(b"\x81\x80\0\0\0\0")
                .await
                .expect("it is read");
        };
        let read = async {
            loop {
                if let Item::Text(_) = server.next().await.expect("open").expect("well formed") {
                    break;
                }
            }
        };
        tokio::join!(pings, read);
    });
}

#[test]
fn the_halves_may_be_driven_by_two_tasks() {
    run(async {
        let (left, right) = duplex(64);
        let (mut sink, mut stream) = server(left).split();
        let callee = tokio::spawn(echo(client(right)));
        let writer = tokio::spawn(async move {
            for len in 0..300 {
                let payload = Bytes::from(vec![1; len * 31]);
                sink.send(Item::Binary(payload)).await.expect("it is read");
                // Not so many that the client would take offence.
                if len % 3 == 0 {
                    sink.send(Item::Ping(Bytes::new()))
                        .await
                        .expect("it is read");
                }
            }
            sink.close().await.expect("it is read");
        });
        let mut messages = 0;
        while let Some(item) = stream.next().await {
            messages += usize::from(matches!(item.expect("well formed"), Item::Binary(_)));
        }
        writer.await.expect("no panic");
        callee.await.expect("no panic");
        assert_eq!(messages, 300);
    });
}

#[test]
fn an_idle_stream_owns_no_buffer() {
    let (ours, mut theirs) = duplex(1024);
    let mut server = server(ours);
    let mut cx = Context::from_waker(Waker::noop());
    run(theirs.write_all(b"\x81\x81\0\0\0\0a")).expect("room");
    let mut poll = |server: &mut WebSocket<_>| server.poll_next_unpin(&mut cx).is_ready();
    let allocated = allocation_counter::measure(|| {
        assert!(poll(&mut server));
        assert!(!poll(&mut server));
    });
    assert!(allocated.bytes_max >= 16 * 1024);
    // The one-byte payload of the item went with it; the waker of duplex is not ours.
    assert!(allocated.bytes_current < 64, "{allocated:?}");
}
