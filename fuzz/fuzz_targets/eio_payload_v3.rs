//! A polling body of Engine.IO 3 in either form, read as JavaScript would read it; JSONP around it. The oracle is
//! that of the crate's own tests.
#![no_main]

#[path = "../../crates/eio-transport/tests/seeds/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::eio_payload_v3(data));
