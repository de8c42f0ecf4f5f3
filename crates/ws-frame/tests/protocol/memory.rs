//! What a connection costs: its size, its heap, and the work it does for its bytes.

use allocation_counter::{AllocationInfo, measure};
use bytes::BufMut as _;
use ws_frame::{Connection, Limits, Message, OpCode, ProtocolError, Role};

use crate::oracle::wire;

fn server() -> Connection {
    Connection::new(Role::Server, Limits::default())
}

fn fragment(fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    wire(Role::Server, fin, 0, opcode, payload)
}

/// Reads all of `stream` and counts its messages.
fn read(connection: &mut Connection, mut input: &mut [u8]) -> Result<usize, ProtocolError> {
    let mut count = 0;
    while connection.receive(&mut input)?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[test]
fn an_idle_connection_is_96_bytes() {
    assert!(size_of::<Connection>() <= 96, "{}", size_of::<Connection>());
}

#[test]
fn an_idle_connection_owns_nothing_on_the_heap() {
    let whole = fragment(true, OpCode::Text, &[b'x'; 5000]);
    let pieces = [
        fragment(false, OpCode::Text, &[b'x'; 5000]),
        fragment(true, OpCode::Ping, b"are you there"),
        fragment(true, OpCode::Continuation, &[b'x'; 5000]),
    ]
    .concat();
    let heap = measure(|| {
        let mut connection = server();
        let mut out = Vec::new();
        for (stream, cut) in [(&whole, 700), (&pieces, 1), (&pieces, 20_000)] {
            for piece in stream.chunks(cut) {
                read(&mut connection, &mut piece.to_vec()).expect("it is well formed");
                connection.poll_transmit(&mut out);
            }
        }
        drop(out);
        std::mem::forget(connection);
    });
    assert_eq!(heap.bytes_current, 0);
}

#[test]
fn messages_that_come_whole_cost_no_allocation() {
    let mut stream = fragment(true, OpCode::Text, "häufig".as_bytes()).repeat(50);
    stream.extend(fragment(true, OpCode::Binary, &[0; 70_000]));
    stream.extend(fragment(true, OpCode::Pong, b"still here"));
    let mut connection = server();
    let heap = measure(|| {
        assert_eq!(read(&mut connection, &mut stream), Ok(52));
    });
    assert_eq!(heap.count_total, 0);
}

#[test]
fn a_message_that_comes_whole_is_a_slice_of_the_input() {
    let mut stream = fragment(true, OpCode::Text, b"Hello");
    let range = stream.as_ptr_range();
    let mut input = stream.as_mut_slice();
    let mut connection = server();
    let Ok(Some(Message::Text(text))) = connection.receive(&mut input) else {
        panic!("a text message");
    };
    assert!(range.contains(&text.as_ptr()));
}

/// Feeds `stream` in pieces of `cut` bytes and says what that cost.
fn cost(limits: Limits, stream: &[u8], cut: usize) -> AllocationInfo {
    let mut connection = Connection::new(Role::Server, limits);
    let mut scratch = vec![0; cut];
    measure(|| {
        for piece in stream.chunks(cut) {
            let scratch = &mut scratch[..piece.len()];
            scratch.copy_from_slice(piece);
            read(&mut connection, scratch).expect("it is well formed");
        }
    })
}

#[test]
fn a_million_fragments_of_one_byte_stay_within_twice_what_was_received() {
    let limits = Limits {
        max_message: 1 << 21,
        max_fragments: u32::MAX,
        ..Limits::default()
    };
    let mut stream = fragment(false, OpCode::Binary, b"x");
    stream.extend(fragment(false, OpCode::Continuation, b"x").repeat(999_999));
    for cut in [7, 4096, stream.len()] {
        let heap = cost(limits, &stream, cut);
        assert!(heap.bytes_max <= 2 * 1_000_000 + 4096, "{heap:?}");
        // The buffer doubles; nothing is allocated per fragment.
        assert!(heap.count_total < 24, "{heap:?}");
    }
}

#[test]
fn a_thousand_half_open_messages_cost_what_their_bytes_cost() {
    // Each announces all that it may send, and sends 100 bytes of it.
    let piece = &fragment(true, OpCode::Binary, &vec![0; 1_000_000])[..114];
    let mut connections: Vec<Connection> = (0..1000).map(|_| server()).collect();
    let heap = measure(|| {
        for connection in &mut connections {
            assert_eq!(read(connection, &mut piece.to_vec()), Ok(0));
        }
    });
    assert!(heap.bytes_current <= 1000 * 4096, "{heap:?}");
}

#[test]
fn the_work_for_fragments_is_linear() {
    // Every allocation but the last is one copy of what was there. So the sum of all that was ever
    // allocated bounds what was copied, whatever the clock says.
    let work = |count: usize| {
        let limits = Limits {
            max_message: 1 << 21,
            max_fragments: u32::MAX,
            ..Limits::default()
        };
        let mut stream = fragment(false, OpCode::Text, b"abcdefgh");
        stream.extend(fragment(false, OpCode::Continuation, b"abcdefgh").repeat(count - 1));
        cost(limits, &stream, 14).bytes_total
    };
    for count in [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000] {
        let work = work(count);
        assert!(
            work <= 4 * 8 * count as u64 + 8192,
            "{count} fragments: {work}"
        );
    }
}

#[test]
fn a_large_frame_in_many_pieces_is_copied_about_once() {
    let stream = fragment(true, OpCode::Binary, &vec![7; 1_000_000]);
    for cut in [1448, 16_384, 65_536, 262_144] {
        let heap = cost(Limits::default(), &stream, cut);
        assert!(heap.bytes_total <= 3_000_000, "{cut}: {heap:?}");
        assert!(heap.bytes_max <= 2_000_000, "{cut}: {heap:?}");
    }
}

#[test]
fn a_large_frame_is_read_straight_into_the_buffer_it_is_lent_from() {
    let payload: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
    let stream = fragment(true, OpCode::Binary, &payload);
    let (head, mut rest) = stream.split_at(4096);

    let mut connection = server();
    assert_eq!(read(&mut connection, &mut head.to_vec()), Ok(0));
    assert_eq!(connection.want(), rest.len());
    while let Some(mut space) = connection.space() {
        let count = rest.len().min(space.chunk_mut().len());
        space.put_slice(&rest[..count]);
        rest = &rest[count..];
        if rest.is_empty() {
            break;
        }
        assert_eq!(read(&mut connection, &mut []), Ok(0));
        assert_eq!(connection.want(), rest.len());
    }
    let received = connection.receive(&mut (&mut [] as &mut [u8]));
    assert_eq!(received, Ok(Some(Message::Binary(&payload))));
}

#[test]
fn a_text_of_which_some_was_read_straight_in_is_the_text() {
    let text = "größer ".repeat(8000);
    let stream = fragment(true, OpCode::Text, text.as_bytes());
    // Where the head ends, and how much is read straight in behind it, again and again.
    for (head, straight) in [
        (14, usize::MAX),
        (17, usize::MAX),
        (1000, usize::MAX),
        (1000, 0),
        (1000, 1),
        (1000, 700),
        (1000, 30_001),
        (9000, usize::MAX),
    ] {
        let mut connection = server();
        let (mut first, mut rest) = (stream[..head].to_vec(), &stream[head..]);
        assert_eq!(read(&mut connection, &mut first), Ok(0));
        loop {
            let straight = straight.min(rest.len());
            if let Some(mut space) = connection.space() {
                space.put_slice(&rest[..straight]);
                rest = &rest[straight..];
            }
            // And a little the other way.
            let (input, behind) = rest.split_at(rest.len().min(500));
            rest = behind;
            let mut input = input.to_vec();
            if let Some(message) = connection.receive(&mut &mut input[..]).expect("text") {
                assert!(message == Message::Text(&text), "{head}, {straight}");
                break;
            }
            assert_eq!(connection.want(), rest.len());
        }
    }
}

#[test]
fn a_spare_buffer_goes_round_among_connections() {
    let stream = fragment(true, OpCode::Binary, &vec![7; 200_000]);
    let (first, second) = stream.split_at(100_000);
    let mut spare = Vec::new();
    let mut connections = [server(), server(), server()];
    let mut pieces = [first.to_vec(), second.to_vec()];

    let mut turn = |connection: &mut Connection| {
        measure(|| {
            for (piece, original) in pieces.iter_mut().zip([first, second]) {
                piece.copy_from_slice(original);
                let mut input = piece.as_mut_slice();
                while connection
                    .receive_pooled(&mut input, &mut spare)
                    .expect("it is well formed")
                    .is_some()
                {}
            }
        })
    };
    assert!(turn(&mut connections[0]).count_total > 0);
    for connection in &mut connections {
        assert_eq!(turn(connection).count_total, 0);
    }
}

#[test]
fn a_spare_buffer_is_not_pinned_by_a_few_bytes() {
    let mut spare = Vec::with_capacity(200_000);
    let mut piece = fragment(true, OpCode::Binary, &[7; 1000])[..500].to_vec();
    let mut connection = server();
    let received = connection.receive_pooled(&mut piece.as_mut_slice(), &mut spare);
    assert_eq!(received, Ok(None));
    assert_eq!(spare.capacity(), 200_000);
}
