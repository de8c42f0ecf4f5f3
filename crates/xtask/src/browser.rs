//! The part `browser` of the test: the program of the first page of the documentation, and the chat, in two
//! pages of a real Chromium; compressed messages, in a third; and clients of two generations, through
//! networks of all kinds.

use std::{fs, path::Path, process::Command, time::Duration};

use crate::{
    install::{self, Npm},
    place,
    run::{Failure, Server, build, say, succeed_within},
};

pub(crate) fn run() -> Result<(), Failure> {
    install::npm(Npm::All)?;
    let chromium = install::chromium()?;
    build(&["--example=chat", "--bin=conformance-server"])?;
    // What is wrong with one does not hide what the other would say.
    let chat = chat(&chromium);
    let deflate = deflate(&chromium);
    weather(&chromium).and(deflate).and(chat)
}

fn chat(chromium: &Path) -> Result<(), Failure> {
    say("browser: two pages of each chat in Chromium");
    let log = place::logs().join("browser.log");
    let result = succeed_within(
        Command::new("node")
            .current_dir(place::clients())
            .args(["--test", "--test-reporter=spec"])
            .args(["browser/chat.test.mjs", "browser/first.test.mjs"])
            .env("CHAT", place::program("examples/chat"))
            .env("FIRST", place::program("examples/first"))
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

fn weather(chromium: &Path) -> Result<(), Failure> {
    say("browser: clients of two generations in bad weather");
    let log = place::logs().join("browser-weather.log");
    let result = succeed_within(
        Command::new("node")
            .current_dir(place::clients())
            .args(["--test", "--test-reporter=spec", "browser/weather.test.mjs"])
            .env("CHROMIUM", chromium)
            .env("CLIENTS_NPM", place::npm())
            .env("SERVER", place::program("conformance-server")),
        Duration::from_secs(300),
        &log,
    );
    print!("{}", fs::read_to_string(&log)?);
    result
}

fn deflate(chromium: &Path) -> Result<(), Failure> {
    say("browser: compressed messages in Chromium");
    for mode in ["1", "2"] {
        let mut command = Command::new(place::program("conformance-server"));
        command
            .env("PMD", mode)
            .env("SIO_CLIENT_DIR", place::browser_client());
        // A page has more to do than to answer pings.
        for timeout in ["PING_TIMEOUT", "CONNECT_TIMEOUT", "UPGRADE_TIMEOUT"] {
            command.env(timeout, "5000");
        }
        let log = place::logs().join(format!("server-for-browser-{mode}.log"));
        let server = Server::start(&mut command, log)?;
        let log = place::logs().join(format!("browser-deflate-{mode}.log"));
        let result = succeed_within(
            Command::new("node")
                .current_dir(place::clients())
                .args(["--test", "--test-reporter=spec", "browser/deflate.test.mjs"])
                .env("SIO_URL", server.url())
                .env("PMD", mode)
                .env("CHROMIUM", chromium)
                .env("CLIENTS_NPM", place::npm()),
            Duration::from_secs(120),
            &log,
        );
        print!("{}", fs::read_to_string(&log)?);
        result?;
        server.stop()?;
    }
    Ok(())
}
