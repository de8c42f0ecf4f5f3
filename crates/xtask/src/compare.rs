//! `cargo xtask bench compare`: ours beside the floor and the peers, by one load generator in one run.
//!
//! What is measured comes in parts, each with a place of its own in `docs/BENCHMARKING.md`. A part that
//! was run whole is put there; of anything less the tables are printed and nothing is written. Each
//! repetition meets every server before the next one begins, so that all of them see the same noise.

mod curves;
mod plot;
mod results;
mod scenario;
mod server;
mod table;
mod tails;
mod trial;

use std::{fs, path::PathBuf};

use crate::{
    bench, place,
    run::{Failure, say},
};

use results::Results;
use server::Server;
use trial::Machine;

/// A question, with its cases and whom it is put to.
struct Part {
    name: &'static str,
    /// Unless `--reps` says otherwise.
    reps: usize,
    servers: &'static [Server],
    cases: fn() -> Vec<Case>,
    report: fn(&Results) -> Report,
}

/// What the load generator is told, and to whom it is.
#[derive(Clone)]
struct Case {
    name: String,
    words: String,
}

impl Case {
    /// The name of a curve's point is where it stands on the axis.
    fn of(name: impl ToString, words: String) -> Self {
        let name = name.to_string();
        Self { name, words }
    }
}

/// What a part has found.
struct Report {
    text: String,
    /// Name and content of each figure.
    figures: Vec<(&'static str, String)>,
}

const PARTS: [Part; 8] = [
    table::PART,
    curves::ROOM_SIZE,
    curves::MEMORY,
    curves::LOAD,
    tails::DELIVERY,
    tails::STORM,
    tails::SHARDS,
    tails::TLS,
];

/// What of it is wanted.
struct Options {
    reps: Option<usize>,
    only: Option<Vec<String>>,
    servers: Option<Vec<String>>,
    scenarios: Option<Vec<String>>,
    is_quick: bool,
    build: bool,
    beside: Option<PathBuf>,
}

pub(crate) fn run(args: &mut lexopt::Parser) -> Result<(), Failure> {
    let mut options = options(args)?;
    if options.scenarios.is_some() && options.only.is_none() {
        options.only = Some(vec![table::PART.name.to_owned()]);
    }
    let parts = named(&PARTS, options.only.as_deref(), |part| part.name)?;
    let is_whole = options.servers.is_none()
        && options.scenarios.is_none()
        && options.beside.is_none()
        && !options.is_quick;

    let mut work = Vec::new();
    for part in parts {
        let mut servers = match &options.servers {
            // Whoever is asked for by name may meet a part that is not theirs.
            Some(wanted) => named(&Server::ALL, Some(wanted), |server| server.key())?,
            None => part.servers.iter().collect(),
        };
        if options.beside.is_some() && !servers.contains(&&Server::Beside) {
            servers.push(&Server::Beside);
        }
        let all = (part.cases)();
        let cases = named(&all, options.scenarios.as_deref(), |case| &case.name)?;
        let cases: Vec<Case> = cases.into_iter().cloned().collect();
        work.push((part, servers, cases));
    }
    let mut servers: Vec<Server> = Vec::new();
    for server in work.iter().flat_map(|(_, servers, _)| servers) {
        if !servers.contains(server) {
            servers.push(**server);
        }
    }
    if options.build {
        server::install(&servers)?;
    }
    if servers.contains(&Server::Beside) && options.beside.is_none() {
        return Err(Failure::new("which program? --beside PATH names it"));
    }
    fs::create_dir_all(folder())?;
    let machine = Machine::look(options.beside.take())?;

    let mut failures = Vec::new();
    for (part, servers, cases) in work {
        let reps = options
            .reps
            .unwrap_or(if options.is_quick { 1 } else { part.reps });
        say(format!("{}: {reps} repetitions", part.name));
        let mut results = Results::default();
        trial::run(
            &machine,
            &servers,
            &cases,
            reps,
            options.is_quick,
            &mut results,
        )?;
        keep(part.name, &results)?;
        failures.extend(
            results
                .failures()
                .map(|line| format!("{}: {line}", part.name)),
        );
        publish(part, &results, &machine, reps, is_whole)?;
    }
    if !failures.is_empty() {
        say(format!("{} runs failed", failures.len()));
        println!("{}", failures.join("\n"));
    }
    if failures.iter().any(|line| line.contains("ours")) {
        return Err(Failure::new("a run of ours failed"));
    }
    Ok(())
}

fn options(args: &mut lexopt::Parser) -> Result<Options, Failure> {
    use lexopt::prelude::*;

    let mut options = Options {
        reps: None,
        only: None,
        servers: None,
        scenarios: None,
        is_quick: false,
        build: true,
        beside: None,
    };
    while let Some(arg) = args.next()? {
        match arg {
            Long("only") => options.only = Some(list(args)?),
            Long("servers") => options.servers = Some(list(args)?),
            Long("scenarios") => options.scenarios = Some(list(args)?),
            Long("reps") => options.reps = Some(args.value()?.parse()?),
            Long("quick") => options.is_quick = true,
            Long("beside") => options.beside = Some(args.value()?.into()),
            Long("no-build") => options.build = false,
            arg => return Err(arg.unexpected().into()),
        }
    }
    Ok(options)
}

fn list(args: &mut lexopt::Parser) -> Result<Vec<String>, Failure> {
    use lexopt::ValueExt;

    let names = args.value()?.string()?;
    Ok(names.split(',').map(str::to_owned).collect())
}

/// Those of `all` that are wanted, or all of them; in the order in which they stand there.
fn named<'a, T>(
    all: &'a [T],
    wanted: Option<&[String]>,
    name: impl Fn(&T) -> &str,
) -> Result<Vec<&'a T>, Failure> {
    let Some(wanted) = wanted else {
        return Ok(all.iter().collect());
    };
    for one in wanted {
        if !all.iter().any(|known| name(known) == one) {
            let known = all.iter().map(&name).collect::<Vec<_>>().join(", ");
            return Err(Failure::new(format!("{one}? There are: {known}")));
        }
    }
    let is_wanted = |known: &&T| wanted.iter().any(|one| one == name(known));
    Ok(all.iter().filter(is_wanted).collect())
}

