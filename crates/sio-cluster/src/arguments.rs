//! What an application sends, as the values that messages are made of.

use bytes::Bytes;
use serde::Serialize;
use sio_packet::{Args, Arguments, Attachments, Limits, Packet, Value, WriteError};

/// An event and its arguments as values, and what they weigh: the bytes of their text and of their
/// attachments. A tuple is several arguments, `()` none.
///
/// # Errors
///
/// If the arguments cannot be written.
pub fn event<T: Serialize + ?Sized>(
    event: &str,
    args: &T,
) -> Result<(Vec<Value>, usize), WriteError> {
    let (mut text, mut attachments) = (Vec::new(), Attachments::new());
    sio_packet::write_event(&mut text, "/", None, event, args, &mut attachments)?;
    let weight = text.len() + attachments.iter().map(<[u8]>::len).sum::<usize>();
    // Our own writer's text, read under no limits but its own.
    let limits = Limits {
        max_attachments: usize::MAX,
        max_event_name: usize::MAX,
        ..Limits::default()
    };
    let text = String::from_utf8_lossy(&text);
    let mut bytes: Vec<_> = attachments.iter().map(Bytes::copy_from_slice).collect();
    let mut data = vec![Value::from(event)];
    if let Ok(packet) = Packet::parse(&text, &limits)
        && let Ok((_, rest)) = packet.event(&limits)
        && let Ok(Arguments(args)) = Args::event(rest, &mut bytes).read()
    {
        data.extend(args);
    }
    Ok((data, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_several_arguments_and_bytes_are_bytes() {
        let (data, weight) = event("news", &(1, Bytes::from_static(b"\x01\x02"))).unwrap();
        let bytes = Value::Binary(Bytes::from_static(b"\x01\x02"));
        assert_eq!(data, ["news".into(), 1.into(), bytes]);
        assert!(weight > 2);
        assert_eq!(event("gone", &()).unwrap().0, ["gone".into()]);
    }
}
