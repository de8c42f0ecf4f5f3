//! Any bytes as compressed messages. The fuzz target `inflate` (in `fuzz/` at the root) calls
//! [`inflate`]; so do the tests of this crate, over the seeds and over generated messages.

use ws_deflate::{Budget, Inflate, InflateConfig, InflateError, Pool};

use crate::naive;

/// The first byte is the limit and the terms, the rest a message.
pub(crate) fn inflate(data: &[u8]) {
    let Some((first, src)) = data.split_first() else {
        return;
    };
    let mut pool = Pool::new(Budget::new(1 << 20));
    let limit = if first & 1 == 0 {
        1 << 16
    } else {
        usize::from(*first)
    };

    let alone = read(&mut pool, false, src, limit, 0);
    let expected = naive::read_alone(src);
    match (&alone, &expected) {
        (Ok(ours), Ok(theirs)) => assert!(ours == theirs),
        (Err(InflateError::TooLarge { .. }), Ok(theirs)) => assert!(theirs.len() > limit),
        (Err(_), Err(_)) => {}
        _ => panic!("{alone:?} where {expected:?} was expected"),
    }
    assert!(alone.as_ref().is_ok_and(|out| out.len() <= limit) || alone.is_err());
    // How much room there was makes no difference.
    assert!(alone == read(&mut pool, false, src, limit, 3));
    assert!(alone == read(&mut pool, false, src, limit, limit * 2));

    // A kept window reads what a new one reads; it cannot tell a message cut short.
    let kept = read(&mut pool, true, src, limit, 0);
    assert!(alone.is_err() || alone == kept);

    // Twice on one connection, the second time with a window that is no longer empty.
    let config = InflateConfig {
        context_takeover: true,
        window_bits: 9 + first % 7,
    };
    let mut connection = Inflate::new(config, &pool).unwrap();
    let mut out = Vec::new();
    if connection.inflate(&mut pool, src, limit, &mut out).is_ok() {
        let len = out.len();
        let again = connection.inflate(&mut pool, src, limit, &mut out);
        assert!(out.len() - len <= limit && (again.is_ok() || out.len() == len));
    }
}

fn read(
    pool: &mut Pool,
    context_takeover: bool,
    src: &[u8],
    limit: usize,
    room: usize,
) -> Result<Vec<u8>, InflateError> {
    let config = InflateConfig {
        context_takeover,
        ..InflateConfig::default()
    };
    let mut out = Vec::with_capacity(room);
    Inflate::new(config, pool)
        .unwrap()
        .inflate(pool, src, limit, &mut out)
        .map(|()| out)
}
