//! Any bytes as a msgpack packet. The oracle is that of the crate's own tests.
#![no_main]

#[path = "../../crates/sio-packet/tests/seeds/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::sio_msgpack(data));
