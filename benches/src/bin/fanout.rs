//! What the server costs over the floor, in instructions for each delivery.
//!
//! ```text
//! cargo run -p benches --bin fanout [--reps 5] [--scenarios bcast1000,echo32] [--roads listen]
//!                                   [--server COMMAND]... [--no-build] [--json FILE]
//! ```
//!
//! Builds the bench server, the load generator and the floor, and runs them on the loopback interface:
//! the server on CPU 0, the generator on CPU 1. Every repetition meets every server before the next one
//! begins, so that all of them see the same noise. Prints a table for each scenario, in Markdown.
//! Needs Linux, and the right to count instructions (`kernel.perf_event_paranoid` at most 1, or root).

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Name, and what the load generator is told; its README explains the words.
const SCENARIOS: [(&str, &str); 12] = [
    (
        "bcast1000",
        "broadcast --conns 1000 --size 32 --count 150 --max-secs 8",
    ),
    (
        "bcast1000w8",
        "broadcast --conns 1000 --size 32 --count 200 --window 8 --max-secs 8",
    ),
    (
        "bcast100",
        "broadcast --conns 100 --size 32 --count 1000 --max-secs 8",
    ),
    (
        "bcast5000",
        "broadcast --conns 5000 --size 32 --count 30 --max-secs 10",
    ),
    (
        "rooms",
        "rooms --conns 1000 --rooms 100 --size 32 --count 10000 --window 16 --max-secs 8",
    ),
    ("echo32", "echo --conns 50 --depth 1 --size 32 --secs 2"),
    ("echo32d16", "echo --conns 50 --depth 16 --size 32 --secs 2"),
    ("echo64k", "echo --conns 16 --depth 2 --size 65536 --secs 2"),
    (
        "bin64k",
        "echo --mode bin --conns 16 --depth 2 --size 65536 --secs 2",
    ),
    ("poll32", "polling --conns 50 --size 32 --secs 2"),
    ("churn", "churn --conns 32 --secs 2.5"),
    ("conn1000", "connect --conns 1000"),
];

/// A server under test: what starts it, and with which environment.
struct Server {
    name: String,
    command: PathBuf,
    env: Vec<(&'static str, &'static str)>,
}

/// The first servers are the floor, and the floor that joins what arrives together.
const FLOORS: usize = 2;

// What of a run is reported, for each operation.
const USER: &str = "srv_instr_u_per_op";
const KERNEL: &str = "srv_instr_k_per_op";
const CPU: &str = "srv_cpu_us_per_op";

/// What one run of the load generator told.
struct Run {
    scenario: &'static str,
    server: usize,
    line: Value,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fanout: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut reps = 5;
    let mut wanted = "bcast1000,bcast1000w8".to_owned();
    let mut roads = "listen".to_owned();
    let mut others = Vec::new();
    let mut build_first = true;
    let mut json = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
        match &*arg {
            "--reps" => reps = value()?.parse().map_err(|_| "--reps wants a number")?,
            "--scenarios" => wanted = value()?,
            "--roads" => roads = value()?,
            "--server" => others.push(value()?),
            "--no-build" => build_first = false,
            "--json" => json = Some(value()?),
            _ => return Err(format!("unknown argument {arg}")),
        }
    }
    let scenarios: Vec<_> = wanted.split(',').map(scenario).collect::<Result<_, _>>()?;

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    if build_first {
        build(&root, &target)?;
    }
    let tools = target.join("loadgen/release");
    let servers = servers(&target, &tools, &roads, &others);

    let mut runs = Vec::new();
    for rep in 1..=reps {
        for &(scenario, words) in &scenarios {
            for (index, server) in servers.iter().enumerate() {
                eprintln!("{rep}/{reps} {scenario} {}", server.name);
                let line = measure(server, &tools, words)?;
                runs.push(Run {
                    scenario,
                    server: index,
                    line,
                });
            }
        }
    }
    for (scenario, _) in scenarios {
        print!("{}", table(scenario, &servers, &runs));
    }
    if let Some(path) = json {
        let mut file = std::fs::File::create(&path).map_err(|error| format!("{path}: {error}"))?;
        for run in runs {
            writeln!(file, "{}", run.line).map_err(|error| format!("{path}: {error}"))?;
        }
    }
    Ok(())
}

fn scenario(name: &str) -> Result<(&'static str, &'static str), String> {
    SCENARIOS
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| {
            let known = SCENARIOS.map(|(name, _)| name).join(" ");
            format!("unknown scenario {name}; there are: {known}")
        })
}

