//! F5, F6: what is small on the wire and large behind it.

use ws_deflate::{
    Budget, Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, InflateError, Pool,
};

use crate::{inflate, pool};

fn deflated(payload: &[u8]) -> Vec<u8> {
    let config = DeflateConfig {
        level: 9,
        threshold: 0,
        ..DeflateConfig::default()
    };
    let mut out = Vec::new();
    let encoding = Deflate::new(config).deflate(&mut pool(), payload, &mut out);
    assert_eq!(encoding, Encoding::Deflated);
    out
}

#[test]
fn a_message_may_reach_its_limit_and_not_a_byte_more() {
    for limit in [1, 255, 256, 257, 4096, 1 << 20] {
        let at = deflated(&vec![7; limit.max(64)]);
        let limit = limit.max(64);
        assert_eq!(inflate(&at, limit).unwrap().len(), limit);
        assert_eq!(inflate(&at, limit + 1).unwrap().len(), limit);
        assert_eq!(
            inflate(&at, limit - 1),
            Err(InflateError::TooLarge { limit: limit - 1 })
        );
    }
    assert_eq!(
        inflate(&deflated(&[7; 64]), 0),
        Err(InflateError::TooLarge { limit: 0 })
    );
    assert_eq!(inflate(&deflated(&[7; 64]), usize::MAX).unwrap().len(), 64);
}

#[test]
fn sec_f6_a_bomb_costs_the_limit_and_not_what_it_holds() {
    let bomb = deflated(&vec![0; 16 << 20]);
    assert!(bomb.len() < 32 << 10);
    let limit = 100_000;
    let mut pool = pool();
    let mut out = Vec::new();
    let mut connection = Inflate::new(InflateConfig::default(), &pool).unwrap();
    // The context itself is made here.
    connection
        .inflate(&mut pool, &[0], limit, &mut out)
        .unwrap();
    let info = allocation_counter::measure(|| {
        let refused = connection.inflate(&mut pool, &bomb, limit, &mut out);
        assert_eq!(refused, Err(InflateError::TooLarge { limit }));
    });
    // The last step may move what was read so far: both places exist for a moment.
    assert!(info.bytes_current <= limit as i64 + 1, "{info:?}");
    assert!(info.bytes_max <= 2 * limit as u64, "{info:?}");
    assert!(out.is_empty());
}

#[test]
fn sec_f6_a_bomb_with_a_kept_window_stops_too() {
    let mut pool = pool();
    let config = InflateConfig {
        context_takeover: true,
        window_bits: 15,
    };
    let mut connection = Inflate::new(config, &pool).unwrap();
    let mut sender = Deflate::new(DeflateConfig {
        context_takeover: true,
        threshold: 0,
        ..DeflateConfig::default()
    });
    let mut small = Vec::new();
    let mut large = Vec::new();
    assert_eq!(
        sender.deflate(&mut pool, &[9; 1000], &mut small),
        Encoding::Deflated
    );
    assert_eq!(
        sender.deflate(&mut pool, &[9; 1001], &mut large),
        Encoding::Deflated
    );
    let mut out = b"before".to_vec();
    connection
        .inflate(&mut pool, &small, 1000, &mut out)
        .unwrap();
    assert_eq!(out.len(), 1006);
    let refused = connection.inflate(&mut pool, &large, 1000, &mut out);
    assert_eq!(refused, Err(InflateError::TooLarge { limit: 1000 }));
    assert_eq!(out.len(), 1006);
}

#[test]
fn sec_f6_empty_blocks_cost_time_in_proportion_to_their_bytes() {
    // A million empty stored blocks, the last without its tail; a million of the fixed code, of ten
    // bits each. Quadratic work would be minutes.
    let stored = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(1_000_000);
    assert_eq!(inflate(&stored[..stored.len() - 4], 0).unwrap(), b"");
    let mut fixed = [0x02, 0x08, 0x20, 0x80, 0x00].repeat(250_000);
    fixed.push(0x00);
    assert_eq!(inflate(&fixed, 0).unwrap(), b"");
}

#[test]
fn a_message_of_many_streams_is_refused() {
    // An empty final block is two bytes, and each would begin a new window.
    let empty = [0x03, 0x00];
    assert_eq!(inflate(&empty.repeat(64), 0).unwrap(), b"");
    let refused = inflate(&empty.repeat(65), 0);
    assert_eq!(refused, Err(InflateError::TooManyStreams { limit: 64 }));
    let kept = InflateConfig {
        context_takeover: true,
        window_bits: 9,
    };
    let mut pool = pool();
    let mut connection = Inflate::new(kept, &pool).unwrap();
    let info = allocation_counter::measure(|| {
        let refused = connection.inflate(&mut pool, &empty.repeat(1 << 20), 0, &mut Vec::new());
        assert_eq!(refused, Err(InflateError::TooManyStreams { limit: 64 }));
    });
    assert!(info.count_total < 100, "{info:?}");
}

#[test]
fn what_is_no_deflate_is_refused_and_says_so() {
    let table: [&[u8]; 6] = [
        &[0x06],                                     // block type 3
        &[0x00, 0x05, 0x00, 0x00, 0x00],             // length and complement disagree
        &[0xf2, 0x48, 0xcd],                         // cut short
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07],       // the same by one byte
        &[0xf2, 0x00, 0x11, 0x00, 0x00],             // refers to what never was
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // nothing at all
    ];
    for src in table {
        assert_eq!(inflate(src, 1000), Err(InflateError::Corrupt), "{src:02x?}");
    }
    assert_eq!(InflateError::Corrupt.close_code(), 1007);
    assert_eq!(InflateError::TooLarge { limit: 9 }.close_code(), 1009);
    let text = "the message inflates to more than the limit of 9 bytes";
    assert_eq!(InflateError::TooLarge { limit: 9 }.to_string(), text);
}

#[test]
fn a_peer_without_room_in_the_budget_is_known_before_the_answer() {
    let kept = InflateConfig {
        context_takeover: true,
        window_bits: 15,
    };
    let budget = Budget::new(2 * kept.memory());
    let pool = Pool::new(budget.clone());
    let first = Inflate::new(kept, &pool).unwrap();
    let _second = Inflate::new(kept, &pool).unwrap();
    assert_eq!(Inflate::new(kept, &pool).unwrap_err().needed, kept.memory());
    // Without a kept window there is always room.
    assert!(Inflate::new(InflateConfig::default(), &pool).is_ok());
    drop(first);
    assert_eq!(budget.used(), kept.memory());
    assert!(Inflate::new(kept, &pool).is_ok());
}
