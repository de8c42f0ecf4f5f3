//! The examples of RFC 7692 §7.2.3.

use ws_deflate::{Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, InflateError};

use crate::{inflate, pool};

const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

#[test]
fn a_message_of_one_block() {
    // §7.2.3.1
    assert_eq!(inflate(HELLO, 5).unwrap(), b"Hello");
}

#[test]
fn two_messages_share_a_window() {
    // §7.2.3.2
    let mut pool = pool();
    let config = InflateConfig {
        context_takeover: true,
        window_bits: 9,
    };
    let mut connection = Inflate::new(config, &pool).unwrap();
    let mut out = Vec::new();
    connection.inflate(&mut pool, HELLO, 5, &mut out).unwrap();
    connection
        .inflate(&mut pool, &[0xf2, 0x00, 0x11, 0x00, 0x00], 5, &mut out)
        .unwrap();
    assert_eq!(out, b"HelloHello");
    // Without the first the second is nothing.
    assert!(inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], 5).is_err());
}

#[test]
fn a_block_without_compression() {
    // §7.2.3.3
    let src = [
        0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
    ];
    assert_eq!(inflate(&src, 5).unwrap(), b"Hello");
}

#[test]
fn a_final_block_and_the_empty_one_behind_it() {
    // §7.2.3.4
    let src = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(inflate(&src, 5).unwrap(), b"Hello");
    // Some leave the empty one out.
    assert_eq!(inflate(&src[..7], 5).unwrap(), b"Hello");
}

#[test]
fn two_blocks_in_one_message() {
    // §7.2.3.5: "He", a sync flush, "llo".
    let src = [
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];
    assert_eq!(inflate(&src, 5).unwrap(), b"Hello");
}

#[test]
fn an_empty_message_is_one_byte() {
    // §7.2.3.6
    assert_eq!(inflate(&[0x00], 0).unwrap(), b"");
    // zlib writes none if it has just been flushed, and some send that.
    assert_eq!(inflate(&[], 0).unwrap(), b"");
    let config = DeflateConfig {
        context_takeover: true,
        threshold: 0,
        ..DeflateConfig::default()
    };
    let mut pool = pool();
    let mut connection = Deflate::new(config);
    for _ in 0..3 {
        let mut out = Vec::new();
        assert_eq!(
            connection.deflate(&mut pool, b"", &mut out),
            Encoding::Deflated
        );
        assert_eq!(out, [0x00]);
    }
}

#[test]
fn the_tail_is_no_part_of_a_message() {
    // A stored block that was cut by as much as stands behind a message: four bytes where the window
    // is kept, nine where it is not.
    for cut in 1..=16 {
        let len = 3 + cut;
        let src = [0x01, len, 0x00, !len, 0xff, b'a', b'b', b'c'];
        for context_takeover in [false, true] {
            let mut pool = pool();
            let config = InflateConfig {
                context_takeover,
                ..InflateConfig::default()
            };
            let mut out = Vec::new();
            let result = Inflate::new(config, &pool)
                .unwrap()
                .inflate(&mut pool, &src, 100, &mut out);
            assert_eq!(result, Err(InflateError::Corrupt), "{cut}");
            assert!(out.is_empty());
        }
    }
}