/// Where what the load generator said is kept, and figures that are not for the documents.
fn folder() -> PathBuf {
    place::xtask().join("compare")
}

fn keep(part: &str, results: &Results) -> Result<(), Failure> {
    Ok(fs::write(
        folder().join(format!("{part}.jsonl")),
        results.lines(),
    )?)
}

fn publish(
    part: &Part,
    results: &Results,
    machine: &Machine,
    reps: usize,
    is_whole: bool,
) -> Result<(), Failure> {
    let report = (part.report)(results);
    let root = place::root();
    let figures = if is_whole {
        root.join("docs/figures")
    } else {
        folder()
    };
    fs::create_dir_all(&figures)?;
    for (name, content) in &report.figures {
        fs::write(figures.join(name), content)?;
    }
    if !is_whole {
        println!("{}", report.text);
        return Ok(());
    }
    let repetitions = if reps == 1 {
        "repetition"
    } else {
        "repetitions"
    };
    let text = format!(
        "{} {reps} {repetitions}; {machine}.{}\n\n{}",
        bench::circumstances(&root),
        server::versions(part.servers),
        report.text.trim(),
    );
    bench::put(&format!("compare, {}", part.name), &text)?;
    say(format!(
        "docs/BENCHMARKING.md has the new part {}",
        part.name
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_place_in_the_document() {
        let document = fs::read_to_string(place::root().join("docs/BENCHMARKING.md"));
        let document = document.expect("the document is there");
        for part in &PARTS {
            let (begin, end) = bench::marks(&format!("compare, {}", part.name));
            assert!(
                document.contains(&begin) && document.contains(&end),
                "{}",
                part.name
            );
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let wanted = ["pythom".to_owned()];
        let said = named(&Server::ALL, Some(&wanted), |server| server.key());
        let said = said.expect_err("there is none of that name").to_string();
        assert!(
            said.contains("pythom?") && said.contains("python"),
            "{said}"
        );
    }
}
