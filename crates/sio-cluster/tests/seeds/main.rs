//! The fuzz target, run over its seeds, over the recorded messages and over random bytes.

mod oracle;

use std::{fs, path::Path};

use proptest::prelude::*;
use sio_testkit::each_seed;

#[test]
fn cluster_decode() {
    each_seed("cluster_decode", oracle::cluster_decode);
}

/// Every recorded message, whole, cut short, and with bytes of it changed, to every reader.
#[test]
fn recorded_messages_cut_and_changed_are_read_or_refused() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    for file in fs::read_dir(vectors).expect("a folder") {
        let path = file.expect("a folder").path();
        if path.extension().is_none_or(|extension| extension != "json")
            || path.ends_with("package.json")
        {
            continue;
        }
        let text = fs::read_to_string(path).expect("a file");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a list");
        for body in vectors.iter().filter_map(|vector| vector["body"].as_str()) {
            let digit = |byte: u8| (byte as char).to_digit(16).expect("a digit") as u8;
            let pairs = body.as_bytes().chunks(2);
            let body: Vec<u8> = pairs
                .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
                .collect();
            for reader in 0..oracle::READERS {
                let mut input = vec![reader];
                input.extend_from_slice(&body);
                oracle::cluster_decode(&input);
                for at in (1..input.len()).step_by(7) {
                    oracle::cluster_decode(&input[..at]);
                    let kept = input[at];
                    for changed in [kept ^ 0x01, kept ^ 0x80, 0x91, 0xff] {
                        input[at] = changed;
                        oracle::cluster_decode(&input);
                    }
                    input[at] = kept;
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        oracle::cluster_decode(&bytes);
    }
}
