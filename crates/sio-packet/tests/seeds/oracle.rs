//! What must hold for any input. The fuzz targets are these functions, by the same names.

use bytes::Bytes;
use serde::de::IgnoredAny;
use sio_packet::{
    Args, Arguments, Attachments, Kind, Limits, Message, Msgpack, Packet, Parser, Reassembler,
    Scratch, Value, read_auth, write_event,
};

/// A packet is accepted only if serde_json accepts its data, and says the same; what was read of it
/// is written as a packet that reads the same.
pub(crate) fn sio_parse(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let limits = Limits::default();
    let Ok(packet) = Packet::parse(text, &limits) else {
        return;
    };
    if packet
        .data
        .bytes()
        .filter(|byte| matches!(byte, b'[' | b'{'))
        .count()
        >= 127
    {
        // serde_json nests one less deep than we do.
        let _ = Args::ack(packet.data, &mut []).read::<Arguments>();
        return;
    }
    let theirs = serde_json::from_str::<serde_json::Value>(packet.data).ok();
    let accepted = serde_json::from_str::<IgnoredAny>(packet.data).is_ok();
    match packet.kind {
        Kind::Connect | Kind::ConnectError if !packet.data.is_empty() => {
            assert!(accepted && read_auth::<IgnoredAny>(packet.data).is_ok());
            let ours = read_auth::<Value>(packet.data).ok();
            if let Some(theirs) = theirs {
                assert_eq!(
                    ours.map(|ours| serde_json::to_value(ours).unwrap()),
                    Some(theirs)
                );
            }
        }
        Kind::Connect | Kind::ConnectError | Kind::Disconnect => {}
        Kind::Ack | Kind::BinaryAck => {
            let arguments = arguments(Args::ack(packet.data, &mut []), theirs, 0);
            assert_eq!(Args::ack(packet.data, &mut []).validate().is_ok(), accepted);
            assert!(arguments.is_none() || accepted);
        }
        Kind::Event | Kind::BinaryEvent => {
            let Ok((name, rest)) = packet.event(&limits) else {
                return;
            };
            let arguments = arguments(Args::event(rest, &mut []), theirs, 1);
            assert_eq!(Args::event(rest, &mut []).validate().is_ok(), accepted);
            assert!(arguments.is_none() || accepted);
            // Attachments that do not come are no reason to panic.
            let _ = Args::event(rest, &mut vec![Bytes::new(); packet.attachments]).read::<Value>();
            if let Some(arguments) = arguments {
                same_again(&packet, &name, &arguments);
            }
        }
    }
}

fn arguments(args: Args<'_>, theirs: Option<serde_json::Value>, skip: usize) -> Option<Arguments> {
    let ours = args.read::<Arguments>().ok();
    if let Some(serde_json::Value::Array(theirs)) = theirs {
        let ours = ours.as_ref().expect("serde_json reads it");
        let ours: Vec<_> = ours
            .0
            .iter()
            .map(|value| serde_json::to_value(value).unwrap())
            .collect();
        assert_eq!(ours, theirs[skip..]);
    }
    ours
}

fn same_again(packet: &Packet<'_>, name: &str, arguments: &Arguments) {
    let mut out = Vec::new();
    let mut attachments = Attachments::new();
    write_event(
        &mut out,
        packet.namespace,
        packet.id,
        name,
        arguments,
        &mut attachments,
    )
    .unwrap();
    assert!(attachments.is_empty());
    let text = String::from_utf8(out).expect("JSON of strings is UTF-8");
    // An escape may be shorter than what it stands for.
    let limits = Limits {
        max_event_name: usize::MAX,
        ..Limits::default()
    };
    let again = Packet::parse(&text, &limits).expect("we wrote it");
    assert_eq!((again.namespace, again.id), (packet.namespace, packet.id));
    let (event, rest) = again.event(&limits).expect("we wrote it");
    assert_eq!(event, name);
    assert_eq!(
        Args::event(rest, &mut []).read::<Arguments>().as_ref(),
        Ok(arguments)
    );
}

