//! The ways in which other WebSocket implementations have failed, one test each.
//!
//! F5 to F7, and F6 above all, are about permessage-deflate, which is not in this crate: a compressed
//! message is held to the same limits here as any other (`sec_f5`).

use std::time::Duration;

use allocation_counter::measure;
use ws_frame::{Connection, End, Header, Limits, Message, OpCode, ProtocolError, Role, State};

use crate::oracle::wire;

fn server() -> Connection {
    Connection::new(Role::Server, Limits::default())
}

fn frame(fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    wire(Role::Server, fin, 0, opcode, payload)
}

fn fault(connection: &mut Connection, stream: &[u8]) -> Option<ProtocolError> {
    let mut stream = stream.to_vec();
    let mut input = stream.as_mut_slice();
    loop {
        match connection.receive(&mut input) {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(fault) => return Some(fault),
        }
    }
}

/// The default message limit was hundreds of megabytes, or none.
#[test]
fn sec_f1_a_message_over_the_limit_is_refused_on_its_header() {
    let mut header = Header::new(OpCode::Binary, 1_000_001);
    header.mask = Some([1, 2, 3, 4]);
    let mut connection = server();
    let heap = measure(|| {
        let limit = 1_000_000;
        let too_big = ProtocolError::TooBig {
            len: 1_000_001,
            limit,
        };
        assert_eq!(
            fault(&mut connection, header.encode().as_ref()),
            Some(too_big)
        );
    });
    // The close frame, and the copy of the header.
    assert!(heap.bytes_max < 256, "{heap:?}");
}

/// Each fragment was an object of its own, so one byte on the wire was a hundred in memory.
#[test]
fn sec_f2_fragments_on_many_connections_cost_no_more_than_their_bytes() {
    let fragments = [
        frame(false, OpCode::Binary, b"x"),
        frame(false, OpCode::Continuation, b"x").repeat(9_999),
    ]
    .concat();
    let mut connections: Vec<Connection> = (0..200).map(|_| server()).collect();
    let heap = measure(|| {
        for connection in &mut connections {
            assert_eq!(fault(connection, &fragments), None);
        }
    });
    assert!(heap.bytes_current <= 200 * (2 * 10_000 + 4096), "{heap:?}");
}

/// What had been gathered was measured anew, or validated anew, for every fragment. See also
/// `memory::the_work_for_fragments_is_linear`.
#[test]
fn sec_f3_a_million_fragments_of_text_are_no_work() {
    let limits = Limits {
        max_fragments: u32::MAX,
        ..Limits::default()
    };
    let mut connection = Connection::new(Role::Server, limits);
    let mut stream = frame(false, OpCode::Text, b"x");
    stream.extend(frame(false, OpCode::Continuation, b"x").repeat(999_998));
    stream.extend(frame(true, OpCode::Continuation, b"x"));
    // Quadratic work would be 5 * 10^11 bytes: it would not end.
    let mut input = stream.as_mut_slice();
    let Ok(Some(Message::Text(text))) = connection.receive(&mut input) else {
        panic!("a text message");
    };
    assert_eq!(text.len(), 1_000_000);
}

/// The limit was applied to each frame, not to the message.
#[test]
fn sec_f4_fragments_within_the_limit_are_refused_at_the_first_byte_over() {
    let mut connection = server();
    let half = vec![0; 500_000];
    assert_eq!(
        fault(&mut connection, &frame(false, OpCode::Binary, &half)),
        None
    );
    assert_eq!(
        fault(&mut connection, &frame(false, OpCode::Continuation, &half)),
        None
    );
    let over = &frame(true, OpCode::Continuation, b"x")[..6];
    let too_big = ProtocolError::TooBig {
        len: 1_000_001,
        limit: 1_000_000,
    };
    assert_eq!(fault(&mut connection, over), Some(too_big));
}

/// One of the paths, plain or compressed, single or fragmented, had no limit.
#[test]
fn sec_f5_the_limit_is_the_same_on_every_path() {
    for rsv in [0, Header::RSV1] {
        for fragmented in [false, true] {
            let mut connection = server().with_deflate();
            let payload = vec![0; 1_000_001];
            let stream = match fragmented {
                false => wire(Role::Server, true, rsv, OpCode::Text, &payload),
                true => [
                    wire(Role::Server, false, rsv, OpCode::Text, &payload[..600_000]),
                    wire(
                        Role::Server,
                        true,
                        0,
                        OpCode::Continuation,
                        &payload[600_000..],
                    ),
                ]
                .concat(),
            };
            let too_big = ProtocolError::TooBig {
                len: 1_000_001,
                limit: 1_000_000,
            };
            assert_eq!(fault(&mut connection, &stream), Some(too_big));
        }
    }
}

/// Lengths of 63 and 64 bits overflowed. The whole list is in `faults`.
#[test]
fn sec_f8_no_length_overflows() {
    for len in [u64::MAX, 1 << 63, (1 << 63) - 1, (1 << 53) + 1, 1 << 32] {
        let mut connection = server();
        // With a byte under way, the sum of both lengths must not wrap either.
        assert_eq!(
            fault(&mut connection, &frame(false, OpCode::Binary, b"x")),
            None
        );
        let mut header = vec![0x80, 0xff];
        header.extend(len.to_be_bytes());
        header.extend([0; 4]);
        assert!(fault(&mut connection, &header).is_some(), "{len}");
    }
}

