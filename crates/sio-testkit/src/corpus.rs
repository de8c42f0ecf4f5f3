//! The seeds of the fuzz targets, which are run by plain tests, too.

use std::fs;
use std::path::Path;

/// Runs `check` over each seed of a fuzz target: the files of `fuzz/seeds/TARGET` in the repository. Says
/// which one failed.
///
/// # Panics
///
/// As `check` does, and if there are no seeds.
pub fn each_seed(target: &str, mut check: impl FnMut(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let seeds = fs::read_dir(&folder).expect("the seeds stand in the repository");
    let mut count = 0;
    for seed in seeds {
        let path = seed.expect("the folder can be read").path();
        eprintln!("{}", path.display()); // Shown where the test fails.
        check(&fs::read(&path).expect("a seed is a file"));
        count += 1;
    }
    assert!(count > 0, "there are seeds for {target}");
}
