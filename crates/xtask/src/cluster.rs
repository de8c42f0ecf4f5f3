//! The part `cluster` of the test: nodes of ours, of Node and of Python on one Redis, real processes.

use std::{process::Command, time::Duration};

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
    for suite in [
        "mixed",
        "demo",
        "adapters",
        "brokers",
        "shards",
        "oracle",
        "order",
        "partition",
        "faults",
        "streams",
        "neighbours",
    ] {
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
            .map_err(|failure| Failure::new(format!("{failure}, see {}", log.display())))?;
    }
    Ok(())
}
