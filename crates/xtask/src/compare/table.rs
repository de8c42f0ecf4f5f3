//! What an operation costs, scenario by scenario: ours beside the floor and every peer.

use std::fmt::Write as _;

use super::{
    Part, Report, plot,
    results::{Results, field, number},
    scenario::{self, SCENARIOS, Scenario},
    server::Server,
};

pub(super) const PART: Part = Part {
    name: "table",
    reps: 3,
    servers: &[
        Server::Floor,
        Server::FloorJoined,
        Server::Listen,
        Server::Axum,
        Server::Socketioxide,
        Server::Bun,
        Server::Node,
        Server::Python,
    ],
    cases: scenario::cases,
    report,
};

fn report(results: &Results) -> Report {
    let mut text = summary(results);
    for (title, field) in [
        ("User instructions", field::USER),
        ("Kernel instructions", field::KERNEL),
    ] {
        text += &format!("\n{title} for each operation: median (least–most).\n\n");
        text += &matrix(results, |case, server| {
            results.sample(case, server, field).spread()
        });
    }
    text += "\nCPU time for each operation in µs: least / median.\n\n";
    text += &matrix(results, |case, server| {
        let sample = results.sample(case, server, field::CPU);
        let (least, median) = (number(sample.least()), number(sample.median()));
        format!("{least} / {median}")
    });
    let mut figures = Vec::new();
    if let Some(svg) = overview(results) {
        text +=
            "\n![Instructions of each scenario, in multiples of the floor](figures/compare.svg)\n";
        figures.push(("compare.svg", svg));
    }
    Report { text, figures }
}

/// The scenarios that were run, in the order of the table.
fn scenarios(results: &Results) -> impl Iterator<Item = &'static Scenario> {
    let run = results.cases().into_iter().map(str::to_owned);
    let run: Vec<_> = run.collect();
    SCENARIOS
        .iter()
        .filter(move |scenario| run.iter().any(|name| name == scenario.name))
}

/// Ours on its own listener beside the floor, the goal and the best of the peers.
fn summary(results: &Results) -> String {
    let mut text =
        "Instructions for each operation, user + kernel, medians. *Goal* is what ours may take in \
                    user mode; what reaches it is bold. The best peer is the one with the fewest user instructions.\n\n\
                    | scenario | operation | floor | ours | goal | best peer |\n\
                    |---|---|---:|---:|---:|---:|\n"
            .to_owned();
    for scenario in scenarios(results) {
        let median = |server, field: &str| results.sample(scenario.name, server, field).median();
        let both = |server| {
            let user = number(median(server, field::USER));
            format!("{user} + {}", number(median(server, field::KERNEL)))
        };
        let floor = lowest_floor(results, scenario.name);
        let peers = results
            .servers()
            .into_iter()
            .filter(|server| server.is_peer());
        let best = peers
            .filter_map(|server| Some((server, median(server, field::USER)?)))
            .min_by(|one, other| one.1.total_cmp(&other.1));
        let ours = median(Server::Listen, field::USER);
        let is_reached = ours.is_some_and(|ours| ours <= scenario.goal);
        let bold = if is_reached { "**" } else { "" };
        _ = writeln!(
            text,
            "| `{}` | {} | {} | {bold}{}{bold} | {} | {} |",
            scenario.name,
            scenario.operation,
            both(floor),
            both(Server::Listen),
            number(Some(scenario.goal)),
            best.map_or_else(String::new, |(server, _)| {
                format!("{} ({})", both(server), server.title())
            }),
        );
    }
    text
}

/// Who has the fewest user instructions of the two floors.
fn lowest_floor(results: &Results, case: &str) -> Server {
    let user = |server| results.sample(case, server, field::USER).median();
    match (user(Server::Floor), user(Server::FloorJoined)) {
        (Some(floor), Some(joined)) if joined < floor => Server::FloorJoined,
        _ => Server::Floor,
    }
}

/// A row for each scenario, a column for each server.
fn matrix(results: &Results, cell: impl Fn(&str, Server) -> String) -> String {
    let servers = results.servers();
    let titles: Vec<_> = servers.iter().map(|server| server.title()).collect();
    let mut text = format!("| | {} |\n", titles.join(" | "));
    text += &format!("|---|{}\n", "---:|".repeat(servers.len()));
    for case in results.cases() {
        let cells = servers.iter().map(|server| {
            if results.has(case, *server) {
                cell(case, *server)
            } else {
                String::new()
            }
        });
        text += &format!("| `{case}` | {} |\n", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

/// Everybody's instructions in multiples of the floor's.
fn overview(results: &Results) -> Option<String> {
    let both = |case: &str, server| {
        let median = |field| results.sample(case, server, field).median();
        Some(median(field::USER)? + median(field::KERNEL)?).filter(|sum| *sum > 0.0)
    };
    let shown = |server: &Server| {
        let floors = [Server::Floor, Server::FloorJoined];
        !floors.contains(server)
    };
    let servers: Vec<_> = results.servers().into_iter().filter(shown).collect();
    let rows: Vec<_> = scenarios(results)
        .filter_map(|scenario| {
            let floor = both(scenario.name, lowest_floor(results, scenario.name))?;
            let dot = |server: &Server| Some((*server, both(scenario.name, *server)? / floor));
            let dots = servers.iter().filter_map(dot).collect();
            Some((scenario.name.to_owned(), dots))
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    Some(plot::dots(
        "Instructions for each operation, user and kernel together",
        "multiples of the floor's",
        &rows,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn results() -> Results {
        let mut results = Results::default();
        for (server, user) in [
            (Server::Floor, 65),
            (Server::FloorJoined, 9),
            (Server::Listen, 93),
            (Server::Bun, 3_400),
            (Server::Node, 11_160),
        ] {
            let said = json!({ field::USER: user, field::KERNEL: 1_700, field::CPU: 1.5 });
            results.add("bcast1000w8", server, Ok(said));
        }
        results
    }

    #[test]
    fn ours_stands_beside_the_lower_floor_and_the_best_peer() {
        let text = report(&results()).text;
        let row = "| 9.00 + 1,700 | **93.0 + 1,700** | 130 | 3,400 + 1,700 (Bun) |";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains("| | floor | floor, joined | ours | Bun | Node |"),
            "{text}"
        );
    }

    #[test]
    fn a_goal_that_is_missed_is_not_bold() {
        let mut results = Results::default();
        let said = json!({ field::USER: 4_000, field::KERNEL: 1 });
        results.add("echo32", Server::Listen, Ok(said));
        let text = report(&results).text;
        assert!(text.contains("| 4,000 + 1.00 | 3,200 |"), "{text}");
    }

    #[test]
    fn what_the_machine_does_not_count_is_a_dash_and_no_figure() {
        let mut results = Results::default();
        results.add("echo32", Server::Listen, Ok(json!({ field::CPU: 1.5 })));
        let report = report(&results);
        assert!(report.text.contains("| `echo32` | – |"), "{}", report.text);
    }
}
