//! What must hold for any bytes. The fuzz targets call it, and so does a test over the seeds.

use eio_transport::payload::{self, Body, Posted, jsonp, v3};
use eio_transport::{Packet, PayloadError, Revision};
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

/// A payload of revision 3 means what JavaScript's way of counting gives, in both its forms; read in
/// one go or with pauses, bare or in a form. The first byte says in which form.
pub(crate) fn eio_payload_v3(data: &[u8]) {
    let Some((&form, body)) = data.split_first() else {
        return;
    };
    let limit = usize::from(form >> 1);
    if form & 1 == 1 {
        let read: Vec<_> = v3::decode_binary(body, limit).collect();
        same(&read, naive_binary(body, limit));
        paused(body, Posted::Bytes, &read, limit);
        return;
    }
    let text = String::from_utf8_lossy(body);
    let read: Vec<_> = v3::decode_text(&text, limit).collect();
    same(&read, naive_text(&text, limit));
    paused(text.as_bytes(), Posted::Text, &read, limit);
    // A script holds the payload as a string that any parser reads.
    let script = String::from_utf8(jsonp::wrap(1, text.as_bytes())).expect("it is text");
    let string = script
        .strip_prefix("___eio[1](")
        .and_then(|script| script.strip_suffix(");"))
        .expect("it is a call");
    let again: String = serde_json::from_str(string).expect("it is JSON");
    assert_eq!(again, text);
    // A form is some payload, or none; never a longer one.
    if let Some(payload) = jsonp::unwrap(&text) {
        assert!(payload.chars().count() <= text.len());
    }
}

type Read<'a> = Result<Packet<'a>, PayloadError>;

fn same(read: &[Read<'_>], (packets, whole): (Vec<Packet<'_>>, bool)) {
    let good: Vec<_> = read
        .iter()
        .filter_map(|packet| packet.as_ref().ok())
        .collect();
    assert_eq!(good, packets.iter().collect::<Vec<_>>());
    assert_eq!(read.len() == good.len(), whole, "{read:?}");
    assert!(
        read.len() <= good.len() + 1,
        "nothing is read behind an error"
    );
}

fn paused(bytes: &[u8], posted: Posted, read: &[Read<'_>], limit: usize) {
    let mut body = Body::new(bytes.into(), posted, Revision::V3, limit);
    for packet in read {
        assert!(!body.is_read());
        assert_eq!(body.next().as_ref(), Some(packet));
    }
    assert_eq!(body.next(), None);
    assert!(body.is_read());
}

/// JavaScript's way, on a vector of code units.
fn naive_text(body: &str, limit: usize) -> (Vec<Packet<'_>>, bool) {
    let units: Vec<u16> = body.encode_utf16().collect();
    let (mut at, mut byte, mut count, mut packets) = (0, 0, 0, Vec::new());
    while at < units.len() {
        let digits = units[at..]
            .iter()
            .take_while(|unit| (48..58).contains(*unit))
            .count();
        let len = body[byte..byte + digits].parse::<usize>();
        let (Ok(len), Some(58), 1..=16, true) =
            (len, units.get(at + digits), digits, count < limit)
        else {
            return (packets, false);
        };
        count += 1;
        (at, byte) = (at + digits + 1, byte + digits + 1);
        let Some(Ok(packet)) = units
            .get(at..at.saturating_add(len))
            .map(String::from_utf16)
        else {
            return (packets, false);
        };
        let slice = &body[byte..byte + packet.len()];
        (at, byte) = (at + len, byte + packet.len());
        if packet.is_empty() {
            continue;
        }
        match Revision::V3.read_text(slice) {
            Ok(packet) => packets.push(packet),
            Err(_) => return (packets, false),
        }
    }
    (packets, !units.is_empty())
}

fn naive_binary(body: &[u8], limit: usize) -> (Vec<Packet<'_>>, bool) {
    let (mut at, mut packets) = (0, Vec::new());
    while at < body.len() {
        let end = body[at + 1..].iter().position(|byte| *byte > 9);
        let digits = end.map_or(&body[at + 1..], |end| &body[at + 1..at + 1 + end]);
        let len = digits.iter().map(|digit| char::from(b'0' + digit));
        let len = len.collect::<String>().parse::<usize>();
        let from = at + 2 + digits.len();
        let fit = packets.len() < limit && digits.len() <= 16 && body[at] < 2;
        let (Ok(len), Some(255), true) = (len, body.get(from - 1), fit) else {
            return (packets, false);
        };
        let Some(packet) = body.get(from..from.saturating_add(len)) else {
            return (packets, false);
        };
        let packet = match body[at] {
            1 => Revision::V3.read_binary(packet).ok(),
            _ => str::from_utf8(packet)
                .ok()
                .and_then(|packet| Revision::V3.read_text(packet).ok()),
        };
        match packet {
            Some(packet) => packets.push(packet),
            None => return (packets, false),
        }
        at = from + len;
    }
    (packets, true)
}

/// Bytes are a script of inputs for one session.
pub(crate) fn eio_session(data: &[u8]) {
    Storm::new(Chance::tape(data)).run(1_000);
}
