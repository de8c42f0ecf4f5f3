//! `cargo xtask test`: everything, part by part, with a summary at the end.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    autobahn, browser, budget, clients, cluster, examples, install, place,
    run::{Failure, say, succeed},
};

struct Part {
    name: &'static str,
    /// What has to be done first; then `run` goes on beside the parts that follow, and its result is
    /// waited for at the end.
    before: Option<Step>,
    run: Step,
}

type Step = fn() -> Result<(), Failure>;

impl Part {
    const fn new(name: &'static str, run: Step) -> Self {
        let before = None;
        Self { name, before, run }
    }
}

const PARTS: [Part; 11] = [
    Part::new("fmt", || cargo(&["fmt", "--all", "--check"], &[])),
    // It counts, and no other load has a part in that: it builds and counts beside what only compiles.
    Part {
        name: "budget",
        before: Some(install::valgrind),
        run: budget::all,
    },
    Part::new("clippy", || {
        let deny = ["--", "-D", "warnings"];
        let all = ["clippy", "--workspace", "--all-targets", "--all-features"];
        cargo(&[&all[..], &deny].concat(), &[])?;
        // What is there instead of a feature is read by the compiler only without it.
        let bare = ["clippy", "-p", "sio-server", "-p", "sio-redis"];
        cargo(&[&bare[..], &deny].concat(), &[])
    }),
    Part::new("rust", || {
        cargo(&["test", "--workspace"], &[])?;
        cargo(&["test", "--workspace", "--all-features"], &[])
    }),
    Part::new("doc", || {
        let args = ["doc", "--workspace", "--no-deps", "--all-features"];
        cargo(&args, &[("RUSTDOCFLAGS", "-D warnings")])
    }),
    Part::new("fuzz", || {
        let manifest = ["--manifest-path", "fuzz/Cargo.toml"];
        let args = [&["check", "--all-targets"][..], &manifest].concat();
        // Half of what it depends on has been checked with the rest, into this folder.
        let target = place::target();
        cargo(&args, &[("CARGO_TARGET_DIR", &target.to_string_lossy())])
    }),
    // It computes for minutes, at a lower priority; those after it wait most of their time.
    Part {
        name: "autobahn",
        before: Some(autobahn::prepare),
        run: autobahn::all,
    },
    Part::new("clients", clients::all),
    Part::new("cluster", cluster::run),
    Part::new("examples", examples::run),
    Part::new("browser", browser::run),
];

pub(crate) fn run(args: &mut lexopt::Parser) -> Result<(), Failure> {
    use lexopt::prelude::*;

    let mut only = Vec::new();
    while let Some(arg) = args.next()? {
        match arg {
            Long("only") => only.push(part(&args.value()?.string()?)?),
            arg => return Err(arg.unexpected().into()),
        }
    }
    if only.is_empty() {
        only = PARTS.iter().collect();
        // What cannot be installed is said now, not after minutes of compiling.
        install::everything()?;
    }

    let mut done = Vec::new();
    let mut beside = Vec::new();
    for part in only {
        say(part.name);
        let Some(before) = part.before else {
            done.push(timed(part, part.run));
            continue;
        };
        match timed(part, before) {
            (_, _, Ok(())) => beside.push(thread::spawn(move || timed(part, part.run))),
            failed => done.push(failed),
        }
    }
    done.extend(
        beside
            .into_iter()
            .map(|part| part.join().expect("no panic")),
    );
    summary(&done)
}

type Done = (&'static str, Duration, Result<(), Failure>);

fn timed(part: &Part, step: Step) -> Done {
    let began = Instant::now();
    let result = step();
    if let Err(failure) = &result {
        eprintln!("\n{}: {failure}", part.name);
    }
    (part.name, began.elapsed(), result)
}

fn part(name: &str) -> Result<&'static Part, Failure> {
    PARTS.iter().find(|part| part.name == name).ok_or_else(|| {
        let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        Failure::new(format!(
            "there is no part {name}; there is {}",
            names.join(", ")
        ))
    })
}

fn summary(done: &[Done]) -> Result<(), Failure> {
    say("summary");
    for (name, took, result) in done {
        let result = if result.is_ok() { "passed" } else { "FAILED" };
        println!("{name:<10} {result} {:>7.1} s", took.as_secs_f64());
    }
    let failed = done.iter().filter(|(_, _, result)| result.is_err()).count();
    println!("\n{} passed, {failed} failed", done.len() - failed);
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new("not everything passed"))
}

fn cargo(args: &[&str], env: &[(&str, &str)]) -> Result<(), Failure> {
    println!("$ cargo {}", args.join(" "));
    succeed(
        Command::new("cargo")
            .current_dir(place::root())
            .args(args)
            .envs(env.iter().copied()),
    )
}
