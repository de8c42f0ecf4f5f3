//! `cargo xtask test`: everything, part by part, with a summary at the end.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    autobahn, browser, budget, clients, cluster, examples, place,
    run::{Failure, say, succeed},
};

struct Part {
    name: &'static str,
    run: fn() -> Result<(), Failure>,
}

const PARTS: [Part; 11] = [
    Part {
        name: "fmt",
        run: || cargo(&["fmt", "--all", "--check"], &[]),
    },
    Part {
        name: "clippy",
        run: || {
            let args = ["clippy", "--workspace", "--all-targets", "--all-features"];
            cargo(&[&args[..], &["--", "-D", "warnings"]].concat(), &[])
        },
    },
    Part {
        name: "rust",
        run: || {
            cargo(&["test", "--workspace"], &[])?;
            cargo(&["test", "--workspace", "--all-features"], &[])
        },
    },
    Part {
        name: "doc",
        run: || {
            let args = ["doc", "--workspace", "--no-deps", "--all-features"];
            cargo(&args, &[("RUSTDOCFLAGS", "-D warnings")])
        },
    },
    Part {
        name: "fuzz",
        run: || {
            cargo(
                &[
                    "check",
                    "--manifest-path",
                    "fuzz/Cargo.toml",
                    "--all-targets",
                ],
                &[],
            )
        },
    },
    Part {
        name: "budget",
        run: budget::all,
    },
    Part {
        name: "clients",
        run: clients::all,
    },
    Part {
        name: "cluster",
        run: cluster::run,
    },
    Part {
        name: "examples",
        run: examples::run,
    },
    Part {
        name: "browser",
        run: browser::run,
    },
    Part {
        name: "autobahn",
        run: autobahn::all,
    },
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
        crate::install::everything()?;
    }

    let mut done = Vec::new();
    for part in only {
        say(part.name);
        let began = Instant::now();
        let result = (part.run)();
        if let Err(failure) = &result {
            eprintln!("\n{}: {failure}", part.name);
        }
        done.push((part.name, began.elapsed(), result));
    }
    summary(&done)
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

fn summary(done: &[(&str, Duration, Result<(), Failure>)]) -> Result<(), Failure> {
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
