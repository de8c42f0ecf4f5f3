//! `cargo xtask autobahn`: the Autobahn suite against the WebSocket layer, as the conformance server
//! serves it with `WS_ECHO=1`.
//!
//! Autobahn's own program is Python 2; the package `kosoku` drives its case files on Python 3.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use crate::{
    install, place,
    run::{Failure, Server, say, succeed, succeed_within},
};

/// What drives the cases.
const KOSOKU: &str = "kosoku==0.1.0";

/// The groups there are; 8 and 11 do not exist.
const GROUPS: &str = "1-7,9,10,12,13";

/// All groups, on a busy machine.
const LIMIT: Duration = Duration::from_secs(3600);

pub(crate) fn run(args: &mut lexopt::Parser) -> Result<(), Failure> {
    use lexopt::prelude::*;

    let mut chosen = GROUPS.to_owned();
    while let Some(arg) = args.next()? {
        match arg {
            Long("groups") => chosen = args.value()?.string()?,
            arg => return Err(arg.unexpected().into()),
        }
    }
    let groups = groups(&chosen)?;

    install::python()?;
    say(format!("pip: {KOSOKU}"));
    succeed(
        Command::new(place::python())
            .args(["-m", "pip", "install", "--disable-pip-version-check"])
            .args(["--no-input", "--progress-bar=off", "--quiet", KOSOKU]),
    )?;
    say("cargo: building the conformance server with its WebSocket echo");
    succeed(
        Command::new("cargo")
            .current_dir(place::root())
            .args(["build", "--quiet", "--package", "sio-conformance"])
            .args(["--features", "ws-echo"]),
    )?;

    say(format!("autobahn: groups {chosen}"));
    let mut command = Command::new(place::program("conformance-server"));
    command.env("WS_ECHO", "1").env_remove("ROAD");
    let server = Server::start(&mut command, place::logs().join("server-for-autobahn.log"))?;
    let log = place::logs().join("autobahn.log");
    let result = succeed_within(
        Command::new(place::python())
            .arg("-B")
            .arg(place::root().join("crates/xtask/src/autobahn.py"))
            .arg(server.url().replace("http:", "ws:") + "/ws-echo")
            .arg(reports())
            .args(groups.iter().map(|group| format!("{group}.*"))),
        LIMIT,
        &log,
    );
    print!("{}", fs::read_to_string(&log)?);
    println!("reports: {}", reports().display());
    result?;
    server.stop()
}

fn reports() -> PathBuf {
    place::xtask().join("autobahn")
}

/// The numbers in a list such as `1-7,9`.
fn groups(list: &str) -> Result<Vec<u8>, Failure> {
    let wrong = || Failure::new(format!("{list}: the groups are {GROUPS}"));
    let mut groups = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u8>().map_err(|_| wrong());
        let range = number(first)?..=number(last)?;
        if range.is_empty() || !(1..=13).contains(range.start()) || *range.end() > 13 {
            return Err(wrong());
        }
        groups.extend(range);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbers_and_ranges() {
        assert_eq!(groups("1-3,9").expect("a list"), [1, 2, 3, 9]);
        for wrong in ["", "1-", "3-1", "0", "14", "1,,2"] {
            assert!(groups(wrong).is_err(), "{wrong}");
        }
    }
}