/// A close frame's length and content were taken from different places, and old memory was sent.
#[test]
fn sec_f9_every_byte_sent_comes_from_the_input() {
    let close = |poison: u8| {
        let mut out = vec![poison; 300];
        out.clear();
        let mut connection = server();
        let mut stream = [
            frame(true, OpCode::Ping, b"ping"),
            frame(true, OpCode::Close, b"\x03\xe8reason"),
        ]
        .concat();
        let mut input = stream.as_mut_slice();
        while matches!(connection.receive(&mut input), Ok(Some(_))) {}
        connection.poll_transmit(&mut out);
        out
    };
    assert_eq!(close(0), close(0xff));
    assert_eq!(close(0), b"\x8a\x04ping\x88\x02\x03\xe8");
}

/// Bytes that came in one segment with the upgrade request met a connection that was not ready.
#[test]
fn sec_f10_the_first_bytes_may_be_anything() {
    for first in 0..=255 {
        for second in 0..=255 {
            let mut connection = server();
            let fault = fault(&mut connection, &[first, second, 0, 0, 0, 0]);
            assert_eq!(fault.is_some(), connection.state() == State::Failed);
        }
    }
}

/// A pong was not sent because a write was under way.
#[test]
fn sec_f11_a_pong_waits_until_it_can_leave() {
    let mut connection = server();
    for ping in [b"1", b"2"] {
        assert_eq!(
            fault(&mut connection, &frame(true, OpCode::Ping, ping)),
            None
        );
    }
    // Much later.
    let mut out = Vec::new();
    assert!(connection.poll_transmit(&mut out));
    assert_eq!(out, b"\x8a\x011\x8a\x012");
    assert!(!connection.poll_transmit(&mut out));
}

/// Text was checked when the message was complete. The list of faults is in `faults`.
#[test]
fn sec_f12_text_is_refused_inside_a_frame_that_is_still_arriving() {
    let mut stream = frame(
        true,
        OpCode::Text,
        &[&b"a\xed\xa0"[..], &[b'x'; 900]].concat(),
    );
    stream.truncate(6 + 2 + 3);
    let mut connection = server();
    assert_eq!(fault(&mut connection, &stream[..10]), None);
    assert_eq!(
        fault(&mut connection, &stream[10..]),
        Some(ProtocolError::Utf8)
    );
}

/// Pongs for a peer that reads nothing grew without bound; so did control frames as such.
#[test]
fn sec_f14_a_flood_of_pings_costs_two_kilobytes_and_then_the_connection() {
    let ping = frame(true, OpCode::Ping, &[0; 125]);
    let mut connection = server();
    let mut pings = 0;
    let heap = measure(|| {
        for _ in 0..1000 {
            // Ten seconds go by for every 250 pings: half of them are too many.
            if pings % 25 == 0 {
                connection.handle_elapsed(Duration::from_secs(1));
            }
            if fault(&mut connection, &ping) == Some(ProtocolError::ControlRate) {
                break;
            }
            pings += 1;
        }
    });
    assert_eq!(pings, 1000, "25 a second are allowed");
    assert!(heap.bytes_current < 4096, "{heap:?}");

    assert_eq!(
        fault(&mut connection, &ping.repeat(250)),
        Some(ProtocolError::ControlRate)
    );
}

/// Not everybody says goodbye, and in no state is that a surprise.
#[test]
fn the_end_of_the_stream_in_every_state() {
    let close = frame(true, OpCode::Close, b"\x03\xe8");
    let mut out = Vec::new();

    let mut open = server();
    assert_eq!(
        (open.receive_eof(), open.state()),
        (End::Abnormal, State::Failed)
    );
    assert!(open.is_finished());

    let mut cut = server();
    assert_eq!(fault(&mut cut, &close[..3]), None);
    assert_eq!(
        (cut.receive_eof(), cut.state()),
        (End::Abnormal, State::Failed)
    );

    let mut close_sent = server();
    close_sent.close(None);
    assert_eq!(
        (close_sent.receive_eof(), close_sent.state()),
        (End::Abnormal, State::Failed)
    );
    assert!(close_sent.is_finished());

    let mut close_received = server();
    assert_eq!(fault(&mut close_received, &close), None);
    assert_eq!(close_received.state(), State::CloseReceived);
    assert_eq!(close_received.receive_eof(), End::Clean);
    // The peer may have closed its half only: the reply still leaves.
    assert!(!close_received.is_finished());
    assert!(close_received.poll_transmit(&mut out));
    assert!(close_received.is_finished());
    assert_eq!(
        (close_received.receive_eof(), close_received.state()),
        (End::Clean, State::Closed)
    );

    let mut both = server();
    both.close(None);
    assert_eq!(fault(&mut both, &close), None);
    assert_eq!(
        (both.state(), both.receive_eof()),
        (State::Closed, End::Clean)
    );

    let mut failed = server();
    assert!(fault(&mut failed, b"\xff\xff").is_some());
    assert!(!failed.is_finished());
    assert_eq!(
        (failed.receive_eof(), failed.state()),
        (End::Abnormal, State::Failed)
    );
    assert!(failed.poll_transmit(&mut out));
    assert!(failed.is_finished());
}
