//! The fuzz targets, run over their seeds as plain tests.

mod oracle;

use std::fs;
use std::path::Path;

#[test]
fn sio_msgpack() {
    run("sio_msgpack", oracle::sio_msgpack);
}

#[test]
fn sio_parse() {
    run("sio_parse", oracle::sio_parse);
}

#[test]
fn sio_reassemble() {
    run("sio_reassemble", oracle::sio_reassemble);
}

/// The crate may have been taken out of its workspace; then there are no seeds to run.
fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let Ok(seeds) = fs::read_dir(folder) else {
        return;
    };
    for seed in seeds {
        check(&fs::read(seed.expect("the folder can be read").path()).expect("a seed is a file"));
    }
}
