//! What cargo alone cannot do: the demo, the whole test suite, and the installs they need.
//!
//! `cargo xtask help` lists the commands. Everything that is fetched lands in `target/xtask`.

#![forbid(unsafe_code)]

mod autobahn;
mod bench;
mod browser;
mod budget;
mod clients;
mod cluster;
mod compare;
mod demo;
mod examples;
mod fuzz;
mod install;
mod place;
mod run;
mod spread;
mod suite;

use std::process::ExitCode;

use crate::run::Failure;

const HELP: &str = "\
What cargo alone cannot do. Everything that is fetched lands in target/xtask.

cargo xtask demo
    Fetches the browser client from npm and runs the chat on http://127.0.0.1:5000.

cargo xtask test [--only PART]...
    Installs what the tests need and runs everything. PART is one or more of:
      fmt       cargo fmt --check
      clippy    cargo clippy, warnings denied, all targets and features
      budget    what an echo, a delivery and a connection cost in instructions (valgrind)
      rust      cargo test, with the default features and with all
      doc       cargo doc, warnings denied
      fuzz      every fuzz target builds
      clients   the Node and Python clients against the server on every road
      cluster   nodes of ours, of Node and of Python on one Redis
      examples  each example of sio-server, used by a client from npm
      browser   the chat in Chromium
      autobahn  Autobahn's 517 cases against the WebSocket layer, server and client

cargo xtask conformance [--road ROAD]... [--client CLIENT]... [--match REGEX]
    The clients alone. ROAD: listen, service, axum. CLIENT: node, old, python.
    --match runs the tests whose name it fits (Node) or whose name contains it (Python).
    --reference runs them against Node's own server instead: a test that fails there is wrong.

cargo xtask autobahn [--groups GROUPS] [--only client|server]
    Autobahn's cases against the WebSocket layer, our server and our client. GROUPS: a list such as
    1-7,9,10, which are the cases without compression and take seconds; all with 12 and 13, minutes.
    NON-STRICT is a failure.

cargo xtask bench ws [--reps N] [--bytes N] [--what PART,...] [--peers NAME,...] [--case TEXT]
    ws-frame and ws-deflate beside the other libraries, in instructions and cycles (Linux, and the right
    to count). The tables go into docs/BENCHMARKING.md; a part alone (--what, --peers, --case) is printed.

cargo xtask bench cluster
    What a broadcast costs a node among three, beside a node that is alone.

cargo xtask bench compare [--only PART,...] [--reps N] [--quick]
                        [--servers NAME,...] [--scenarios NAME,...] [--beside PATH] [--no-build]
    The server beside the floor and socketioxide, Bun, Node and Python, which it installs: instructions
    and CPU time of each operation, memory, latency (Linux, and the right to count). PART: table,
    'room size', memory, load, delivery, storm, shards, tls. Each has its place in docs/BENCHMARKING.md; with
    --quick, --servers or --scenarios the tables are printed instead. --beside: another build of the
    bench server as well, which is how a change is measured.

cargo xtask bench budget [--write]
    Counts the instructions of an echo, a delivery, a connection and others under valgrind, and fails
    if one has grown by more than 5 % over benches/budget.txt. --write keeps what was counted.

cargo xtask fuzz TARGET [--seconds N]
    Runs a fuzz target on the stable toolchain, for 60 seconds unless told otherwise.
";

fn main() -> ExitCode {
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<(), Failure> {
    use lexopt::prelude::*;

    let mut args = lexopt::Parser::from_env();
    let Some(command) = args.next()? else {
        print!("{HELP}");
        return Ok(());
    };
    match command {
        Value(name) if name == "demo" => match args.next()? {
            None => demo::run(),
            Some(arg) => Err(arg.unexpected().into()),
        },
        Value(name) if name == "test" => suite::run(&mut args),
        Value(name) if name == "conformance" => clients::run(&mut args),
        Value(name) if name == "autobahn" => autobahn::run(&mut args),
        Value(name) if name == "bench" => bench::run(&mut args),
        Value(name) if name == "fuzz" => fuzz::run(&mut args),
        Value(name) if name == "help" => {
            print!("{HELP}");
            Ok(())
        }
        Long("help") | Short('h') => {
            print!("{HELP}");
            Ok(())
        }
        arg => Err(arg.unexpected().into()),
    }
}
