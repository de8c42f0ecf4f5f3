//! What goes in comes out, under all terms, and is what was agreed to on the wire.

use proptest::collection::vec;
use proptest::prelude::*;
use ws_deflate::{Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, deflate_once};

use crate::{naive, oracle, pool};

/// Messages of a chat: words that come again, noise, and long runs.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => "(hello|\"message\":|\\{\"id\":[0-9]{1,3}\\}|[a-z]{1,6})".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..64),
        1 => (any::<u8>(), 0..1000usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// What happens to the sender between two messages.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Shed,
    Once,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![8 => Just(Step::Send), 1 => Just(Step::Shed), 1 => Just(Step::Once)]
}

proptest! {
    #[test]
    fn every_message_comes_out_as_it_went_in(
        window_bits in 9..=15u8,
        context_takeover: bool,
        level in 0..=9u8,
        threshold in prop_oneof![Just(0), Just(100usize)],
        messages in vec((step(), message(), 0..4000usize), 1..5),
    ) {
        let mut pool = pool();
        let config = DeflateConfig { context_takeover, window_bits, level, threshold };
        let mut sender = Deflate::new(config);
        let terms = InflateConfig { context_takeover, window_bits };
        let mut receiver = Inflate::new(terms, &pool).unwrap();
        let mut reader = naive::Reader::new(window_bits, context_takeover);
        for (step, payload, room) in messages {
            let mut out = b"header".to_vec();
            let encoding = match step {
                Step::Send => sender.deflate(&mut pool, &payload, &mut out),
                Step::Shed => {
                    sender.shed();
                    sender.deflate(&mut pool, &payload, &mut out)
                }
                Step::Once => match deflate_once(&mut pool, &config, &payload) {
                    None => Encoding::Plain,
                    Some(bytes) => {
                        sender.shed();
                        out.extend_from_slice(&bytes);
                        Encoding::Deflated
                    }
                },
            };
            let (header, src) = out.split_at(6);
            prop_assert_eq!(header, b"header");
            if encoding == Encoding::Plain {
                prop_assert!(src.is_empty());
                continue;
            }
            prop_assert!(src.len() <= payload.len() * 9 / 8 + 64);
            // The other side agrees, and so does RFC 1951 with the window that was agreed to.
            let mut back = Vec::with_capacity(room);
            receiver.inflate(&mut pool, src, payload.len(), &mut back).unwrap();
            prop_assert!(back == payload);
            prop_assert!(reader.message(src).as_ref() == Ok(&payload));
        }
    }

    #[test]
    fn a_message_spoilt_on_the_way_is_read_as_the_naive_reader_reads_it(
        payload in message(),
        level in 0..=9u8,
        first: u8,
        spoil in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let config = DeflateConfig { level, threshold: 0, ..DeflateConfig::default() };
        let Some(bytes) = deflate_once(&mut pool(), &config, &payload) else { return Ok(()) };
        let mut data = [&[first], &bytes[..]].concat();
        for (at, byte) in spoil {
            let at = at.index(data.len());
            data[at] ^= byte;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        oracle::inflate(&data);
    }

    #[test]
    fn any_bytes_are_read_as_the_naive_reader_reads_them(data in vec(any::<u8>(), 0..200)) {
        oracle::inflate(&data);
    }
}

#[test]
fn a_message_to_many_is_compressed_once_and_read_by_all() {
    let payload = "the same for everybody, ".repeat(100);
    let mut pool = pool();
    let bytes = deflate_once(&mut pool, &DeflateConfig::default(), payload.as_bytes()).unwrap();
    for (context_takeover, window_bits) in [(false, 15), (true, 15)] {
        let terms = InflateConfig {
            context_takeover,
            window_bits,
        };
        let mut receiver = Inflate::new(terms, &pool).unwrap();
        for _ in 0..2 {
            let mut out = Vec::new();
            receiver
                .inflate(&mut pool, &bytes, payload.len(), &mut out)
                .unwrap();
            assert_eq!(out, payload.as_bytes());
        }
    }
}

#[test]
fn what_would_not_get_smaller_is_sent_as_it_is() {
    let mut pool = pool();
    let config = DeflateConfig {
        threshold: 0,
        ..DeflateConfig::default()
    };
    let mut state = 1u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = std::iter::repeat_with(next).take(500).collect();
    let mut out = Vec::new();
    let encoding = Deflate::new(config).deflate(&mut pool, &noise, &mut out);
    assert_eq!(encoding, Encoding::Plain);
    assert!(out.is_empty());
    assert!(deflate_once(&mut pool, &config, &noise).is_none());
}

#[test]
fn the_threshold_is_the_first_length_that_is_compressed() {
    let mut pool = pool();
    let config = DeflateConfig {
        threshold: 100,
        ..DeflateConfig::default()
    };
    for (len, encoding) in [(99, Encoding::Plain), (100, Encoding::Deflated)] {
        let payload = vec![b'a'; len];
        let mut out = Vec::new();
        assert_eq!(
            Deflate::new(config).deflate(&mut pool, &payload, &mut out),
            encoding
        );
        let once = deflate_once(&mut pool, &config, &payload);
        assert_eq!(once.is_some(), encoding == Encoding::Deflated);
    }
}

#[test]
fn a_pool_that_was_used_compresses_like_a_new_one() {
    // More than a window of 15 bits, and little of it alike.
    let text: Vec<u8> = (0..9000_u32)
        .flat_map(|at| format!("{} ", at.wrapping_mul(2_654_435_761) >> 12).into_bytes())
        .collect();
    let messages = [&text[..], &text[..300], &text[100..40_000], &text[..1]];
    for window_bits in 9..=15 {
        for level in 0..=9 {
            let config = DeflateConfig {
                context_takeover: false,
                window_bits,
                level,
                threshold: 0,
            };
            let mut used = pool();
            for payload in messages.iter().cycle().take(9) {
                let (mut ours, mut new) = (Vec::new(), Vec::new());
                let mut sender = Deflate::new(config);
                let first = sender.deflate(&mut used, payload, &mut ours);
                let second = sender.deflate(&mut pool(), payload, &mut new);
                assert_eq!((first, &ours), (second, &new), "{window_bits}, {level}");
            }
        }
    }
}
