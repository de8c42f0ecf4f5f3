//! `cargo xtask demo`: the chat on this machine, with the official browser client.

use std::process::Command;

use crate::{
    install::{self, Npm},
    place,
    run::{Failure, say, succeed},
};

pub(crate) fn run() -> Result<(), Failure> {
    install::npm(Npm::Client)?;
    say("cargo: building the chat");
    succeed(Command::new("cargo").current_dir(place::root()).args([
        "build",
        "--quiet",
        "--package",
        "sio-server",
        "--example",
        "chat",
    ]))?;
    println!("\nThe chat will be on http://127.0.0.1:5000 (open it twice; Ctrl-C ends it).\n");
    succeed(
        Command::new(place::program("examples/chat"))
            .current_dir(place::root())
            .env("SIO_CLIENT_DIR", place::browser_client()),
    )
}
