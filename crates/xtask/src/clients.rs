//! `cargo xtask conformance`, and the part `clients` of the test: the official clients against the
//! conformance server, on each of the roads an application can take.

use std::{fs, path::Path, path::PathBuf, process::Command, thread, time::Duration};

use crate::{
    install::{self, Npm},
    place,
    run::{Failure, Server, build, say, succeed_within},
};

const ROADS: [&str; 3] = ["listen", "service", "axum"];
/// `old` is every generation of the JavaScript clients, and its server lets Engine.IO 3 in; `msgpack` is
/// the suites of `node` with clients of that parser; the server of `recovery` remembers sessions.
const CLIENTS: [&str; 5] = ["msgpack", "node", "old", "python", "recovery"];

/// What to run against what.
#[derive(Default)]
struct Selection {
    roads: Vec<String>,
    clients: Vec<String>,
    pattern: Option<String>,
    reference: bool,
}

/// `cargo xtask conformance`, with its arguments.
pub(crate) fn run(args: &mut lexopt::Parser) -> Result<(), Failure> {
    use lexopt::prelude::*;

    let mut selection = Selection::default();
    while let Some(arg) = args.next()? {
        match arg {
            Long("road") => selection
                .roads
                .push(one_of(&ROADS, args.value()?.string()?)?),
            Long("client") => selection
                .clients
                .push(one_of(&CLIENTS, args.value()?.string()?)?),
            Long("match") => selection.pattern = Some(args.value()?.string()?),
            Long("reference") => selection.reference = true,
            arg => return Err(arg.unexpected().into()),
        }
    }
    matrix(selection)
}

/// Every client on every road.
pub(crate) fn all() -> Result<(), Failure> {
    matrix(Selection::default())
}

fn one_of(allowed: &[&str], name: String) -> Result<String, Failure> {
    if allowed.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(Failure::new(format!(
        "{name}: there is {}",
        allowed.join(", ")
    )))
}

