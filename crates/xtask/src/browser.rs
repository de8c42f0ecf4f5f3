//! The part `browser` of the test: the chat, in two pages of a real Chromium.

use std::{fs, process::Command, time::Duration};

use crate::{
    install::{self, Npm},
    place,
    run::{Failure, say, succeed, succeed_within},
};

pub(crate) fn run() -> Result<(), Failure> {
    install::npm(Npm::All)?;
    let chromium = install::chromium()?;
    say("cargo: building the chat");
    succeed(Command::new("cargo").current_dir(place::root()).args([
        "build",
        "--quiet",
        "--package",
        "sio-server",
        "--example",
        "chat",
    ]))?;
    say("browser: two pages of the chat in Chromium");
    let log = place::logs().join("browser.log");
    let result = succeed_within(
        Command::new("node")
            .current_dir(place::clients())
            .args(["--test", "--test-reporter=spec", "browser/chat.test.mjs"])
            .env("CHAT", place::program("examples/chat"))
            .env("CHROMIUM", chromium)
            .env("CLIENTS_NPM", place::npm())
            .env("SIO_CLIENT_DIR", place::browser_client())
            .env("SHOTS", place::shots()),
        Duration::from_secs(300),
        &log,
    );
    print!("{}", fs::read_to_string(&log)?);
    println!("screenshots: {}", place::shots().display());
    result
}
