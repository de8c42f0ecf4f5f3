//! `cargo xtask fuzz`: one fuzz target, on the stable toolchain.

use std::process::Command;

use crate::{
    install, place,
    run::{Failure, say, succeed},
};

pub(crate) fn run(args: &mut lexopt::Parser) -> Result<(), Failure> {
    use lexopt::prelude::*;

    let mut target = None;
    let mut seconds = 60_u32;
    while let Some(arg) = args.next()? {
        match arg {
            Long("seconds") => seconds = args.value()?.parse()?,
            Value(name) if target.is_none() => target = Some(name.string()?),
            arg => return Err(arg.unexpected().into()),
        }
    }
    let Some(target) = target else {
        return Err(Failure::new(format!(
            "which target? There are:\n  {}",
            targets()?.join("\n  ")
        )));
    };

    let program = install::cargo_fuzz()?;
    say(format!("fuzzing {target} for {seconds} s"));
    let fuzz = place::root().join("fuzz");
    let mut run = Command::new(program);
    run.current_dir(place::root());
    // No sanitizer: those need a nightly toolchain, and no crate of ours has unsafe code.
    // Value profile: without it libFuzzer does not find its way past opcodes and lengths.
    run.args(["fuzz", "run", "--sanitizer", "none", &target]);
    // These read the streams that `frame` reads.
    let seeds = match target.as_str() {
        "differential" | "header" => "frame",
        own => own,
    };
    run.arg(fuzz.join("corpus").join(&target))
        .arg(fuzz.join("seeds").join(seeds));
    run.args([
        "--",
        "-use_value_profile=1",
        "-max_len=4096",
        // By the clock: on a busy machine an input that takes a millisecond has waited five seconds.
        "-timeout=60",
        "-rss_limit_mb=2048",
    ]);
    run.arg(format!("-max_total_time={seconds}"));
    std::fs::create_dir_all(fuzz.join("corpus").join(&target))?;
    succeed(&mut run)
}

/// The fuzz targets there are.
fn targets() -> Result<Vec<String>, Failure> {
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(place::root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        if let (Some(name), Some("rs")) = (
            path.file_stem(),
            path.extension().and_then(|extension| extension.to_str()),
        ) {
            targets.push(name.to_string_lossy().into_owned());
        }
    }
    targets.sort();
    Ok(targets)
}
