//! `cargo xtask bench cluster`: what a broadcast to a thousand sockets on each of three nodes costs each node,
//! beside what it costs a node that is alone.
//!
//! All sockets are the load generator's, in turn at one node after the other; the first emits. It
//! measures one process at a time, so the load is repeated for each node.

use std::{
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    install, place,
    run::{Failure, free_port, say, succeed},
};

/// Sockets on each node.
const SOCKETS: usize = 1000;

pub(crate) fn run() -> Result<(), Failure> {
    install::redis()?;
    say("building the bench server and the load generator (minutes, the first time)");
    let target = place::target();
    let build = ["build", "--release", "-p", "benches", "--bin"];
    succeed(
        Command::new("cargo")
            .current_dir(place::root())
            .env("CARGO_TARGET_DIR", &target)
            .args(build)
            .args(["bench-server", "--features", "cluster"]),
    )?;
    succeed(
        Command::new("cargo")
            .current_dir(place::root().join("benches/loadgen"))
            .env("CARGO_TARGET_DIR", target.join("loadgen"))
            .args(["build", "--release"]),
    )?;

    let port = free_port()?;
    let mut redis = Command::new("redis-server");
    redis.args(["--save", "", "--port", &port.to_string()]);
    let _redis = Process::start(&mut redis, port)?;
    let url = format!("redis://127.0.0.1:{port}");

    println!("| instructions of a delivery | ours | the kernel's | both |");
    println!("|---|---:|---:|---:|");
    let alone = [Process::node(None)?];
    let floor = measure(&alone, 0, "a node alone", None)?;
    drop(alone);
    for adapter in ["classic", "sharded", "streams"] {
        let nodes: Vec<_> = (0..3)
            .map(|_| Process::node(Some((&url, adapter))))
            .collect::<Result<_, _>>()?;
        // Until they hear each other.
        thread::sleep(Duration::from_secs(2));
        measure(&nodes, 0, &format!("{adapter}: who emits"), Some(floor))?;
        measure(&nodes, 1, &format!("{adapter}: who hears it"), Some(floor))?;
    }
    Ok(())
}

/// Prints a line of the table; instructions of a delivery.
fn measure(
    nodes: &[Process],
    measured: usize,
    what: &str,
    floor: Option<f64>,
) -> Result<f64, Failure> {
    let address = |node: &Process| format!("127.0.0.1:{}", node.port);
    let also: Vec<_> = nodes[1..].iter().map(address).collect();
    let mut load = Command::new(place::target().join("loadgen/release/loadgen"));
    load.args(["broadcast", "--size", "32", "--count", "400"]);
    load.args(["--conns", &(SOCKETS * nodes.len()).to_string()]);
    load.args(["--url", &address(&nodes[0]), "--pin", "1"]);
    load.args(["--server-pid", &nodes[measured].child.id().to_string()]);
    if !also.is_empty() {
        load.args(["--also", &also.join(",")]);
    }
    let output = load.output()?;
    let said: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::new(format!("the load generator said nothing: {error}")))?;
    if said["ok"] != true {
        return Err(Failure::new(format!("not every message came: {said}")));
    }
    // Of all deliveries, each node has made its share.
    let of = |name: &str| said[name].as_f64().unwrap_or_default() * nodes.len() as f64;
    let (user, kernel) = (of("srv_instr_u_per_op"), of("srv_instr_k_per_op"));
    let all = user + kernel;
    let growth = floor.map_or_else(String::new, |floor| {
        format!(", {:+.1} %", (all / floor - 1.0) * 100.0)
    });
    println!("| {what} | {user:.0} | {kernel:.0} | {all:.0}{growth} |");
    Ok(all)
}

/// A process that is ended with this value.
struct Process {
    child: Child,
    port: u16,
}

impl Process {
    /// A server of one shard, and what cluster it is of.
    fn node(cluster: Option<(&str, &str)>) -> Result<Self, Failure> {
        let port = free_port()?;
        let mut server = Command::new("taskset");
        server.args(["-c", "0"]);
        server.arg(place::target().join("release/bench-server"));
        server.env("PORT", port.to_string()).env("THREADS", "1");
        if let Some((url, adapter)) = cluster {
            server.env("REDIS_URL", url).env("ADAPTER", adapter);
        }
        Self::start(&mut server, port)
    }

    /// Starts what listens on a port.
    fn start(command: &mut Command, port: u16) -> Result<Self, Failure> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let process = Self { child, port };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if start.elapsed() > Duration::from_secs(20) {
                return Err(Failure::new(format!("nobody listens on port {port}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
