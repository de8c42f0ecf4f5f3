//! A stream, read by both roles as tungstenite reads it; where not, the oracle says why.
#![no_main]

#[path = "../../crates/ws-frame/tests/protocol/differential.rs"]
mod differential;
#[path = "../../crates/ws-frame/tests/protocol/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| differential::differential(data));
