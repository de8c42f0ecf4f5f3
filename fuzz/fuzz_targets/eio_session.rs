//! Bytes as a script of inputs for one session: nothing lost, doubled, reordered or unanswered.
#![no_main]

#[path = "../../crates/eio-transport/tests/seeds/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::eio_session(data));
