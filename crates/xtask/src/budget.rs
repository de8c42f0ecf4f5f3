//! `cargo xtask bench budget`: what an operation costs the server in instructions, held against
//! `benches/budget.txt`.
//!
//! The program `budget` plays a scenario twice, with different counts, under callgrind, which counts
//! each thread by itself: the difference of the server's two totals, by the difference of the counts,
//! is the operation. No clock, no scheduler and no other load has a part in it, so the check cannot
//! fail by chance. Another compiler or another C library moves the figures by a few percent; then
//! `--write` them, in a change of its own.

use std::{fs, path::Path, process::Command};

use crate::{
    install, place,
    run::{Failure, say, succeed},
};

/// What an operation may grow by before the check fails, in percent.
const TOLERANCE: f64 = 5.0;

/// Operations of the shorter run, and how many more the longer one has.
const SCENARIOS: [(&str, u64, u64); 6] = [
    ("binary", 100, 300),
    ("cast", 200, 800),
    ("connection", 300, 200),
    ("delivery", 5_000, 20_000),
    ("echo", 300, 1_000),
    ("poll", 100, 300),
];

pub(crate) fn run(args: &mut lexopt::Parser) -> Result<(), Failure> {
    use lexopt::prelude::*;

    let mut write = false;
    while let Some(arg) = args.next()? {
        match arg {
            Long("write") => write = true,
            arg => return Err(arg.unexpected().into()),
        }
    }
    check(write)
}

/// As a part of `cargo xtask test`.
pub(crate) fn all() -> Result<(), Failure> {
    check(false)
}

fn check(write: bool) -> Result<(), Failure> {
    install::valgrind()?;
    say("building the program that is counted");
    let build = ["build", "--release", "-p", "benches", "--bin", "budget"];
    succeed(
        Command::new("cargo")
            .current_dir(place::root())
            .args(build)
            .env("CARGO_TARGET_DIR", place::target()),
    )?;
    say("counting");
    let file = place::root().join("benches/budget.txt");
    let known = fs::read_to_string(&file)?;
    let mut lines = String::new();
    let mut over = Vec::new();
    for (scenario, count, more) in SCENARIOS {
        let cost = cost(scenario, count, more)?;
        lines += &format!("{scenario} {cost:.0}\n");
        let budget = budget(&known, scenario);
        let growth = budget.map(|budget| (cost / budget - 1.0) * 100.0);
        match growth {
            Some(growth) => println!("{scenario:<12}{cost:>9.0}  {growth:+.1} %"),
            None => println!("{scenario:<12}{cost:>9.0}  no budget"),
        }
        if growth.is_none_or(|growth| growth > TOLERANCE) {
            over.push(scenario);
        }
    }
    if write {
        let comments = known.lines().filter(|line| line.starts_with('#'));
        let comments: String = comments.map(|line| format!("{line}\n")).collect();
        return Ok(fs::write(file, comments + &lines)?);
    }
    if over.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "over budget by more than {TOLERANCE} %: {}. docs/PERFORMANCE.md tells how to find out where; \
         if it is worth it, `cargo xtask bench budget --write` and say why in the commit",
        over.join(", ")
    )))
}

/// The instructions of an operation, as they were written down.
fn budget(known: &str, scenario: &str) -> Option<f64> {
    let mut lines = known.lines();
    lines.find_map(|line| line.strip_prefix(scenario)?.trim().parse().ok())
}

/// The instructions of an operation, as they are.
fn cost(scenario: &str, count: u64, more: u64) -> Result<f64, Failure> {
    let (less, all) = (total(scenario, count)?, total(scenario, count + more)?);
    Ok((all as f64 - less as f64) / more as f64)
}

/// The instructions of the server's thread in a run.
fn total(scenario: &str, count: u64) -> Result<u64, Failure> {
    let folder = place::xtask().join("budget");
    fs::create_dir_all(&folder)?;
    let out = folder.join(scenario);
    succeed(
        Command::new("valgrind")
            .args(["--quiet", "--tool=callgrind", "--separate-threads=yes"])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(place::target().join("release/budget"))
            .args([scenario, &count.to_string()]),
    )?;
    let main = folder.join(format!("{scenario}-01"));
    let profile = fs::read_to_string(&main)?;
    let line = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals:"));
    let total = line.and_then(|total| total.trim().parse().ok());
    total.ok_or_else(|| no_total(&main))
}

fn no_total(profile: &Path) -> Failure {
    Failure::new(format!(
        "callgrind wrote no total into {}",
        profile.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_found_by_its_name() {
        let known = "# instructions\necho 3200\npoll 27000\n";
        assert_eq!(budget(known, "poll"), Some(27_000.0));
        assert_eq!(budget(known, "connection"), None);
    }
}
