//! The seeds of the fuzz targets, as a plain test.

use std::fs;
use std::path::Path;

mod oracle;

fn each_seed(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let Ok(seeds) = fs::read_dir(folder) else {
        return; // The crate stands alone.
    };
    let mut count = 0;
    for seed in seeds {
        let path = seed.unwrap().path();
        eprintln!("{}", path.display());
        check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "there are seeds for {target}");
}

#[test]
fn payload_seeds_hold() {
    each_seed("eio_payload", oracle::eio_payload);
}

#[test]
fn session_seeds_hold() {
    each_seed("eio_session", oracle::eio_session);
}
