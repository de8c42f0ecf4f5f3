//! The fuzz target, run over its seeds as a plain test.

use std::fs;
use std::path::Path;

#[test]
fn inflate() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/inflate");
    // The crate may have been taken out of its workspace; then there are no seeds to run.
    let Ok(seeds) = fs::read_dir(folder) else {
        return;
    };
    for seed in seeds {
        crate::oracle::inflate(&fs::read(seed.unwrap().path()).unwrap());
    }
}
