//! The fuzz targets, run over their seeds as plain tests.
//!
//! The seeds are the examples of RFC 6455 §5.7 and RFC 7692 §7.2.3, the shapes of the Autobahn suite,
//! and one stream for every fault. They are made by the code below, so that each has its reason beside
//! it; a test holds the files to it, and writes them anew if `WRITE_SEEDS` is set.

use std::env;
use std::fs;
use std::path::PathBuf;

use crate::oracle::wire;
use ws_frame::{OpCode, Role};

#[test]
fn frame() {
    over("frame", crate::oracle::frame);
}

#[test]
fn frame_chunks() {
    over("frame_chunks", crate::oracle::frame_chunks);
}

/// It reads the seeds of `frame`: the same streams mean the same to both decoders.
#[test]
fn differential() {
    over("frame", crate::differential::differential);
}

#[test]
fn header() {
    over("frame", crate::header::header);
}

#[test]
fn pair() {
    over("pair", crate::pair::pair);
}

/// The crate may have been taken out of its workspace; then there are no seeds to run.
fn over(target: &str, oracle: fn(&[u8])) {
    let Ok(seeds) = fs::read_dir(folder(target)) else {
        return;
    };
    let mut count = 0;
    for seed in seeds {
        let seed = seed.expect("a readable folder");
        oracle(&fs::read(seed.path()).expect("a readable seed"));
        count += 1;
    }
    assert!(count > 9, "{count} seeds for {target}");
}

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target)
}

/// After a change here: `WRITE_SEEDS=1 cargo test -p ws-frame --test protocol seeds`
#[test]
fn the_seeds_are_those_of_this_file() {
    if !folder("frame").exists() {
        return;
    }
    for (name, stream) in streams(Role::Server) {
        save("frame", &format!("{name}-to-server"), &stream);
        // From the front: server, deflate, default limits, no close, cut after every byte.
        let mut chunked = vec![2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];
        chunked.extend(&stream);
        save("frame_chunks", &format!("{name}-to-server"), &chunked);
    }
    for (name, stream) in streams(Role::Client) {
        save("frame", &format!("{name}-to-client"), &stream);
        // Client, no deflate, small limits, the application closes after two messages.
        let mut chunked = vec![5, 2, 0x24, 3, 1, 4, 1, 5, 9, 2, 6];
        chunked.extend(&stream);
        save("frame_chunks", &format!("{name}-to-client"), &chunked);
    }
    for (name, script) in scripts() {
        save("pair", name, &script.concat());
    }
}

/// What two sides do: see `pair.rs` for the meaning of the three bytes.
fn scripts() -> Vec<(&'static str, Vec<&'static [u8]>)> {
    const PLAIN: &[u8] = &[0];
    const DEFLATE: &[u8] = &[1];
    const TEXT: u8 = 0;
    const BINARY: u8 = 2;
    const PING: u8 = 4;
    const PONG: u8 = 6;
    const CLOSE: u8 = 8;
    const DELIVER: u8 = 12;
    const BY_SERVER: u8 = 1;
    const MORE: u8 = 4;

    vec![
        ("text", vec![PLAIN, &[TEXT, 5, 0], &[DELIVER, 255, 0]]),
        (
            "answer",
            vec![
                PLAIN,
                &[TEXT, 5, 0],
                &[DELIVER, 255, 0],
                &[TEXT | BY_SERVER, 9, 0],
            ],
        ),
        (
            "fragments",
            vec![
                PLAIN,
                &[TEXT, 3, MORE],
                &[TEXT, 0, MORE],
                &[DELIVER, 7, 0],
                &[TEXT, 2, 0],
            ],
        ),
        (
            "ping-between",
            vec![PLAIN, &[BINARY, 60, MORE], &[PING, 4, 9], &[BINARY, 3, 0]],
        ),
        (
            "pings",
            [PLAIN]
                .into_iter()
                .chain([&[PING, 2, 1][..], &[PING, 1, 2]].repeat(10))
                .collect(),
        ),
        (
            "pong-unasked",
            vec![PLAIN, &[PONG | BY_SERVER, 0, 3], &[PING, 1, 3]],
        ),
        (
            "close",
            vec![
                PLAIN,
                &[CLOSE, 3, 0],
                &[TEXT | BY_SERVER, 3, 0],
                &[DELIVER, 2, 0],
            ],
        ),
        (
            "close-empty",
            vec![PLAIN, &[CLOSE | BY_SERVER, 0, 255], &[PING, 5, 5]],
        ),
        (
            "close-both",
            vec![PLAIN, &[CLOSE, 1, 0], &[CLOSE | BY_SERVER, 2, 0]],
        ),
        (
            "close-inside",
            vec![PLAIN, &[TEXT, 8, MORE], &[CLOSE, 0, 0], &[DELIVER, 255, 3]],
        ),
        (
            "deflate",
            vec![
                DEFLATE,
                &[BINARY, 40, MORE],
                &[BINARY, 40, 3],
                &[BINARY | BY_SERVER, 200, 1],
            ],
        ),
        (
            "lengths",
            vec![
                PLAIN,
                &[BINARY, 125, 0],
                &[BINARY, 126, 0],
                &[BINARY, 255, 3],
                &[DELIVER, 1, 0],
            ],
        ),
        (
            "changed",
            vec![PLAIN, &[TEXT, 5, 0], &[10, 201, 255], &[DELIVER, 255, 0]],
        ),
    ]
}

