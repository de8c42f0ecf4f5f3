//! The fuzz targets, run over their seeds as plain tests.

mod oracle;

use proptest::prelude::*;
use sio_testkit::each_seed;

#[test]
fn handshake() {
    each_seed("handshake", oracle::handshake);
}

#[test]
fn extensions() {
    each_seed("extensions", oracle::extensions);
}

/// A head that is nearly right, so that every later check is reached.
fn head() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        Just("Host: a.b".to_owned()),
        Just("Upgrade: websocket".to_owned()),
        Just("Connection: keep-alive, Upgrade".to_owned()),
        Just("Sec-WebSocket-Version: 13".to_owned()),
        Just("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_owned()),
        "Origin: (https?|ftp)://(a\\.b|x\\.a\\.b|c|null)(:80|:443)?",
        "Sec-WebSocket-Protocol: [ab ,]{0,6}",
        "Sec-WebSocket-Extensions: [ab;=,\" ]{0,8}",
        "(Content-Length|Transfer-Encoding): [01]",
    ];
    let dropped = prop::option::weighted(0.3, 0..5usize);
    (dropped, prop::collection::vec(field, 0..4)).prop_map(|(dropped, more)| {
        let mut lines = vec![
            "Host: a.b".to_owned(),
            "Upgrade: websocket".to_owned(),
            "Connection: upgrade".to_owned(),
            "Sec-WebSocket-Version: 13".to_owned(),
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
        ];
        if let Some(at) = dropped {
            lines.remove(at);
        }
        lines.extend(more);
        format!("GET 1.1\n{}", lines.join("\n"))
    })
}

proptest! {
    #[test]
    fn any_head_is_judged_as_the_naive_reader_judges_it(head in head()) {
        oracle::handshake(head.as_bytes());
    }

    #[test]
    fn any_extensions_are_read_as_the_naive_reader_reads_them(
        line in "(permessage-deflate)?[a-c;,=\"\\\\ \t]{0,16}(; (client|server)_max_window_bits=?\"?[0-9]{0,2}\"?)?",
    ) {
        oracle::extensions(line.as_bytes());
    }
}
