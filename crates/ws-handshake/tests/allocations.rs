//! What the handshake of one connection costs the allocator.

use http::Version;
use ws_handshake::{DeflatePolicy, Policy, Upgrade};

/// The upgrade request of a current browser to a Socket.IO server.
const BROWSER: [(&str, &str); 14] = [
    ("Host", "localhost:3000"),
    ("Connection", "Upgrade"),
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
    ),
    ("Upgrade", "websocket"),
    ("Origin", "http://localhost:3000"),
    ("Sec-WebSocket-Version", "13"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9"),
    ("Cookie", "io=abcdefghijklmnopqrst"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    (
        "Sec-WebSocket-Extensions",
        "permessage-deflate; client_max_window_bits",
    ),
    ("DNT", "1"),
];

#[test]
fn the_handshake_of_a_browser_allocates_nothing() {
    let plain = Policy::default();
    let deflating = Policy {
        deflate: Some(DeflatePolicy::default()),
        ..Policy::default()
    };
    let mut out = Vec::with_capacity(512);
    for policy in [&plain, &deflating] {
        let info = allocation_counter::measure(|| {
            let upgrade = Upgrade::check("GET", Version::HTTP_11, &BROWSER).unwrap();
            out.clear();
            upgrade.agree(policy).write_response(&mut out, []);
        });
        assert_eq!(info.count_total, 0);
        assert!(out.starts_with(b"HTTP/1.1 101"));
    }
}
