//! What instructions do not tell: cache misses, the last of a broadcast's receivers, a socket that is
//! flooded beside others, a second shard, TLS.

use std::fmt::Write as _;

use super::{
    Case, Part, Report,
    results::{field, number},
    server::Server,
};

pub(super) const DELIVERY: Part = Part {
    name: "delivery",
    reps: 5,
    servers: &[
        Server::Floor,
        Server::Listen,
        Server::Socketioxide,
        Server::Bun,
        Server::Node,
    ],
    cases: || {
        let case = |name, words: &str| Case::of(name, words.to_owned());
        vec![
            case(
                "bcast1000",
                "broadcast --conns 1000 --size 32 --count 300 --max-secs 3",
            ),
            case(
                "bcast5000",
                "broadcast --conns 5000 --size 32 --count 40 --max-secs 3",
            ),
        ]
    },
    report: |results| {
        let mut text = "A broadcast of 32 B, one at a time. Cache misses are for each delivery, medians; the \
                        time until the last receiver has it is in µs, the least and the median of the \
                        repetitions, and in multiples of the floor's.\n\n\
                        | broadcast to | server | user misses | kernel misses | p50 of the last | p99 of the last | over the floor's p99 |\n\
                        |---|---|---:|---:|---:|---:|---:|\n"
            .to_owned();
        for case in results.cases() {
            for server in results.servers() {
                let sample = |field| results.sample(case, server, field);
                let both = |field| {
                    let sample = sample(field);
                    format!("{} / {}", number(sample.least()), number(sample.median()))
                };
                let floor = results.sample(case, Server::Floor, "last_p99_us");
                let last = sample("last_p99_us");
                _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {} | {} / {} |",
                    case.trim_start_matches("bcast"),
                    server.title(),
                    number(sample(field::USER_MISSES).median()),
                    number(sample(field::KERNEL_MISSES).median()),
                    both("last_p50_us"),
                    both("last_p99_us"),
                    number(ratio(last.least(), floor.least())),
                    number(ratio(last.median(), floor.median())),
                );
            }
        }
        Report {
            text,
            figures: Vec::new(),
        }
    },
};

pub(super) const STORM: Part = Part {
    name: "storm",
    reps: 5,
    servers: &[
        Server::Floor,
        Server::Listen,
        Server::Socketioxide,
        Server::Bun,
        Server::Node,
    ],
    cases: || {
        // Who uses a processor for a second at real-time priority is stopped for a twentieth of one: no
        // run is that long.
        let case = |name: &str, storm| Case {
            name: name.to_owned(),
            words: format!(
                "paced --rate 4000 --conns 50 --size 32 --secs 0.6 --warm 0.15 --storm {storm}"
            ),
        };
        vec![case("alone", 0), case("storm", 200)]
    },
    report: |results| {
        let mut text = "Fifty sockets ask for 4,000 echoes a second between them, alone and while one more \
                        socket keeps 200 events in flight. How long the fifty wait, in µs: the least and \
                        the median of the repetitions.\n\n\
                        | server | events of the storm, per second | p50 alone | p50 in the storm | p99 alone | p99 in the storm | p99, times |\n\
                        |---|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
        for server in results.servers() {
            let both = |case, field| {
                let sample = results.sample(case, server, field);
                format!("{} / {}", number(sample.least()), number(sample.median()))
            };
            let [alone, storm] =
                ["alone", "storm"].map(|case| results.sample(case, server, "p99_us"));
            _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} / {} |",
                server.title(),
                number(results.sample("storm", server, "storm_per_s").median()),
                both("alone", "p50_us"),
                both("storm", "p50_us"),
                both("alone", "p99_us"),
                both("storm", "p99_us"),
                number(ratio(storm.least(), alone.least())),
                number(ratio(storm.median(), alone.median())),
            );
        }
        Report {
            text,
            figures: Vec::new(),
        }
    },
};

