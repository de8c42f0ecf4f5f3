//! The seeds of the fuzz targets, as a plain test.

use proptest::prelude::*;
use sio_testkit::each_seed;

mod oracle;

#[test]
fn payload_seeds_hold() {
    each_seed("eio_payload", oracle::eio_payload);
}

#[test]
fn payload_seeds_of_revision_3_hold() {
    each_seed("eio_payload_v3", oracle::eio_payload_v3);
}

#[test]
fn session_seeds_hold() {
    each_seed("eio_session", oracle::eio_session);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn text_of_revision_3_that_is_nearly_a_payload_holds(
        limit in 0_u8..20,
        body in "(([0-9]{1,2}:)?([0-7b]|b4)?[a=A%\\\\n&d\u{e9}\u{1f600}]{0,4}){0,8}",
    ) {
        oracle::eio_payload_v3(&[&[limit << 1], body.as_bytes()].concat());
    }

    #[test]
    fn bytes_of_revision_3_that_are_nearly_a_payload_hold(
        limit in 0_u8..20,
        packets in prop::collection::vec(
            (0_u8..3, prop::collection::vec(0_u8..11, 0..3), any::<bool>(), "[0-7b]?[a=\u{e9}]{0,4}|\x04[ab]"),
            0..6,
        ),
    ) {
        let mut body = vec![limit << 1 | 1];
        for (kind, digits, exact, packet) in packets {
            body.push(kind);
            match exact {
                true => body.extend(packet.len().to_string().bytes().map(|digit| digit - b'0')),
                false => body.extend(digits),
            }
            body.push(0xff);
            body.extend(packet.bytes());
        }
        oracle::eio_payload_v3(&body);
    }
}
