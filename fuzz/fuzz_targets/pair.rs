//! A client and a server that talk to each other, over a network that cuts where it likes.
#![no_main]

#[path = "../../crates/ws-frame/tests/protocol/pair.rs"]
mod pair;
#[path = "../../crates/ws-frame/tests/protocol/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| pair::pair(data));