/// However texts, binaries and resets follow each other: what waits is what a count says, and
/// never more than the limits.
///
/// The input is a list of steps: kind, length, content.
pub(crate) fn sio_reassemble(mut data: &[u8]) {
    let limits = Limits {
        max_attachments: 5,
        max_binary_bytes: 64,
        ..Limits::default()
    };
    let mut reassembler = Reassembler::new();
    let (mut due, mut bytes) = (0, 0);
    while let [step, len, rest @ ..] = data {
        let (content, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        data = rest;
        match step % 4 {
            0 => {
                reassembler.clear();
                due = 0;
            }
            1 => {
                bytes += content.len();
                let complete = reassembler.push_binary(Bytes::copy_from_slice(content), &limits);
                assert_eq!(
                    complete.is_ok(),
                    due > 0 && bytes <= limits.max_binary_bytes
                );
                due = if complete.is_ok() { due - 1 } else { 0 };
                if let Ok(complete) = complete {
                    assert_eq!(complete.is_some(), due == 0);
                    let Some(mut complete) = complete else {
                        continue;
                    };
                    let (packet, attachments) = complete.parts();
                    assert_eq!(packet.attachments, attachments.len());
                    assert_eq!(attachments.iter().map(Bytes::len).sum::<usize>(), bytes);
                    if let Ok((_, rest)) = packet.event(&limits) {
                        let valid = Args::event(rest, attachments).validate();
                        let read = Args::event(rest, attachments).read::<Arguments>();
                        assert!(valid.is_ok() || read.is_err());
                    }
                }
            }
            _ => {
                let Ok(text) = std::str::from_utf8(content) else {
                    continue;
                };
                let packet = reassembler.push_text(text, &limits);
                assert!(due == 0 || packet.is_err());
                due = match packet {
                    Ok(None) => {
                        Packet::parse(text, &limits)
                            .expect("it was accepted")
                            .attachments
                    }
                    _ => 0,
                };
                bytes = 0;
            }
        }
        assert_eq!(reassembler.is_waiting(), due > 0);
        assert!(due <= limits.max_attachments);
    }
}

/// A msgpack packet that is accepted is bounded in memory, has data that is JSON, and is the same
/// packet when it has been written and read again.
pub(crate) fn sio_msgpack(data: &[u8]) {
    let limits = Limits::default();
    let (mut scratch, mut another) = (Scratch::default(), Scratch::default());
    let decoded = Msgpack.decode(Message::Binary(data), &limits, &mut scratch);
    let Ok((packet, attachments)) = decoded else {
        assert!(scratch.data.len() <= 6 * data.len() + 40 * scratch.attachments.len());
        return;
    };
    assert!(packet.data.len() <= 6 * data.len() + 40 * attachments.len());
    assert!(Msgpack.recognizes(Message::Binary(data)));
    assert_eq!(packet.attachments, attachments.len());
    if packet.data.is_empty() {
        assert!(matches!(packet.kind, Kind::Connect | Kind::Disconnect));
    } else {
        serde_json::from_str::<IgnoredAny>(packet.data).expect("the data is JSON");
    }
    let mut out = Vec::new();
    let slices: Vec<&[u8]> = attachments.iter().map(|bytes| &**bytes).collect();
    Msgpack
        .encode(&packet, &slices, &mut out)
        .expect("what was read can be written");
    let (again, read) = Msgpack
        .decode(Message::Binary(&out), &limits, &mut another)
        .expect("we wrote it");
    assert_eq!(again, packet);
    assert_eq!(read, attachments);
    if matches!(packet.kind, Kind::Ack | Kind::BinaryAck) {
        let args = Args::ack(packet.data, attachments);
        args.read::<Arguments>().expect("nothing is malformed");
    }
}
