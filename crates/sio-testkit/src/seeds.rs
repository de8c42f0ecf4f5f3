//! Running a property over many seeds.

use std::env;
use std::panic::{self, AssertUnwindSafe};

/// Runs `property` for the seeds `0..count` and names the seed that fails.
///
/// The environment decides otherwise: `SEED=n` runs that seed alone, `SEEDS=n` runs so many,
/// starting at `FROM` (default 0).
///
/// # Panics
///
/// As `property` does, after the seed has been printed.
pub fn run_seeds(count: u64, mut property: impl FnMut(u64)) {
    let number = |name| {
        env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let from = number("FROM").unwrap_or(0);
            from..from + number("SEEDS").unwrap_or(count)
        }
    };
    for seed in seeds {
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| property(seed))) {
            eprintln!("the seed is {seed}; run it alone with SEED={seed}");
            panic::resume_unwind(panic);
        }
    }
}
