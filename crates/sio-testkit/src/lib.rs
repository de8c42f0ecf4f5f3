//! Test helpers shared by the workspace: chance from one seed, virtual time, model peers.
//!
//! Nothing here waits, opens a socket or reads a clock while it runs: whole conversations between
//! model clients and a machine of ours run in one thread, and one `u64` decides everything.
//!
//! - [`Chance`]: all decisions of a run, from a seed or from the bytes of a fuzzer.
//! - [`Timeline`]: events in the order of virtual time.
//! - [`each_seed`]: runs a check over the seeds of a fuzz target.
//! - [`run_seeds`]: runs a property over many seeds and names the one that fails.
//! - [`engine`]: Engine.IO sessions between model clients and a model driver.

mod chance;
mod corpus;
pub mod engine;
mod seeds;
mod timeline;

pub use chance::Chance;
pub use corpus::each_seed;
pub use seeds::run_seeds;
pub use timeline::Timeline;
