//! Any bytes are a program of enter, exit, join, leave and select: index and naive model agree.
#![no_main]

#[path = "../../crates/sio-rooms/tests/model/mod.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|program: &[u8]| model::run(program));