fn build(root: &Path, target: &Path) -> Result<(), String> {
    let mut server = Command::new("cargo");
    server.args([
        "build",
        "--release",
        "--package",
        "benches",
        "--bin",
        "bench-server",
    ]);
    server.current_dir(root).arg("--target-dir").arg(target);
    let mut tools = Command::new("cargo");
    tools
        .args(["build", "--release"])
        .current_dir(root.join("benches/loadgen"));
    tools.arg("--target-dir").arg(target.join("loadgen"));
    for mut command in [server, tools] {
        let status = command
            .status()
            .map_err(|error| format!("cargo: {error}"))?;
        if !status.success() {
            return Err("the build failed".to_owned());
        }
    }
    Ok(())
}

/// The floor, the floor that joins what arrives together, ours by each road, and whoever was named.
fn servers(target: &Path, tools: &Path, roads: &str, others: &[String]) -> Vec<Server> {
    let limit = tools.join("limit");
    let mut servers = vec![
        Server {
            name: "floor".to_owned(),
            command: limit.clone(),
            env: vec![],
        },
        Server {
            name: "floor, joined".to_owned(),
            command: limit,
            env: vec![("COALESCE", "1")],
        },
    ];
    for road in ["listen", "service", "axum"] {
        if roads.split(',').any(|wanted| wanted == road) {
            servers.push(Server {
                name: format!("ours, {road}"),
                command: target.join("release/bench-server"),
                env: vec![("ROAD", road), ("THREADS", "1")],
            });
        }
    }
    for other in others {
        servers.push(Server {
            name: other.clone(),
            command: other.into(),
            env: vec![],
        });
    }
    servers
}

/// Starts the server on a free port, lets the load generator at it, ends it.
fn measure(server: &Server, tools: &Path, words: &str) -> Result<Value, String> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port: {error}"))?
        .port();
    // The shell raises the limit of open files, which takes `unsafe` in Rust.
    let mut command = Command::new("taskset");
    command.args([
        "-c",
        "0",
        "sh",
        "-c",
        "ulimit -n $(ulimit -Hn); exec \"$0\"",
    ]);
    command.arg(&server.command).env("PORT", port.to_string());
    command
        .envs(server.env.iter().copied())
        .stdout(Stdio::null());
    let mut child = command
        .spawn()
        .map_err(|error| format!("{}: {error}", server.name))?;
    let output = await_port(&mut child, port).and_then(|()| {
        Command::new(tools.join("loadgen"))
            .args(words.split(' '))
            .args([
                "--url",
                &format!("127.0.0.1:{port}"),
                "--pin",
                "1",
                "--tag",
                &server.name,
            ])
            .args(["--server-pid", &child.id().to_string()])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("loadgen: {error}"))
    });
    _ = child.kill();
    _ = child.wait();
    let output = output?;
    let line = String::from_utf8_lossy(&output.stdout);
    let line: Value = serde_json::from_str(line.trim())
        .map_err(|_| format!("{}: loadgen said {line:?}", server.name))?;
    if line["ok"] != true {
        return Err(format!(
            "{}: not every message came back: {line}",
            server.name
        ));
    }
    Ok(line)
}

fn await_port(child: &mut Child, port: u16) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the server ended: {status}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("nobody listens on port {port}"))
}

/// Medians with the smallest and largest in brackets; of CPU time the smallest leads, because noise only
/// ever adds to it.
fn table(scenario: &str, servers: &[Server], runs: &[Run]) -> String {
    let mut table = format!(
        "\n**{scenario}**, for each operation\n\n\
         | server | user instructions | kernel instructions | over the floor (user) | CPU µs, least | median |\n\
         |---|---:|---:|---:|---:|---:|\n"
    );
    let column = |server: usize, field: &str| {
        let mine = runs
            .iter()
            .filter(|run| run.scenario == scenario && run.server == server);
        let mut column: Vec<f64> = mine.filter_map(|run| run.line[field].as_f64()).collect();
        column.sort_by(f64::total_cmp);
        column
    };
    // The floor that a server has to be held against is the lower one of the two.
    let floors = (0..FLOORS).filter_map(|floor| median(&column(floor, USER)));
    let floor = floors.reduce(f64::min).unwrap_or(0.0);
    for (index, server) in servers.iter().enumerate() {
        let (user, cpu) = (column(index, USER), column(index, CPU));
        let (Some(user_median), Some(cpu_median)) = (median(&user), median(&cpu)) else {
            continue;
        };
        _ = writeln!(
            table,
            "| {} | {} | {} | {:+.0} | {:.2} | {cpu_median:.2} |",
            server.name,
            spread(&user),
            spread(&column(index, KERNEL)),
            user_median - floor,
            cpu[0],
        );
    }
    table
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

fn spread(sorted: &[f64]) -> String {
    match (median(sorted), sorted) {
        (Some(median), [least, .., most]) => format!("**{median:.0}** ({least:.0}–{most:.0})"),
        (Some(median), _) => format!("**{median:.0}**"),
        (None, _) => "–".to_owned(),
    }
}
