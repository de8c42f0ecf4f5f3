//! The fuzz target, run over its seeds as a plain test, and over requests that are nearly right.

mod oracle;

use proptest::prelude::*;
use sio_testkit::each_seed;

#[test]
fn http_roads() {
    each_seed("http_roads", |seed| {
        for cut in [seed[0], 0, 1, 7] {
            oracle::http_roads(&[&[cut], &seed[1..]].concat());
        }
    });
}

/// A request that is nearly a good one.
fn request() -> impl Strategy<Value = String> {
    let method = prop_oneof![8 => Just("GET"), 1 => Just("POST"), 1 => Just("OPTIONS")];
    let version = prop_oneof![9 => Just("1.1"), 1 => Just("1.0"), 1 => Just("2.0")];
    let transport = prop_oneof![6 => Just("websocket"), 3 => Just("polling"), 1 => Just("x")];
    let query =
        prop_oneof![4 => Just(""), 1 => Just("&sid=AAAAAAAAAAAAAAAAAAAA"), 1 => Just("&b64=1&j=3")];
    let revision = prop_oneof![8 => Just("4"), 1 => Just("3"), 1 => Just("")];
    let field = prop_oneof![
        Just("Origin: http://a".to_owned()),
        Just("Origin: http://evil".to_owned()),
        Just("Sec-Fetch-Site: cross-site".to_owned()),
        Just("Content-Length: 0".to_owned()),
        Just("Transfer-Encoding: chunked".to_owned()),
        Just("X:\tobs".to_owned()),
        Just(" folded".to_owned()),
        Just("X : blank".to_owned()),
        Just("Host: b".to_owned()),
        Just("Expect: 100-continue".to_owned()),
        "Sec-WebSocket-(Key|Version|Protocol|Extensions): [a1=;, ]{0,6}",
        "[A-Za-z\u{80}-\u{ff}:]{1,5}: [ -~\u{80}-\u{ff}]{0,5}",
    ];
    let good = [
        "Host: a",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let dropped = prop::option::weighted(0.3, 0..good.len());
    let more = prop::collection::vec(field, 0..3);
    let line = (method, version, transport, query, revision);
    let glued = prop_oneof![
        Just(""),
        Just("\u{1}\u{2}\u{3}"),
        Just("GET / HTTP/1.1\r\n\r\n")
    ];
    (line, dropped, more, glued).prop_map(move |(line, dropped, more, glued)| {
        let (method, version, transport, query, revision) = line;
        let mut fields: Vec<_> = good.iter().map(|field| (*field).to_owned()).collect();
        if let Some(at) = dropped {
            fields.remove(at);
        }
        fields.extend(more);
        format!(
            "{method} /socket.io/?EIO={revision}&transport={transport}{query} HTTP/{version}\r\n{}\r\n\r\n{glued}",
            fields.join("\r\n")
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_roads_answer_what_is_nearly_right_alike(request in request(), cut in prop_oneof![Just(0), 0..40_u8]) {
        oracle::http_roads(&[&[cut], request.as_bytes()].concat());
    }
}
