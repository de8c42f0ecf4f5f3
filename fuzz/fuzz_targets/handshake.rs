//! A head as text, read as a naive reader reads it; what is agreed to must be understood by both sides.
#![no_main]

#[path = "../../crates/ws-handshake/tests/seeds/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::handshake(data));
