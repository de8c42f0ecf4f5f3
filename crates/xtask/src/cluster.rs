//! The part `cluster` of the test: nodes of ours, of Node and of Python on one Redis, real processes.

use std::{process::Command, sync::Mutex, thread, time::Duration};

use crate::{
    install, place,
    run::{Failure, build, say, succeed_within},
};

/// No run takes longer.
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn run() -> Result<(), Failure> {
    install::redis()?;
    install::mixed()?;
    build(&[
        "--example=node",
        "--example=emitter",
        "--example=chat_nodes",
    ])?;
    // Each waits most of its time, so two at a time can share the machine; and what fails in one does not hide
    // what another would say.
    let suites = Mutex::new(SUITES.iter());
    let run = || {
        let mut failed = Vec::new();
        loop {
            let Some(suite) = suites.lock().expect("no panic").next() else {
                return failed;
            };
            if let Err(failure) = one(suite) {
                eprintln!("{failure}");
                failed.push(*suite);
            }
        }
    };
    let failed = thread::scope(|scope| {
        let other = scope.spawn(run);
        let mut failed = run();
        failed.extend(other.join().expect("no panic"));
        failed
    });
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("failed: {}", failed.join(", "))))
}

/// The longest first, so that two end at about the same time.
const SUITES: [&str; 11] = [
    "faults",
    "streams",
    "partition",
    "shards",
    "oracle",
    "mixed",
    "adapters",
    "brokers",
    "order",
    "neighbours",
    "demo",
];

fn one(suite: &str) -> Result<(), Failure> {
    say(format!("cluster: {suite}"));
    let log = place::logs().join(format!("cluster-{suite}.log"));
    let mut tests = Command::new("node");
    tests
        .current_dir(place::mixed())
        .args(["--test", "--test-concurrency=1"])
        .arg(format!("{suite}.test.mjs"))
        .env("CHAT_EXAMPLE", place::program("examples/chat_nodes"))
        .env("EMITTER_EXAMPLE", place::program("examples/emitter"))
        .env("NODE_EXAMPLE", place::program("examples/node"))
        .env("PYTHON", place::mixed_venv().join("bin/python"));
    succeed_within(&mut tests, LIMIT, &log)
        .map_err(|failure| Failure::new(format!("{failure}, see {}", log.display())))
}
