//! The opening handshake: the request of a browser checked, the answer written.

use std::hint::black_box;

use benches::Gauge;
use criterion::{Criterion, criterion_group, criterion_main};
use http::Version;
use ws_handshake::{DeflatePolicy, Policy, Upgrade, accept_key};

/// What Chromium sends, in its order.
const HEADERS: [(&str, &str); 14] = [
    ("Host", "127.0.0.1:5000"),
    ("Connection", "Upgrade"),
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
    ),
    ("Upgrade", "websocket"),
    ("Origin", "http://127.0.0.1:5000"),
    ("Sec-WebSocket-Version", "13"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    (
        "Sec-WebSocket-Extensions",
        "permessage-deflate; client_max_window_bits",
    ),
    (
        "Cookie",
        "theme=dark; session=0123456789abcdef0123456789abcdef",
    ),
    ("DNT", "1"),
];

fn handshake(criterion: &mut Criterion<Gauge>) {
    let mut group = criterion.benchmark_group("handshake");
    group.bench_function("accept-key", |bencher| {
        bencher.iter(|| accept_key(black_box(b"dGhlIHNhbXBsZSBub25jZQ==")));
    });
    let deflate = Some(DeflatePolicy::default());
    for (name, policy) in [
        ("check-and-answer", Policy::default()),
        (
            "check-and-answer, deflate",
            Policy {
                deflate,
                ..Policy::default()
            },
        ),
    ] {
        let mut out = Vec::with_capacity(512);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                let headers = black_box(&HEADERS[..]);
                let upgrade = Upgrade::check("GET", Version::HTTP_11, headers).expect("valid");
                upgrade.agree(&policy).write_response(&mut out, []);
            });
        });
    }
    group.finish();
}

criterion_group! { name = group; config = benches::criterion(); targets = handshake }
criterion_main!(group);
