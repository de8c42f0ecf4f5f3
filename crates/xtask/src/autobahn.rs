//! `cargo xtask autobahn`: the Autobahn suite against the WebSocket layer, on both sides of it: the
//! conformance server with `WS_ECHO=1`, and the program `autobahn-client`.
//!
//! Autobahn's own program is Python 2; the package `kosoku` drives its case files on Python 3.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use crate::{
    install, place,
    run::{Failure, Server, build, say, succeed, succeed_within},
};

/// What drives the cases.
const KOSOKU: &str = "kosoku==0.1.0";

/// The groups there are; 8 and 11 do not exist.
const GROUPS: &str = "1-7,9,10,12,13";

/// All groups, on a busy machine.
const LIMIT: Duration = Duration::from_secs(3600);

/// Which side of ours is looked at.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Client,
    Server,
}

impl Peer {
    const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

pub(crate) fn run(args: &mut lexopt::Parser) -> Result<(), Failure> {
    use lexopt::prelude::*;

    let mut chosen = GROUPS.to_owned();
    let mut only = None;
    while let Some(arg) = args.next()? {
        match arg {
            Long("groups") => chosen = args.value()?.string()?,
            Long("only") => {
                only = Some(match args.value()?.string()?.as_str() {
                    "client" => Peer::Client,
                    "server" => Peer::Server,
                    other => return Err(Failure::new(format!("{other}: client or server"))),
                });
            }
            arg => return Err(arg.unexpected().into()),
        }
    }
    prepare()?;
    for peer in [Peer::Server, Peer::Client] {
        if only.is_none_or(|only| only == peer) {
            against(peer, &chosen)?;
        }
    }
    Ok(())
}

/// Every case, on both sides, after [`prepare`].
pub(crate) fn all() -> Result<(), Failure> {
    // Each side waits for the suite half of its time, so both at once take little longer than one; and
    // what fails on one does not hide what the other would say.
    thread::scope(|scope| {
        let server = scope.spawn(|| against(Peer::Server, GROUPS));
        let client = against(Peer::Client, GROUPS);
        let server = server
            .join()
            .map_err(|_| Failure::new("the server's side panicked"));
        client.and(server?)
    })
}

/// Installs the suite and builds our sides of it.
pub(crate) fn prepare() -> Result<(), Failure> {
    install::python()?;
    say(format!("pip: {KOSOKU}"));
    succeed(
        Command::new(place::python())
            .args(["-m", "pip", "install", "--disable-pip-version-check"])
            .args(["--no-input", "--progress-bar=off", "--quiet", KOSOKU]),
    )?;
    build(&["--bin", SERVER, "--bin", CLIENT])
}

const SERVER: &str = "conformance-server";
const CLIENT: &str = "autobahn-client";

/// The reports.
fn folder() -> PathBuf {
    place::xtask().join("autobahn")
}

/// `program`, with less claim to the machine than what has to answer in time; not with hardly any, since
/// each of the suite's cases has its own time, too, and elsewhere something may be compiled.
fn patient(program: &Path) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "5"]).arg(program);
    command
}

fn against(peer: Peer, chosen: &str) -> Result<(), Failure> {
    let groups = groups(chosen)?;
    say(format!("autobahn: our {}, groups {chosen}", peer.name()));
    let reports = folder().join(peer.name());
    let log = place::logs().join(format!("autobahn-{}.log", peer.name()));
    let mut suite = patient(&place::python());
    suite
        .arg("-B")
        .arg(place::root().join("crates/xtask/src/autobahn.py"))
        .arg(peer.name());
    let server = match peer {
        Peer::Client => {
            suite.arg(place::program(CLIENT));
            None
        }
        Peer::Server => {
            let mut command = patient(&place::program(SERVER));
            command.env("WS_ECHO", "1").env_remove("ROAD");
            let server =
                Server::start(&mut command, place::logs().join("server-for-autobahn.log"))?;
            suite.arg(server.url().replace("http:", "ws:") + "/ws-echo");
            Some(server)
        }
    };
    suite.arg(&reports);
    suite.args(groups.iter().map(|group| format!("{group}.*")));
    let result = succeed_within(&mut suite, LIMIT, &log);
    print!("{}", fs::read_to_string(&log)?);
    println!("reports: {}", reports.display());
    result?;
    server.map_or(Ok(()), Server::stop)
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
