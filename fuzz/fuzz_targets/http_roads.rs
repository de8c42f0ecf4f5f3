//! Any bytes into the HTTP side, by our own listener and by hyper: answers alike, and nothing left.
#![no_main]

#[path = "../../crates/sio-server/tests/seeds/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::http_roads(data));
