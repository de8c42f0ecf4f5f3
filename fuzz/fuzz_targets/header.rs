//! A header cut at every length, and a mask, beside naive ones.
#![no_main]

#[path = "../../crates/ws-frame/tests/protocol/header.rs"]
mod header;

libfuzzer_sys::fuzz_target!(|data: &[u8]| header::header(data));
