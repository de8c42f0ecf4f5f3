//! `cargo xtask demo`: the chat on this machine, with the official browser client. With `REDIS_URL` set
//! it runs twice, as two nodes of a cluster.

use std::{env, path::Path, process::Command};

use crate::{
    install::{self, Npm},
    place,
    run::{Failure, say, succeed},
};

pub(crate) fn run() -> Result<(), Failure> {
    install::npm(Npm::Client)?;
    match env::var("REDIS_URL") {
        Ok(url) => on_two_nodes(&url),
        Err(_) => alone(),
    }
}

fn alone() -> Result<(), Failure> {
    build("sio-server", "chat")?;
    println!("\nThe chat will be on http://127.0.0.1:5000 (open it twice; Ctrl-C ends it).\n");
    succeed(&mut chat(&place::program("examples/chat")))
}

fn on_two_nodes(url: &str) -> Result<(), Failure> {
    build("sio-redis", "chat_nodes")?;
    println!(
        "\nThe chat will be on http://127.0.0.1:5000 and http://127.0.0.1:5001, two nodes on\n{url} \
         (open both; Ctrl-C ends them). What they say of each other follows.\n"
    );
    let program = place::program("examples/chat_nodes");
    let mut second = chat(&program).env("PORT", "5001").spawn()?;
    let first = succeed(chat(&program).env("PORT", "5000"));
    second.kill()?;
    second.wait()?;
    first
}

fn build(package: &str, example: &str) -> Result<(), Failure> {
    say("cargo: building the chat");
    let mut build = Command::new("cargo");
    build.current_dir(place::root());
    build.args([
        "build",
        "--quiet",
        "--package",
        package,
        "--example",
        example,
    ]);
    succeed(&mut build)
}

fn chat(program: &Path) -> Command {
    let mut chat = Command::new(program);
    chat.current_dir(place::root())
        .env("SIO_CLIENT_DIR", place::browser_client());
    chat
}
