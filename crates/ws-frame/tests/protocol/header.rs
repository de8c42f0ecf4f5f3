//! A header and a masked payload, beside naive ones. The fuzz target `header` calls [`header`].

use ws_frame::{Header, Masker, OpCode, ProtocolError, mask};

/// The front of `data` is read as a header, at every length at which it might be cut; then the first four
/// bytes are a key, and the rest is masked with it, whole and in two pieces.
pub(crate) fn header(data: &[u8]) {
    let front = &data[..data.len().min(Header::MAX_LEN)];
    for end in 0..=front.len() {
        let expected = naive(&front[..end]);
        assert_eq!(
            Header::parse(&front[..end]),
            expected,
            "{:02x?}",
            &front[..end]
        );
        if let Ok(Some((header, size))) = expected {
            assert_eq!(header.encode().as_ref(), &front[..size]);
        }
    }

    let Some((key, payload)) = data.split_first_chunk::<4>() else {
        return;
    };
    let expected: Vec<u8> = payload
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect();
    let mut whole = payload.to_vec();
    mask(&mut whole, *key);
    assert!(whole == expected);
    let cut = usize::from(key[0]).min(payload.len());
    let mut pieces = payload.to_vec();
    let mut masker = Masker::new(*key);
    masker.apply(&mut pieces[..cut]);
    masker.apply(&mut pieces[cut..]);
    assert!(pieces == expected);
}

/// RFC 6455 §5.2 and §5.5, from left to right.
fn naive(bytes: &[u8]) -> Result<Option<(Header, usize)>, ProtocolError> {
    let &[b0, b1, ..] = bytes else {
        return Ok(None);
    };
    let opcode = match b0 & 15 {
        0 => OpCode::Continuation,
        1 => OpCode::Text,
        2 => OpCode::Binary,
        8 => OpCode::Close,
        9 => OpCode::Ping,
        10 => OpCode::Pong,
        opcode => return Err(ProtocolError::ReservedOpCode { opcode }),
    };
    let (fin, short) = (b0 >= 128, b1 % 128);
    if opcode as u8 >= 8 && short > 125 {
        return Err(ProtocolError::ControlTooLong);
    }
    if opcode as u8 >= 8 && !fin {
        return Err(ProtocolError::ControlFragmented);
    }
    let (extended, least) = match short {
        126 => (2, 126),
        127 => (8, 65_536),
        _ => (0, 0),
    };
    let Some(long) = bytes.get(2..2 + extended) else {
        return Ok(None);
    };
    let mut len = u64::from(short);
    if extended > 0 {
        len = 0;
        for &byte in long {
            len = len * 256 + u64::from(byte);
        }
    }
    if len < least {
        return Err(ProtocolError::LengthNotMinimal { len });
    }
    if len > i64::MAX as u64 {
        return Err(ProtocolError::LengthTopBit { len });
    }
    let mut size = 2 + extended;
    let mut mask = None;
    if b1 >= 128 {
        let Some(key) = bytes.get(size..size + 4) else {
            return Ok(None);
        };
        mask = Some([key[0], key[1], key[2], key[3]]);
        size += 4;
    }
    let rsv = b0 / 16 % 8;
    Ok(Some((
        Header {
            fin,
            rsv,
            opcode,
            mask,
            len,
        },
        size,
    )))
}
