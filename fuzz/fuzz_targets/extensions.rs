//! One line of Sec-WebSocket-Extensions, read as a naive reader reads it.
#![no_main]

#[path = "../../crates/ws-handshake/tests/seeds/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::extensions(data));
