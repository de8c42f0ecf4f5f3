//! `cargo xtask bench`: measurements whose tables stand in `docs/BENCHMARKING.md`, and are put there.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    budget, compare, place,
    run::{Failure, say},
    spread,
};

/// `bench ws`: the WebSocket libraries side by side. A part of it is printed; all of it goes into the
/// document.
pub(crate) fn run(args: &mut lexopt::Parser) -> Result<(), Failure> {
    use lexopt::prelude::*;

    match args.next()? {
        Some(Value(name)) if name == "budget" => return budget::run(args),
        Some(Value(name)) if name == "cluster" => return spread::run(),
        Some(Value(name)) if name == "compare" => return compare::run(args),
        Some(Value(name)) if name == "ws" => {}
        Some(arg) => return Err(arg.unexpected().into()),
        None => {
            return Err(Failure::new(
                "which? There are: budget, cluster, compare, ws",
            ));
        }
    }
    let (mut options, mut is_whole) = (Vec::new(), true);
    while let Some(arg) = args.next()? {
        match arg {
            Long(name @ ("what" | "peers" | "case")) => {
                is_whole = false;
                options.push(format!("--{name}"));
            }
            Long(name @ ("reps" | "bytes")) => options.push(format!("--{name}")),
            arg => return Err(arg.unexpected().into()),
        }
        options.push(args.value()?.string()?);
    }

    let root = place::root();
    say("building the libraries (minutes, the first time)");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root.join("benches/compare"));
    // The link-time optimised build of all of them, wherever our own build goes.
    cargo.env("CARGO_TARGET_DIR", place::target().join("compare"));
    cargo.args(["run", "--release", "--quiet", "--"]);
    let output = cargo
        .args(&options)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::new(format!("cargo cannot be started: {error}")))?;
    let tables = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(Failure::new(format!(
            "benches/compare failed ({})",
            output.status
        )));
    }
    if !is_whole {
        print!("{tables}");
        return Ok(());
    }
    let text = format!("{}\n\n{tables}", circumstances(&root));
    put("ws", &text)?;
    say("docs/BENCHMARKING.md has the new tables");
    Ok(())
}

/// On what, with what, of what and when.
pub(crate) fn circumstances(root: &Path) -> String {
    let of = |program: &str, args: &[&str]| {
        let output = Command::new(program).current_dir(root).args(args).output();
        output.map_or_else(
            |_| "unknown".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpus.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": "))
            .map_or("", |(_, value)| value)
    };
    let vectors = ["avx512f", "avx2", "sse2"]
        .into_iter()
        .find(|vectors| field("flags").split(' ').any(|flag| flag == *vectors));
    let rustc = of("rustc", &["--version"]);
    format!(
        "Measured {} at commit {}: {} ({}), {}, {}.",
        of("date", &["-u", "+%Y-%m-%d"]),
        of("git", &["rev-parse", "--short", "HEAD"]),
        field("model name"),
        vectors.unwrap_or("no vectors known"),
        of("uname", &["-sr"]),
        rustc.split(" (").next().unwrap_or(&rustc),
    )
}

/// Between what the tables of `bench NAME` stand in the document.
pub(crate) fn marks(name: &str) -> (String, String) {
    let mark = |which| format!("<!-- cargo xtask bench {name}: {which} here -->\n");
    (mark("from"), mark("to"))
}

/// Puts `text` between the marks.
pub(crate) fn put(name: &str, text: &str) -> Result<(), Failure> {
    let document = place::root().join("docs/BENCHMARKING.md");
    let (begin, end) = marks(name);
    let old = fs::read_to_string(&document)?;
    let parts = old
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let Some((before, behind)) = parts else {
        return Err(Failure::new(format!(
            "{} has no place for the tables",
            document.display()
        )));
    };
    let text = text.trim();
    fs::write(
        document,
        format!("{before}{begin}\n{text}\n\n{end}{behind}"),
    )?;
    Ok(())
}
