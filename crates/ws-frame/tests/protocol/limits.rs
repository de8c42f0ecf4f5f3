//! Every limit one below it, at it and one above it, with the error and the close code that go with it.
//!
//! | limit | default | error |
//! |---|---:|---|
//! | bytes of a message | 1,000,000 | `TooBig`, 1009 |
//! | frames of a message | 16,384 | `Fragments`, 1008 |
//! | control frames at once | 200 | `ControlRate`, 1008 |
//! | control frames a second | 50 | `ControlRate`, 1008 |
//! | bytes of a control frame | 125 | `ControlTooLong`, 1002 |
//! | pongs that wait | 16 | none: the newest takes the place of the last |
//! | bytes of a header's length | 2^63 − 1 | `LengthTopBit`, 1002 |

use std::time::Duration;

use ws_frame::{CloseCode, Connection, Header, Limits, OpCode, ProtocolError, Role};

use crate::oracle::wire;

/// How many messages and control frames came, or the fault; the close frame says which.
fn read(connection: &mut Connection, stream: &[u8]) -> Result<usize, ProtocolError> {
    let mut stream = stream.to_vec();
    let mut input = stream.as_mut_slice();
    let mut count = 0;
    loop {
        match connection.receive(&mut input) {
            Ok(Some(_)) => count += 1,
            Ok(None) => return Ok(count),
            Err(fault) => {
                let mut out = Vec::new();
                connection.poll_transmit(&mut out);
                let code = fault.close_code().get().to_be_bytes();
                assert!(out.ends_with(&[0x88, 2, code[0], code[1]]), "{out:02x?}");
                return Err(fault);
            }
        }
    }
}

fn frame(fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    wire(Role::Server, fin, 0, opcode, payload)
}

fn server(limits: Limits) -> Connection {
    Connection::new(Role::Server, limits).with_deflate()
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let limits = Limits {
        max_message: 1_000_000,
        max_fragments: 16_384,
        control_burst: 200,
        control_per_second: 50,
    };
    assert_eq!(Limits::default(), limits);
}

#[test]
fn the_length_of_a_message_on_every_path() {
    let limits = Limits {
        max_message: 1000,
        ..Limits::default()
    };
    for len in [999, 1000, 1001] {
        let payload = vec![b'x'; len];
        let (first, second) = payload.split_at(700);
        let expected = match len {
            1001 => Err(ProtocolError::TooBig {
                len: 1001,
                limit: 1000,
            }),
            _ => Ok(1),
        };
        for rsv in [0, Header::RSV1] {
            for opcode in [OpCode::Text, OpCode::Binary] {
                let whole = wire(Role::Server, true, rsv, opcode, &payload);
                let pieces = [
                    wire(Role::Server, false, rsv, opcode, first),
                    frame(true, OpCode::Continuation, second),
                ]
                .concat();
                for stream in [whole, pieces] {
                    assert_eq!(read(&mut server(limits), &stream), expected);
                    // Byte by byte, which is another way through the reader.
                    let mut connection = server(limits);
                    let mut last = Ok(0);
                    for byte in &stream {
                        last = read(&mut connection, &[*byte]);
                        if last != Ok(0) {
                            break;
                        }
                    }
                    assert_eq!(last, expected);
                }
            }
        }
    }
}

#[test]
fn the_number_of_fragments() {
    for max_fragments in [0, 1, 5, Limits::default().max_fragments] {
        let limits = Limits {
            max_fragments,
            ..Limits::default()
        };
        let at = max_fragments.max(1);
        for count in [at - 1, at, at + 1] {
            if count == 0 {
                continue;
            }
            let mut stream = frame(count == 1, OpCode::Binary, b"x");
            if count > 1 {
                let more = frame(false, OpCode::Continuation, b"x");
                stream.extend(more.repeat(count as usize - 2));
                stream.extend(frame(true, OpCode::Continuation, b"x"));
            }
            let expected = match count > at {
                true => Err(ProtocolError::Fragments {
                    limit: max_fragments,
                }),
                false => Ok(1),
            };
            assert_eq!(
                read(&mut server(limits), &stream),
                expected,
                "{count} of {at}"
            );
        }
    }
}

#[test]
fn control_frames_at_once_and_a_second() {
    let ping = frame(true, OpCode::Ping, b"x");
    for count in [199, 200, 201] {
        let expected = match count {
            201 => Err(ProtocolError::ControlRate),
            count => Ok(count),
        };
        let mut connection = server(Limits::default());
        assert_eq!(read(&mut connection, &ping.repeat(count)), expected);
    }
    // Once the burst is used up, fifty come back in a second.
    for count in [49, 50, 51] {
        let mut connection = server(Limits::default());
        assert_eq!(read(&mut connection, &ping.repeat(200)), Ok(200));
        connection.handle_elapsed(Duration::from_secs(1));
        let expected = match count {
            51 => Err(ProtocolError::ControlRate),
            count => Ok(count),
        };
        assert_eq!(read(&mut connection, &ping.repeat(count)), expected);
    }
}

#[test]
fn the_length_of_a_control_frame() {
    for opcode in [OpCode::Ping, OpCode::Pong] {
        for len in [124, 125, 126] {
            let expected = match len {
                126 => Err(ProtocolError::ControlTooLong),
                _ => Ok(1),
            };
            let stream = frame(true, opcode, &vec![0; len]);
            assert_eq!(read(&mut server(Limits::default()), &stream), expected);
        }
    }
}

#[test]
fn pongs_that_wait() {
    for count in [15_u8, 16, 17] {
        let mut connection = server(Limits::default());
        for ping in 0..count {
            assert_eq!(
                read(&mut connection, &frame(true, OpCode::Ping, &[ping])),
                Ok(1)
            );
        }
        let mut out = Vec::new();
        connection.poll_transmit(&mut out);
        let pongs: Vec<u8> = out.chunks(3).map(|pong| pong[2]).collect();
        let expected: Vec<u8> = match count {
            17 => (0..15).chain([16]).collect(),
            count => (0..count).collect(),
        };
        assert_eq!(pongs, expected);
    }
}

#[test]
fn the_length_in_a_header() {
    let limits = Limits {
        max_message: usize::MAX,
        ..Limits::default()
    };
    for (len, fits) in [
        (i64::MAX as u64 - 1, true),
        (i64::MAX as u64, true),
        (1 << 63, false),
    ] {
        let mut stream = vec![0x82, 0xff];
        stream.extend(len.to_be_bytes());
        stream.extend([0; 4]);
        let result = read(&mut server(limits), &stream);
        assert_eq!(
            result,
            if fits {
                Ok(0)
            } else {
                Err(ProtocolError::LengthTopBit { len })
            }
        );
    }
}

#[test]
fn every_limit_has_its_close_code() {
    for (fault, code) in [
        (
            ProtocolError::TooBig { len: 1, limit: 0 },
            CloseCode::TOO_BIG,
        ),
        (ProtocolError::Fragments { limit: 0 }, CloseCode::POLICY),
        (ProtocolError::ControlRate, CloseCode::POLICY),
        (ProtocolError::ControlTooLong, CloseCode::PROTOCOL),
        (
            ProtocolError::LengthTopBit { len: 1 << 63 },
            CloseCode::PROTOCOL,
        ),
    ] {
        assert_eq!(fault.close_code(), code);
    }
}
