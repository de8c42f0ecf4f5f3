//! One server, one load: started, measured, ended.

use std::{
    ffi::OsStr,
    fmt,
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::run::{Failure, free_port, say};

use super::{Case, results::Results, server, server::Server};

/// What this machine lets us do, and has for us.
pub(super) struct Machine {
    /// The program of [`Server::Beside`].
    pub(super) beside: Option<PathBuf>,
    /// Whether the measured run before all other work.
    is_undisturbed: bool,
    counts: bool,
}

impl Machine {
    pub(super) fn look(beside: Option<PathBuf>) -> Result<Self, Failure> {
        let cpus = thread::available_parallelism()?.get();
        if !cfg!(target_os = "linux") || cpus < 2 {
            return Err(Failure::new(
                "the comparison needs Linux and two processors: one for the server, one for the load",
            ));
        }
        let works = |command: &mut Command| {
            let status = command.stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        let machine = Self {
            beside,
            is_undisturbed: works(Command::new("chrt").args(["--rr", "1", "true"])),
            counts: works(Command::new(server::tool("loadgen")).arg("counters")),
        };
        if !machine.counts {
            say(
                "only CPU time is in the tables, since this machine does not count instructions for us \
                 (kernel.perf_event_paranoid above 1, or a guest without counters); cargo xtask bench \
                 budget counts ours under valgrind",
            );
        }
        Ok(machine)
    }

    /// Runs `program` before all other work, if we may: whoever else is at work on the machine then
    /// takes nothing from the measured but what is left in the caches.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        if !self.is_undisturbed {
            return Command::new(program);
        }
        let mut command = Command::new("chrt");
        command.args(["--rr", "1"]).arg(program);
        command
    }
}

/// A sentence for the tables.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = if self.is_undisturbed {
            "server and load at real-time priority, before all other work"
        } else {
            "server and load at the priority of all other work"
        };
        f.write_str(others)?;
        if !self.counts {
            f.write_str("; this machine counts no instructions")?;
        }
        Ok(())
    }
}

/// Every case by every server, `reps` times.
pub(super) fn run(
    machine: &Machine,
    servers: &[&Server],
    cases: &[Case],
    reps: usize,
    is_quick: bool,
    results: &mut Results,
) -> Result<(), Failure> {
    let start = Instant::now();
    for rep in 1..=reps {
        // Who does not keep up with a load is not asked to keep up with a larger one.
        let mut behind = Vec::new();
        for case in cases {
            for server in servers {
                if !meets(**server, case) || behind.contains(server) {
                    continue;
                }
                let at = start.elapsed().as_secs();
                println!("{at:4} s  {rep}/{reps}  {}  {}", case.name, server.title());
                let said = measure(machine, **server, &case.words, is_quick)?;
                if said.as_ref().is_ok_and(|said| said["behind"] == true) {
                    behind.push(server);
                }
                if let Err(why) = &said {
                    println!("        failed: {why}");
                }
                results.add(&case.name, **server, said);
            }
        }
    }
    Ok(())
}

/// The floor that joins broadcasts has nothing else to show.
fn meets(server: Server, case: &Case) -> bool {
    server != Server::FloorJoined || case.words.contains("--window")
}

/// What the load generator says; in the inner error, why the server or the load failed.
fn measure(
    machine: &Machine,
    server: Server,
    words: &str,
    is_quick: bool,
) -> Result<Result<Value, String>, Failure> {
    let port = free_port()?;
    let mut command = server.command(port, machine);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child =
        Ended(child.map_err(|error| {
            Failure::new(format!("{} cannot be started: {error}", server.title()))
        })?);
    if let Err(why) = await_port(&mut child.0, port) {
        return Ok(Err(why));
    }
    let (scenario, options) = words.split_once(' ').unwrap_or((words, ""));
    let mut load = machine.command(server::tool("loadgen"));
    load.arg(scenario);
    if is_quick {
        // The first of two counts.
        load.args(["--secs", "0.5", "--max-secs", "2", "--settle", "0.2"]);
    }
    if server == Server::Tls {
        load.arg("--tls").arg(server::certificate());
    }
    if matches!(server, Server::Bun | Server::Node) && !is_quick {
        // They compile what they run while they run it.
        load.args(["--warm", "2.5"]);
    }
    load.args(options.split(' '))
        .args(["--pin", "1", "--url", &format!("127.0.0.1:{port}")])
        .args(["--server-pid", &child.0.id().to_string()]);
    let output = load.output()?;
    let line = String::from_utf8_lossy(&output.stdout);
    let Ok(said) = serde_json::from_str::<Value>(line.trim()) else {
        let why = String::from_utf8_lossy(&output.stderr);
        return Ok(Err(format!("the load generator said {line:?} {why:?}")));
    };
    if said["ok"] != true {
        return Ok(Err(format!("not every message came back: {said}")));
    }
    Ok(Ok(said))
}

/// A process that is ended with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Already gone is as good.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn await_port(child: &mut Child, port: u16) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the server ended at once: {status}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(format!("nobody listens on port {port}"))
}
