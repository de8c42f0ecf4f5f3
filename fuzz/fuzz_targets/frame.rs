//! Arbitrary bytes, read by both roles as a naive decoder reads them. The oracle is that of the crate's own tests.
#![no_main]

#[path = "../../crates/ws-frame/tests/protocol/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::frame(data));
