//! A polling body, read as splitting it first would read it. The oracle is that of the crate's own tests.
#![no_main]

#[path = "../../crates/eio-transport/tests/seeds/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::eio_payload(data));
