//! What the demo and the tests need from elsewhere: npm packages, a Python environment, Chromium.
//!
//! Each is installed once; a copy of the manifest beside it says for which one, so that a second
//! run costs nothing and a changed manifest installs anew.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    place,
    run::{Failure, exists, say, succeed},
};

/// How much of `package.json` is wanted.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Npm {
    /// The tests' tools as well.
    All,
    /// The browser client alone.
    Client,
}

/// All that the tests need.
pub(crate) fn everything() -> Result<(), Failure> {
    npm(Npm::All)?;
    python()?;
    redis()?;
    valgrind()?;
    mixed()?;
    chromium().map(|_| ())
}

/// The npm packages of the client matrix, pinned by its lock file.
pub(crate) fn npm(want: Npm) -> Result<(), Failure> {
    npm_into(&place::npm(), &place::clients(), want)
}

/// The tests of mixed clusters with all they need, in a folder of their own: Node looks for packages
/// beside the file that wants them.
pub(crate) fn mixed() -> Result<(), Failure> {
    let (folder, sources) = (place::mixed(), place::mixed_sources());
    fs::create_dir_all(&folder)?;
    for file in fs::read_dir(&sources)? {
        let path = file?.path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap_or_default()))?;
        }
    }
    npm_into(&folder, &sources, Npm::All)?;
    venv_into(&place::mixed_venv(), &sources.join("requirements.txt"))
}

/// A Redis; Debian's if none is found and we may install it.
pub(crate) fn redis() -> Result<(), Failure> {
    if exists("redis-server") {
        return Ok(());
    }
    apt(
        &["redis-server"],
        "redis-server, which the cluster's tests start,",
    )
}

/// A valgrind; Debian's if none is found and we may install it.
pub(crate) fn valgrind() -> Result<(), Failure> {
    if exists("valgrind") {
        return Ok(());
    }
    apt(
        &["valgrind"],
        "valgrind, by which instructions are counted,",
    )
}

/// The packages of the lock file in `sources`.
pub(crate) fn npm_into(folder: &Path, sources: &Path, want: Npm) -> Result<(), Failure> {
    let lock = fs::read_to_string(sources.join("package-lock.json"))?;
    let all = format!("all\n{lock}");
    let client = format!("client\n{lock}");
    if is_stamped(folder, &all) || want == Npm::Client && is_stamped(folder, &client) {
        return Ok(());
    }
    if !exists("npm") || !exists("node") {
        return Err(Failure::new(
            "npm was not found. It comes with Node.js (18 or later):\n  \
             on Debian: apt-get install nodejs npm\n  \
             elsewhere: see nodejs.org\n\
             Then run the same command again.",
        ));
    }
    say(format!(
        "npm: installing the packages of the lock file into {}",
        folder.display()
    ));
    fs::create_dir_all(folder)?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(sources.join(file), folder.join(file))?;
    }
    let mut ci = Command::new("npm");
    ci.current_dir(folder)
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    if want == Npm::Client {
        ci.arg("--omit=dev");
    }
    succeed(&mut ci)?;
    stamp(folder, if want == Npm::All { &all } else { &client })
}

/// The Python environment of the client matrix, pinned by its requirements.
pub(crate) fn python() -> Result<(), Failure> {
    let requirements = place::clients().join("requirements.txt");
    venv_into(&place::xtask().join("venv"), &requirements)
}

pub(crate) fn venv_into(folder: &Path, requirements: &Path) -> Result<(), Failure> {
    let manifest = fs::read_to_string(requirements)?;
    if is_stamped(folder, &manifest) {
        return Ok(());
    }
    if !exists("python3") {
        return Err(Failure::new(
            "Python was not found. The tests need Python 3.10 or later with venv and pip:\n  \
             on Debian: apt-get install python3 python3-venv\n  \
             elsewhere: see python.org\n\
             Then run the same command again.",
        ));
    }
    say(format!(
        "python: making an environment in {}",
        folder.display()
    ));
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(folder);
    if succeed(&mut venv).is_err() {
        // Debian packs venv apart from Python.
        apt(
            &["python3-venv"],
            "python3-venv, which makes Python environments,",
        )?;
        succeed(&mut venv)?;
    }
    say("pip: installing the packages of requirements.txt");
    succeed(
        Command::new(folder.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-input",
            ])
            .args(["--progress-bar=off", "-r"])
            .arg(requirements),
    )?;
    stamp(folder, &manifest)
}

/// A Chromium; Debian's if none is found and we may install it.
pub(crate) fn chromium() -> Result<PathBuf, Failure> {
    let found = || {
        let named = env::var_os("CHROMIUM").map(PathBuf::from);
        let names = ["chromium", "chromium-browser", "google-chrome"];
        // Playwright wants the whole path.
        let folders: Vec<_> = env::split_paths(&env::var_os("PATH")?).collect();
        let known = names
            .iter()
            .flat_map(|name| folders.iter().map(move |in_| in_.join(name)));
        named.into_iter().chain(known).find(|path| path.is_file())
    };
    if let Some(path) = found() {
        return Ok(path);
    }
    apt(
        &["chromium", "fonts-liberation"],
        "Chromium, which the browser test drives,",
    )?;
    found().ok_or_else(|| Failure::new("Chromium was installed but does not start"))
}

/// The `cargo-fuzz` program, built into the target folder.
pub(crate) fn cargo_fuzz() -> Result<PathBuf, Failure> {
    const VERSION: &str = "0.13.2";
    let folder = place::xtask().join("cargo-fuzz");
    let program = folder.join("bin/cargo-fuzz");
    if is_stamped(&folder, VERSION) {
        return Ok(program);
    }
    say(format!(
        "cargo: building cargo-fuzz {VERSION} into {}",
        folder.display()
    ));
    succeed(
        Command::new("cargo")
            .args([
                "install",
                "cargo-fuzz",
                "--locked",
                "--force",
                "--version",
                VERSION,
                "--root",
            ])
            .arg(&folder),
    )?;
    stamp(&folder, VERSION)?;
    Ok(program)
}

/// Installs Debian packages, or says how to when that is not for us to do.
fn apt(packages: &[&str], what: &str) -> Result<(), Failure> {
    if !exists("apt-get") || !is_root() {
        return Err(Failure::new(format!(
            "{what} is missing, and only root on Debian could install it from here.\n  \
             on Debian: apt-get install {}\n\
             Then run the same command again.",
            packages.join(" "),
        )));
    }
    say(format!("apt-get: installing {}", packages.join(" ")));
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-q");
        command
    };
    succeed(apt().arg("update"))?;
    succeed(
        apt()
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages),
    )
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn is_stamped(folder: &Path, manifest: &str) -> bool {
    fs::read_to_string(folder.join(".installed")).is_ok_and(|stamp| stamp == manifest)
}

fn stamp(folder: &Path, manifest: &str) -> Result<(), Failure> {
    Ok(fs::write(folder.join(".installed"), manifest)?)
}