fn matrix(mut selection: Selection) -> Result<(), Failure> {
    if selection.roads.is_empty() {
        selection.roads = ROADS.map(String::from).to_vec();
    }
    if selection.clients.is_empty() {
        selection.clients = CLIENTS.map(String::from).to_vec();
    }
    if selection.reference {
        selection.roads = vec!["reference".into()];
    }
    install::npm(Npm::All)?;
    if selection.clients.iter().any(|client| client == "python") {
        install::python()?;
    }
    if !selection.reference {
        build(&["--bin", "conformance-server"])?;
    }

    let mut failed = Vec::new();
    for road in &selection.roads {
        say(format!(
            "clients: {} on the road {road}",
            selection.clients.join(" and ")
        ));
        // The clients mostly wait, so they can share the machine. Each has a server of its own: an
        // emit to everybody is a test, too.
        let results: Vec<_> = thread::scope(|scope| {
            let start = |client: &String| {
                let (client, selection) = (client.clone(), &selection);
                scope.spawn(move || one(&client, road, selection))
            };
            let running: Vec<_> = selection.clients.iter().map(start).collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        for (client, result) in selection.clients.iter().zip(results) {
            if let Err(failure) = result {
                println!("{failure}");
                failed.push(format!("{client} on {road}"));
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("failed: {}", failed.join(", "))))
}

/// No run of one client on one road takes longer.
const LIMIT: Duration = Duration::from_secs(600);

fn log(name: &str) -> PathBuf {
    place::logs().join(format!("{name}.log"))
}

fn serve(road: &str, client: &str) -> Result<Server, Failure> {
    let mut command = if road == "reference" {
        let mut node = Command::new("node");
        node.arg(place::clients().join("reference/server.mjs"))
            .env("CLIENTS_NPM", place::npm());
        node
    } else {
        let mut ours = Command::new(place::program("conformance-server"));
        ours.env("ROAD", road);
        ours
    };
    command.env("PMD", deflate(road)).env("EIO_ECHO", "1");
    // On a busy machine a client may well be silent for the second that is the server's default.
    for timeout in ["PING_TIMEOUT", "CONNECT_TIMEOUT", "UPGRADE_TIMEOUT"] {
        command.env(timeout, "3000");
    }
    if road == "listen" {
        command.env("HTTP2", "1");
    }
    match client {
        "msgpack" => command.env("PARSER", "msgpack"),
        "old" => command.env("EIO3", "1"),
        // Node's server speaks one parser only.
        "recovery" if road == "reference" => command.env("CSR", "30000"),
        "recovery" => command.env("CSR", "30000").env("PARSER", "msgpack"),
        "python" if road != "reference" => command.env("PARSER", "msgpack"),
        _ => &mut command,
    };
    Server::start(&mut command, log(&format!("server-{road}-for-{client}")))
}

/// On one road messages are compressed each for itself, on another with context take-over, on the
/// third not at all. The Node client offers it always, the Python client never.
fn deflate(road: &str) -> &'static str {
    match road {
        "axum" => "0",
        "service" => "2",
        _ => "1",
    }
}

/// One client on one road.
fn one(client: &str, road: &str, selection: &Selection) -> Result<(), Failure> {
    let server = serve(road, client)?;
    let log = log(&format!("{client}-{road}"));
    let mut command = command(client, selection);
    command
        .env("SIO_URL", server.url())
        .env("HTTP2", if road == "listen" { "1" } else { "0" })
        .env("PMD", deflate(road));
    let result = succeed_within(&mut command, LIMIT, &log);
    report(client, &log, result)?;
    server.stop()
}

fn command(client: &str, selection: &Selection) -> Command {
    let mut command;
    if client != "python" {
        command = Command::new("node");
        command.args(["--test", "--test-reporter=spec", "--test-timeout=120000"]);
        if let Some(pattern) = &selection.pattern {
            command.arg(format!("--test-name-pattern={pattern}"));
        }
        let suites = match client {
            "msgpack" => &["acks", "events", "lifecycle", "namespaces", "rooms"][..],
            "old" => &["old"],
            "recovery" => &["recovery"],
            _ => &[
                "acks",
                "deflate",
                "engine",
                "events",
                "http2",
                "lifecycle",
                "namespaces",
                "rooms",
                "wire",
            ],
        };
        for suite in suites {
            command.arg(format!("{suite}.test.mjs"));
        }
    } else {
        command = Command::new(place::python());
        command.args(["-B", "python/matrix.py", "-v"]);
        if let Some(pattern) = &selection.pattern {
            command.args(["-k", pattern]);
        }
    }
    if client == "msgpack" {
        command.env("SIO_PARSER", "msgpack");
    }
    command
        .current_dir(place::clients())
        .env("CLIENTS_NPM", place::npm());
    if selection.reference {
        command.env("SIO_REFERENCE", "1");
    }
    command
}

/// Says in a line what the run in `log` came to, or gives what it said of its failures.
fn report(client: &str, log: &Path, result: Result<(), Failure>) -> Result<(), Failure> {
    let said = fs::read_to_string(log)?;
    let summary: Vec<_> = said
        .lines()
        .filter_map(|line| {
            line.strip_prefix("ℹ ")
                .or_else(|| line.strip_prefix("Ran "))
        })
        .filter(|line| {
            let counts = ["tests ", "pass ", "fail ", "cancelled ", "skipped "];
            counts.iter().any(|count| line.starts_with(count)) || line.contains(" tests in ")
        })
        .collect();
    println!(
        "{client}: {} (all of it: {})",
        summary.join(", "),
        log.display()
    );
    for skipped in said
        .lines()
        .filter(|line| line.contains("the server lacks: "))
    {
        println!("  skipped: {}", skipped.trim());
    }
    result.map_err(|failure| {
        let mark = if client != "python" {
            "✖ failing tests:"
        } else {
            "======"
        };
        let details = said.find(mark).map_or("", |at| &said[at..]);
        let details: Vec<_> = details.lines().take(200).collect();
        Failure::new(format!("{}\n{failure}", details.join("\n")))
    })
}
