//! What a connection holds, counted.

use ws_deflate::{Budget, Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, Pool};

use crate::pool;

const MESSAGE: &[u8] = &[b'a'; 4000];

#[test]
fn a_connection_that_has_compressed_nothing_holds_nothing() {
    assert!(size_of::<Deflate>() <= 32);
    assert!(size_of::<Inflate>() <= 40);
    let pool = pool();
    let deflate = DeflateConfig {
        context_takeover: true,
        ..DeflateConfig::default()
    };
    let inflate = InflateConfig {
        context_takeover: true,
        ..InflateConfig::default()
    };
    let info = allocation_counter::measure(|| {
        drop((Deflate::new(deflate), Inflate::new(inflate, &pool).unwrap()));
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn without_take_over_an_idle_connection_holds_nothing_again() {
    let mut pool = pool();
    let mut out = Vec::with_capacity(8000);
    let config = DeflateConfig {
        threshold: 0,
        ..DeflateConfig::default()
    };
    let mut sender = Deflate::new(config);
    let mut receiver = Inflate::new(InflateConfig::default(), &pool).unwrap();
    let mut turn = |pool: &mut Pool| {
        out.clear();
        assert_eq!(sender.deflate(pool, MESSAGE, &mut out), Encoding::Deflated);
        let src = out.split_off(0);
        out.reserve(8000);
        receiver.inflate(pool, &src, 4000, &mut out).unwrap();
        assert_eq!(out, MESSAGE);
    };
    turn(&mut pool);
    assert_eq!(pool.budget().used(), 0);
    let info = allocation_counter::measure(|| turn(&mut pool));
    // The test's own vector came and went; contexts did not.
    assert!(info.bytes_max < 20_000, "{info:?}");
    let info = allocation_counter::measure(|| pool.shed());
    assert!(info.bytes_current < -400_000, "{info:?}");
}

#[test]
fn a_kept_window_holds_what_its_terms_say() {
    for window_bits in 9..=15 {
        let mut pool = pool();
        let terms = DeflateConfig {
            context_takeover: true,
            window_bits,
            threshold: 0,
            ..DeflateConfig::default()
        };
        let mut sender = Deflate::new(terms);
        let mut out = Vec::with_capacity(8000);
        let info = allocation_counter::measure(|| {
            assert_eq!(
                sender.deflate(&mut pool, MESSAGE, &mut out),
                Encoding::Deflated
            );
        });
        assert!(sender.is_keeping());
        check(info.bytes_current, terms.memory());
        assert_eq!(pool.budget().used(), terms.memory());

        let terms = InflateConfig {
            context_takeover: true,
            window_bits,
        };
        let mut receiver = Inflate::new(terms, &pool).unwrap();
        let mut text = Vec::with_capacity(8000);
        let info = allocation_counter::measure(|| {
            receiver.inflate(&mut pool, &out, 4000, &mut text).unwrap();
        });
        check(info.bytes_current, terms.memory());

        let info = allocation_counter::measure(|| sender.shed());
        assert!(info.bytes_current < -200_000 && !sender.is_keeping());
        drop(receiver);
        assert_eq!(pool.budget().used(), 0);
    }
}

/// Stated is never less than held, and not more than a hundredth above it.
fn check(held: i64, stated: usize) {
    let held = usize::try_from(held).unwrap();
    assert!(
        held <= stated && stated - held <= stated / 100,
        "{held} held, {stated} stated"
    );
}

#[test]
fn a_pool_holds_a_bounded_number_of_contexts() {
    let mut pool = pool();
    let info = allocation_counter::measure(|| {
        for level in 1..=9 {
            for window_bits in 9..=15 {
                let config = DeflateConfig {
                    window_bits,
                    level,
                    threshold: 0,
                    ..DeflateConfig::default()
                };
                let mut out = Vec::new();
                let encoding = Deflate::new(config).deflate(&mut pool, MESSAGE, &mut out);
                assert_eq!(encoding, Encoding::Deflated);
            }
        }
    });
    assert!(info.bytes_max < 1_600_000, "{info:?}");
}

#[test]
fn over_the_budget_messages_are_compressed_each_for_itself() {
    let terms = DeflateConfig {
        context_takeover: true,
        threshold: 0,
        ..DeflateConfig::default()
    };
    let mut pool = Pool::new(Budget::new(terms.memory()));
    let (mut first, mut second) = (Deflate::new(terms), Deflate::new(terms));
    let mut lengths = Vec::new();
    for sender in [&mut first, &mut second] {
        for _ in 0..2 {
            let mut out = Vec::new();
            assert_eq!(
                sender.deflate(&mut pool, MESSAGE, &mut out),
                Encoding::Deflated
            );
            lengths.push(out.len());
        }
    }
    assert!(first.is_keeping() && !second.is_keeping());
    assert!(
        lengths[1] < lengths[0] && lengths[3] == lengths[2],
        "{lengths:?}"
    );
    // Room comes back, and is taken with the next message.
    first.shed();
    let _ = second.deflate(&mut pool, MESSAGE, &mut Vec::new());
    assert!(second.is_keeping());
}