fn save(target: &str, name: &str, bytes: &[u8]) {
    let path = folder(target).join(name);
    if env::var_os("WRITE_SEEDS").is_some() {
        fs::write(&path, bytes).expect("a writable folder");
    }
    let seed = fs::read(&path).expect("a seed of this name");
    assert!(seed == bytes, "{target}/{name} is another; see WRITE_SEEDS");
}

fn streams(role: Role) -> Vec<(&'static str, Vec<u8>)> {
    use OpCode::{Binary, Close, Continuation, Ping, Pong, Text};

    let f = |fin, opcode, payload: &[u8]| wire(role, fin, 0, opcode, payload);
    let close = |code: u16, reason: &[u8]| f(true, Close, &[&code.to_be_bytes(), reason].concat());
    let mut mask_wrong = f(true, Text, b"Hello");
    mask_wrong[1] ^= 0x80;
    vec![
        // RFC 6455 §5.7
        ("hello", f(true, Text, b"Hello")),
        (
            "fragmented",
            [f(false, Text, b"Hel"), f(true, Continuation, b"lo")].concat(),
        ),
        ("ping", f(true, Ping, b"Hello")),
        ("pong", f(true, Pong, b"Hello")),
        ("binary-256", f(true, Binary, &[7; 256])),
        (
            "binary-65536-cut",
            f(true, Binary, &[7; 65_536])[..40].to_vec(),
        ),
        // RFC 7692 §7.2.3.1
        (
            "deflated",
            wire(role, true, 4, Text, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
        ),
        (
            "deflated-fragments",
            [
                wire(role, false, 4, Text, b"\xf2\x48\xcd"),
                wire(role, true, 0, Continuation, b"\xc9\xc9\x07\x00"),
            ]
            .concat(),
        ),
        // §5.4: control frames between fragments
        (
            "interleaved",
            [
                f(false, Text, "frag\u{1F600}".as_bytes().split_at(6).0),
                f(true, Ping, b"between"),
                f(
                    false,
                    Continuation,
                    "frag\u{1F600}".as_bytes().split_at(6).1,
                ),
                f(true, Pong, b""),
                f(true, Continuation, b"end"),
                close(1000, b"done"),
            ]
            .concat(),
        ),
        (
            "empty-fragments",
            [
                f(false, Binary, b""),
                f(false, Continuation, b""),
                f(true, Continuation, b""),
            ]
            .concat(),
        ),
        ("pings", f(true, Ping, b"x").repeat(12)),
        ("close-empty", f(true, Close, b"")),
        (
            "close-then-more",
            [close(4999, b""), f(true, Text, b"late")].concat(),
        ),
        // faults
        ("close-one-byte", f(true, Close, b"\x03")),
        ("close-1005", close(1005, b"")),
        ("close-1016", close(1016, b"")),
        (
            "close-reason",
            close(
                1000,
                b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80",
            ),
        ),
        ("continuation-alone", f(true, Continuation, b"x")),
        (
            "message-unfinished",
            [f(false, Text, b"a"), f(true, Binary, b"b")].concat(),
        ),
        ("ping-fragmented", f(false, Ping, b"x")),
        ("ping-126", f(true, Ping, &[0; 126])),
        (
            "rsv1-on-continuation",
            [
                f(false, Text, b"a"),
                wire(role, true, 4, Continuation, b"b"),
            ]
            .concat(),
        ),
        ("rsv2", wire(role, true, 2, Text, b"a")),
        (
            "opcode-3",
            [f(true, Text, b"a"), vec![0x83, 0x80, 0, 0, 0, 0]].concat(),
        ),
        ("mask-wrong", mask_wrong),
        (
            "utf8-surrogate",
            f(true, Text, b"\xce\xba\xed\xa0\x80edited"),
        ),
        ("utf8-cut", f(true, Text, b"\xf0\x9f\x98")),
        (
            "utf8-fast",
            [
                f(false, Text, b"\xf4"),
                f(true, Continuation, b"\x90\x80\x80"),
            ]
            .concat(),
        ),
        ("length-16-minimal", vec![0x82, 0xfe, 0, 125, 1, 2, 3, 4]),
        (
            "length-64-minimal",
            vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4],
        ),
        (
            "length-top-bit",
            vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        ),
        (
            "length-max",
            vec![
                0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4,
            ],
        ),
    ]
}
