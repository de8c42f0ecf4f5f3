//! Messages of a cluster, in every format. The oracle is that of the crate's own tests.
#![no_main]

#[path = "../../crates/sio-cluster/tests/seeds/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracle::cluster_decode(data));
