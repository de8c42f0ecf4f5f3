//! What must hold for any bytes. The fuzz targets call it, and so does a test over the seeds.

use eio_transport::{Packet, payload};
use sio_testkit::Chance;
use sio_testkit::engine::Storm;

/// A payload means what splitting it first would mean, and survives being written again.
pub(crate) fn eio_payload(data: &[u8]) {
    let Some((&limit, body)) = data.split_first() else {
        return;
    };
    let limit = usize::from(limit);
    let body = String::from_utf8_lossy(body);
    let mut decoder = payload::decode(&body, limit);
    let mut again = Vec::new();
    let mut count = 0;
    for segment in body.split('\u{1e}') {
        match Packet::parse_text(segment) {
            Ok(packet) if count < limit => {
                assert_eq!(decoder.next(), Some(Ok(packet)));
                payload::push_text(&mut again, segment);
                count += 1;
            }
            _ => {
                assert!(
                    matches!(decoder.next(), Some(Err(_))),
                    "a bad packet is an error"
                );
                assert_eq!(decoder.next(), None, "nothing is read behind an error");
                return;
            }
        }
    }
    assert_eq!(decoder.next(), None);
    assert_eq!(again, body.as_bytes());
}

/// Bytes are a script of inputs for one session.
pub(crate) fn eio_session(data: &[u8]) {
    Storm::new(Chance::tape(data)).run(1_000);
}