pub(super) const SHARDS: Part = Part {
    name: "shards",
    reps: 3,
    servers: &[Server::Listen, Server::TwoShards],
    cases: || {
        let case = |name, words: &str| Case::of(name, words.to_owned());
        vec![
            case("echo32", "echo --conns 200 --depth 1 --size 32 --secs 1.5"),
            case(
                "echo64k",
                "echo --conns 200 --depth 1 --size 65536 --secs 1.5",
            ),
            case(
                "bcast1000",
                "broadcast --conns 1000 --size 32 --count 150 --max-secs 4",
            ),
            case(
                "rooms",
                "rooms --conns 1000 --rooms 100 --size 32 --count 10000 --window 16 --max-secs 4",
            ),
        ]
    },
    report: |results| {
        let mut text = "One shard on one processor, and two on two, of which the load generator takes one. \
                        So what two serve is reckoned and not measured: what an operation costs, and how \
                        much of it falls to the busier of the two threads. *Times one* is what two \
                        processors of their own would serve, by instructions.\n\n\
                        | scenario | server | user | kernel | CPU µs, least | the busier thread has | times one |\n\
                        |---|---|---:|---:|---:|---:|---:|\n"
            .to_owned();
        for case in results.cases() {
            for server in results.servers() {
                let median = |server, field| results.sample(case, server, field).median();
                let cost = |server| {
                    let both = median(server, field::USER)? + median(server, field::KERNEL)?;
                    Some(both).filter(|cost| *cost > 0.0)
                };
                let busiest = median(server, "srv_busiest_thread");
                let bound = cost(server).zip(busiest).map(|(cost, share)| cost * share);
                let times = ratio(cost(Server::Listen), bound);
                _ = writeln!(
                    text,
                    "| `{case}` | {} | {} | {} | {} | {} | {} |",
                    server.title(),
                    number(median(server, field::USER)),
                    number(median(server, field::KERNEL)),
                    number(results.sample(case, server, field::CPU).least()),
                    busiest
                        .map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0)),
                    number(times),
                );
            }
        }
        Report {
            text,
            figures: Vec::new(),
        }
    },
};

pub(super) const TLS: Part = Part {
    name: "tls",
    reps: 3,
    servers: &[Server::Listen, Server::Tls],
    cases: || {
        let case = |name, words: &str| Case::of(name, words.to_owned());
        vec![
            case("echo32", "echo --conns 50 --depth 1 --size 32 --secs 1"),
            case("echo32d16", "echo --conns 50 --depth 16 --size 32 --secs 1"),
            case("echo64k", "echo --conns 16 --depth 2 --size 65536 --secs 1"),
            case(
                "bcast1000",
                "broadcast --conns 1000 --size 32 --count 100 --max-secs 3",
            ),
            case(
                "bcast1000w8",
                "broadcast --conns 1000 --size 32 --count 100 --window 8 --max-secs 3",
            ),
            case("conn1000", "connect --conns 1000 --settle 0.3"),
        ]
    },
    report: |results| {
        let mut text = "Our own listener, plain and with TLS by rustls. Instructions \
                        for each operation, medians, and CPU time, the least; memory is what an idle \
                        connection keeps after a message of 1 KiB.\n\n\
                        | scenario | server | user | kernel | CPU µs | resident bytes |\n\
                        |---|---|---:|---:|---:|---:|\n"
            .to_owned();
        for case in results.cases() {
            for server in results.servers() {
                let sample = |field| results.sample(case, server, field);
                let memory = sample(field::MEMORY).median();
                _ = writeln!(
                    text,
                    "| `{case}` | {} | {} | {} | {} | {} |",
                    server.title(),
                    number(sample(field::USER).median()),
                    number(sample(field::KERNEL).median()),
                    number(sample(field::CPU).least()),
                    memory.map_or_else(String::new, |memory| number(Some(memory))),
                );
            }
        }
        Report {
            text,
            figures: Vec::new(),
        }
    },
};

fn ratio(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? / other?)
}

#[cfg(test)]
mod tests {
    use super::{super::results::Results, *};
    use serde_json::json;

    #[test]
    fn the_storm_is_held_against_the_same_server_alone() {
        let mut results = Results::default();
        let said = |p99| json!({ "p50_us": 50.0, "p99_us": p99, "storm_per_s": 400_000 });
        results.add("alone", Server::Listen, Ok(said(100.0)));
        results.add("storm", Server::Listen, Ok(said(150.0)));
        let text = (STORM.report)(&results).text;
        let row =
            "| ours | 400,000 | 50.0 / 50.0 | 50.0 / 50.0 | 100 / 100 | 150 / 150 | 1.50 / 1.50 |";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn two_shards_serve_twice_as_much_only_if_they_share_evenly_and_cost_no_more() {
        let mut results = Results::default();
        let said = |user, share| json!({ field::USER: user, field::KERNEL: 1_000, field::CPU: 1.0, "srv_busiest_thread": share });
        results.add("echo32", Server::Listen, Ok(said(1_000, 1.0)));
        results.add("echo32", Server::TwoShards, Ok(said(1_500, 0.5)));
        let text = (SHARDS.report)(&results).text;
        assert!(
            text.contains("| 1,000 | 1,000 | 1.00 | 100 % | 1.00 |"),
            "{text}"
        );
        assert!(
            text.contains("| 1,500 | 1,000 | 1.00 | 50 % | 1.60 |"),
            "{text}"
        );
    }
}
