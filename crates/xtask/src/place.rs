//! Where things lie: the repository, the target folder, what was installed into it.

use std::{env, path::PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    // Set by `cargo run`, so the answer survives a moved checkout; compiled in for anyone else.
    let here = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.ancestors()
        .nth(2)
        .expect("xtask lies two folders below the root")
        .to_path_buf()
}

/// The target folder that cargo built us into, wherever it was told to put it.
pub(crate) fn target() -> PathBuf {
    let exe = env::current_exe().expect("a running program has a path");
    exe.ancestors()
        .nth(2)
        .expect("cargo puts programs into target/<profile>")
        .to_path_buf()
}

/// A program of the workspace, as a debug build leaves it.
pub(crate) fn program(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// The folder of all that we fetch and write.
pub(crate) fn xtask() -> PathBuf {
    target().join("xtask")
}

/// The folder that holds `node_modules`.
pub(crate) fn npm() -> PathBuf {
    xtask().join("npm")
}

/// The browser client's files, as npm delivers them.
pub(crate) fn browser_client() -> PathBuf {
    npm().join("node_modules/socket.io-client/dist")
}

/// The Python interpreter that has the client installed.
pub(crate) fn python() -> PathBuf {
    xtask().join("venv/bin/python")
}

/// What the servers and clients said, a file each.
pub(crate) fn logs() -> PathBuf {
    xtask().join("logs")
}

/// The browser test's screenshots.
pub(crate) fn shots() -> PathBuf {
    xtask().join("shots")
}

/// The sources of the client matrix.
pub(crate) fn clients() -> PathBuf {
    root().join("crates/sio-conformance/clients")
}

/// The sources of the tests of mixed clusters.
pub(crate) fn mixed_sources() -> PathBuf {
    root().join("crates/sio-redis/tests/mixed")
}

/// Where they run.
pub(crate) fn mixed() -> PathBuf {
    xtask().join("mixed")
}

/// Their Python environment.
pub(crate) fn mixed_venv() -> PathBuf {
    xtask().join("mixed-venv")
}
