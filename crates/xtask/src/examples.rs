//! The part `examples` of the test: each example of sio-server, used by socket.io-client.

use std::{fs, process::Command, time::Duration};

use crate::{
    install::{self, Npm},
    place,
    run::{Failure, build, succeed_within},
};

pub(crate) fn run() -> Result<(), Failure> {
    install::npm(Npm::All)?;
    build(&["--examples"])?;
    let log = place::logs().join("examples.log");
    let result = succeed_within(
        Command::new("node")
            .current_dir(place::clients())
            .args(["--test", "--test-reporter=spec", "examples.test.mjs"])
            .env("EXAMPLES", place::program("examples"))
            .env("CLIENTS_NPM", place::npm()),
        Duration::from_secs(120),
        &log,
    );
    print!("{}", fs::read_to_string(&log)?);
    result
}
