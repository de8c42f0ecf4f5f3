//! Every malformed frame gets its close code, RFC 6455 §5, §7.4 and §8.1.

use crate::oracle::{By, Case, Event, drive, wire};
use ws_frame::{CloseCode, Limits, OpCode, ProtocolError, Role, State};

const LIMITS: Limits = Limits {
    max_message: 1000,
    max_fragments: 8,
    control_burst: 10,
    control_per_second: 50,
};

/// What `role` makes of `stream`, however it is cut, when deflate was not negotiated.
fn fault(role: Role, stream: &[u8]) -> Option<ProtocolError> {
    let case = Case {
        role,
        deflate: false,
        limits: LIMITS,
        close_after: usize::MAX,
    };
    let outcome = drive(case, By::Slice, stream, &[]);
    for cut in 1..stream.len().min(20) {
        assert_eq!(
            drive(case, By::Slice, stream, &[cut]),
            outcome,
            "cut to {cut}"
        );
        assert_eq!(
            drive(case, By::Space, stream, &[cut]),
            outcome,
            "cut to {cut}"
        );
    }
    if let Some(fault) = outcome.fault {
        assert_eq!(outcome.state, State::Failed);
        let code = fault.close_code().get().to_be_bytes();
        let close = match role {
            Role::Server => [&[0x88, 2][..], &code].concat(),
            Role::Client => {
                let mut close = wire(Role::Server, true, 0, OpCode::Close, &code);
                close[2..6].copy_from_slice(&crate::oracle::OWN_KEY);
                close[6..].copy_from_slice(&code);
                ws_frame::mask(&mut close[6..], crate::oracle::OWN_KEY);
                close
            }
        };
        assert!(
            outcome.transmitted.ends_with(&close),
            "{:x?}",
            outcome.transmitted
        );
    }
    outcome.fault
}

#[test]
fn every_malformed_frame_gets_its_close_code() {
    use CloseCode as C;
    use OpCode::{Binary, Close, Continuation, Ping, Pong, Text};
    use ProtocolError as E;

    for role in [Role::Server, Role::Client] {
        let f = |fin, opcode, payload: &[u8]| wire(role, fin, 0, opcode, payload);
        // A frame of five bytes whose first or second byte is another one.
        let with = |at: usize, byte: u8| {
            let mut frame = f(true, Text, b"Hello");
            frame[at] = byte | if at == 1 { frame[1] & 0x80 } else { 0 };
            frame
        };
        let flipped = {
            let mut frame = f(true, Text, b"Hello");
            frame[1] ^= 0x80;
            frame
        };
        let mask_fault = match role {
            Role::Server => E::MaskMissing,
            Role::Client => E::MaskForbidden,
        };
        let close = |code: u16| f(true, Close, &code.to_be_bytes());
        let mut table = vec![
            // §5.1
            (flipped, mask_fault, C::PROTOCOL),
            // §5.2: length in its shortest form, top bit zero
            // §5.4
            (
                f(true, Continuation, b"x"),
                E::ContinuationUnexpected,
                C::PROTOCOL,
            ),
            (
                f(false, Continuation, b"x"),
                E::ContinuationUnexpected,
                C::PROTOCOL,
            ),
            (
                [
                    f(false, Text, b"x"),
                    f(true, Continuation, b"y"),
                    f(true, Continuation, b"z"),
                ]
                .concat(),
                E::ContinuationUnexpected,
                C::PROTOCOL,
            ),
            (
                [f(false, Text, b"x"), f(true, Text, b"y")].concat(),
                E::MessageUnfinished,
                C::PROTOCOL,
            ),
            (
                [f(false, Text, b""), f(false, Binary, b"")].concat(),
                E::MessageUnfinished,
                C::PROTOCOL,
            ),
            // §5.5
            (f(false, Ping, b"x"), E::ControlFragmented, C::PROTOCOL),
            (f(false, Pong, b""), E::ControlFragmented, C::PROTOCOL),
            (f(false, Close, b""), E::ControlFragmented, C::PROTOCOL),
            (f(true, Ping, &[0; 126]), E::ControlTooLong, C::PROTOCOL),
            (f(true, Pong, &[0; 65_536]), E::ControlTooLong, C::PROTOCOL),
            (f(true, Close, &[0; 126]), E::ControlTooLong, C::PROTOCOL),
            // §5.5.1, §7.4
            (f(true, Close, b"\x03"), E::CloseTooShort, C::PROTOCOL),
            (
                f(true, Close, b"\x03\xe8\xff"),
                E::CloseReason,
                C::INVALID_PAYLOAD,
            ),
            (
                f(true, Close, b"\x03\xe8\xf0\x9f\x98"),
                E::CloseReason,
                C::INVALID_PAYLOAD,
            ),
            // §8.1
            (f(true, Text, b"\xff"), E::Utf8, C::INVALID_PAYLOAD),
            (f(true, Text, b"a\xc3"), E::Utf8, C::INVALID_PAYLOAD),
            (
                [f(false, Text, b"a\xc3"), f(true, Continuation, b"")].concat(),
                E::Utf8,
                C::INVALID_PAYLOAD,
            ),
            (
                [f(false, Text, b"a\xc3"), f(true, Continuation, b"a")].concat(),
                E::Utf8,
                C::INVALID_PAYLOAD,
            ),
            // limits
            (
                f(true, Binary, &[0; 1001]),
                E::TooBig {
                    len: 1001,
                    limit: 1000,
                },
                C::TOO_BIG,
            ),
            (
                [f(false, Binary, &[0; 999]), f(true, Continuation, &[0; 2])].concat(),
                E::TooBig {
                    len: 1001,
                    limit: 1000,
                },
                C::TOO_BIG,
            ),
            (
                [f(false, Binary, b""), f(false, Continuation, b"").repeat(8)].concat(),
                E::Fragments { limit: 8 },
                C::POLICY,
            ),
            (f(true, Pong, b"").repeat(11), E::ControlRate, C::POLICY),
        ];
        for rsv in 1..8 {
            let fault = E::ReservedBits { rsv };
            table.push((wire(role, true, rsv, Text, b"x"), fault, C::PROTOCOL));
            table.push((wire(role, true, rsv, Ping, b"x"), fault, C::PROTOCOL));
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            let fault = E::ReservedOpCode { opcode };
            table.push((with(0, 0x80 | opcode), fault, C::PROTOCOL));
            table.push((with(0, opcode), fault, C::PROTOCOL));
        }
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
        ] {
            table.push((close(code), E::CloseCode { code }, C::PROTOCOL));
        }
        for len in [0_u16, 1, 125] {
            let mut frame = with(1, 126);
            frame.splice(2.., len.to_be_bytes());
            table.push((frame, E::LengthNotMinimal { len: len.into() }, C::PROTOCOL));
        }
        for (len, fault) in [
            (65_535, E::LengthNotMinimal { len: 65_535 }),
            (1 << 63, E::LengthTopBit { len: 1 << 63 }),
            (u64::MAX, E::LengthTopBit { len: u64::MAX }),
        ] {
            let mut frame = with(1, 127);
            frame.splice(2.., len.to_be_bytes());
            table.push((frame, fault, C::PROTOCOL));
        }
        for len in [(1_u64 << 63) - 1, 1 << 53, (1 << 53) + 1, 1 << 32, 65_536] {
            let mut frame = with(1, 127);
            frame.splice(2.., len.to_be_bytes());
            frame.extend([0; 4]);
            table.push((frame, E::TooBig { len, limit: 1000 }, C::TOO_BIG));
        }

        for (stream, expected, code) in table {
            assert_eq!(
                fault(role, &stream),
                Some(expected),
                "{role:?}: {stream:x?}"
            );
            assert_eq!(expected.close_code(), code);
            // What was right before the fault is still received, what comes behind it is not.
            let case = Case {
                role,
                deflate: false,
                limits: LIMITS,
                close_after: usize::MAX,
            };
            let around = [
                f(true, Binary, b"before"),
                stream,
                f(true, Binary, b"behind"),
            ]
            .concat();
            let outcome = drive(case, By::Slice, &around, &[]);
            assert_eq!(outcome.fault, Some(expected));
            assert_eq!(outcome.events[0], Event::Binary(b"before".to_vec()));
            assert!(!outcome.events.contains(&Event::Binary(b"behind".to_vec())));
        }
    }
}

