//! Running other programs: to their end, or as a server that is ended with the value.

use std::{
    fmt,
    fs::{self, File},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::place;

/// Why a command of ours ends without success: a sentence for the person who called it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self(format!("{error} (cargo xtask help lists what there is)"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Announces what is being done.
pub(crate) fn say(message: impl fmt::Display) {
    println!("\n==> {message}");
}

/// Runs `command` to its end, its output passed through.
pub(crate) fn succeed(command: &mut Command) -> Result<(), Failure> {
    let status = command
        .status()
        .map_err(|error| cannot_start(command, &error))?;
    judge(command, status)
}

/// Runs `command` to its end, its output into the file `log`, and gives it up after `limit`.
pub(crate) fn succeed_within(
    command: &mut Command,
    limit: Duration,
    log: &Path,
) -> Result<(), Failure> {
    let mut child = start(command, log)?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return judge(command, status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(Failure::new(format!(
                "{} took over {limit:?}",
                name(command)
            )));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Builds programs of the workspace, which `targets` names as cargo does.
///
/// With the features, those of dependencies too, that `cargo test --workspace --all-features` has: after it
/// nothing is left to build. Only where an example is among the targets do those of development count.
pub(crate) fn build(targets: &[&str]) -> Result<(), Failure> {
    say(format!("cargo: building {}", targets.join(" ")));
    succeed(
        Command::new("cargo")
            .current_dir(place::root())
            .args(["build", "--quiet", "--workspace", "--all-features"])
            .args(["--example", "first"])
            .args(targets),
    )
}

/// Whether `program --version` runs.
pub(crate) fn exists(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn start(command: &mut Command, log: &Path) -> Result<Child, Failure> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::create(log)?;
    command
        .stdin(Stdio::null())
        .stderr(file.try_clone()?)
        .stdout(file)
        .spawn()
        .map_err(|error| cannot_start(command, &error))
}

fn judge(command: &Command, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("{} failed ({status})", name(command))))
    }
}

fn cannot_start(command: &Command, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be started: {error}", name(command)))
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = program
        .file_name()
        .into_iter()
        .chain(command.get_args().take(3));
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A port of the loopback address that nobody listens on, below those that the kernel gives to whoever
/// asks for any: between now and its use no connection of anybody takes it.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let mut tries = 0;
    loop {
        let chance = RandomState::new().build_hasher().finish();
        let port = 10_000 + (chance % 22_000) as u16;
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) if tries == 100 => return Err(error.into()),
            Err(_) => tries += 1,
        }
    }
}

/// A server that is up; ended, by force if need be, with this value.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    url: String,
}

impl Server {
    /// Starts `command` with `PORT` set to a free port, and waits until it says `listening`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Result<Self, Failure> {
        let port = free_port()?;
        let child = start(command.env("PORT", port.to_string()), &log)?;
        let mut server = Self {
            child,
            log,
            url: format!("http://127.0.0.1:{port}"),
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !fs::read_to_string(&server.log)?.contains("listening") {
            if let Some(status) = server.child.try_wait()? {
                return Err(server.failure(format!("the server ended at once ({status})")));
            }
            if Instant::now() > deadline {
                return Err(server.failure("the server is not listening after 30 s"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks the server to end; an error if it had already, or does not within ten seconds, or ends
    /// with a failure.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        if let Some(status) = self.child.try_wait()? {
            return Err(self.failure(format!("the server had already ended ({status})")));
        }
        succeed(Command::new("kill").arg(self.child.id().to_string()))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(self.failure(format!("the server ended with {status}")));
                }
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
        Err(self.failure("the server did not end within 10 s of SIGTERM"))
    }

    fn failure(&self, what: impl fmt::Display) -> Failure {
        Failure::new(format!("{what}; what it said is in {}", self.log.display()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
