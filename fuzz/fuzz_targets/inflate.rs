//! Arbitrary bytes as compressed messages, read as a naive inflater reads them.
#![no_main]

#[path = "../../crates/ws-deflate/tests/codec/naive.rs"]
mod naive;
#[path = "../../crates/ws-deflate/tests/codec/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::inflate(data));