#[test]
fn every_close_code_that_may_be_sent_is_accepted() {
    let valid = (1000..=1003)
        .chain(1007..=1014)
        .chain([3000, 3999, 4000, 4999]);
    for code in valid {
        let body = u16::to_be_bytes(code);
        let stream = wire(Role::Server, true, 0, OpCode::Close, &body);
        assert_eq!(fault(Role::Server, &stream), None, "{code}");
    }
}

#[test]
fn each_limit_holds_at_one_less_at_itself_and_one_beyond() {
    use OpCode::{Binary, Continuation, Ping};

    let f = |fin, opcode, payload: &[u8]| wire(Role::Server, fin, 0, opcode, payload);
    let fragments = |count: usize| {
        let mut stream = f(false, Binary, b"x");
        stream.extend(f(false, Continuation, b"x").repeat(count - 2));
        stream.extend(f(true, Continuation, b"x"));
        stream
    };
    for beyond in [false, true] {
        for less in 0..=1 {
            let n = |limit: usize| {
                if beyond {
                    limit + 1 + less
                } else {
                    limit - less
                }
            };
            let too_big = beyond.then_some(ProtocolError::TooBig {
                len: n(1000) as u64,
                limit: 1000,
            });
            assert_eq!(
                fault(Role::Server, &f(true, Binary, &vec![0; n(1000)])),
                too_big
            );
            let halves = [
                f(false, Binary, &[0; 500]),
                f(true, Continuation, &vec![0; n(500)]),
            ];
            assert_eq!(fault(Role::Server, &halves.concat()), too_big);
            let fragment_limit = beyond.then_some(ProtocolError::Fragments { limit: 8 });
            assert_eq!(fault(Role::Server, &fragments(n(8))), fragment_limit);
            let rate = beyond.then_some(ProtocolError::ControlRate);
            assert_eq!(fault(Role::Server, &f(true, Ping, b"").repeat(n(10))), rate);
        }
    }
}
