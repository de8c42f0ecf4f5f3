//! How cost grows: with the room, with the number of connections, with the load.

use super::{
    Case, Part, Report,
    plot::{Axis, Plot, Scale},
    results::{Results, Sample, field, number},
    server::Server,
};

/// Everybody but Python, whose connections alone would take minutes.
const SERVERS: &[Server] = &[
    Server::Floor,
    Server::Listen,
    Server::Socketioxide,
    Server::Bun,
    Server::Node,
];

pub(super) const ROOM_SIZE: Part = Part {
    name: "room size",
    reps: 2,
    servers: SERVERS,
    cases: || {
        let sizes = [10_u32, 100, 1_000, 5_000, 10_000, 15_000];
        let case = |size: u32| {
            // As many deliveries each time, so that a small room is as well known as a large one.
            let count = (60_000 / size).clamp(8, 2_000);
            let words = format!("broadcast --conns {size} --size 32 --count {count} --max-secs 4");
            Case::of(size, words)
        };
        sizes.map(case).into()
    },
    report: |results| {
        let title = "What a delivery costs in rooms of different sizes";
        let axes = [
            Axis {
                label: "receivers of a broadcast",
                scale: Scale::Logarithmic,
            },
            Axis {
                label: "user instructions for each delivery",
                scale: Scale::Logarithmic,
            },
        ];
        let curve = Curve {
            field: field::USER,
            value: Sample::median,
        };
        Report {
            text: format!(
                "User instructions for each delivery of a broadcast of 32 B, by receivers; medians.\n\n\
                 ![{title}](figures/room-size.svg)\n\n{}",
                curve.table(results)
            ),
            figures: vec![("room-size.svg", curve.svg(results, title, axes))],
        }
    },
};

pub(super) const MEMORY: Part = Part {
    name: "memory",
    reps: 1,
    servers: SERVERS,
    cases: || {
        let counts = [1_000_u32, 3_000, 6_000, 9_000];
        let case = |count| {
            let words = format!("connect --conns {count} --inflight 128 --settle 0.5");
            Case::of(count, words)
        };
        counts.map(case).into()
    },
    report: |results| {
        let title = "Memory of an idle connection";
        let axes = [
            Axis {
                label: "connections",
                scale: Scale::Linear,
            },
            Axis {
                label: "resident bytes for each, after a message of 1 KiB",
                scale: Scale::Logarithmic,
            },
        ];
        let curve = Curve {
            field: field::MEMORY,
            value: Sample::median,
        };
        Report {
            text: format!(
                "Growth of resident memory for each idle connection in bytes, by connections; each has \
                 sent and received a message of 1 KiB.\n\n![{title}](figures/memory.svg)\n\n{}",
                curve.table(results)
            ),
            figures: vec![("memory.svg", curve.svg(results, title, axes))],
        }
    },
};

pub(super) const LOAD: Part = Part {
    name: "load",
    reps: 2,
    servers: SERVERS,
    cases: || {
        let rates = [1_000_u32, 5_000, 20_000, 50_000, 100_000, 150_000, 200_000];
        let case = |rate| {
            let words = format!("paced --rate {rate} --conns 50 --size 32 --secs 0.6 --warm 0.2");
            Case::of(rate, words)
        };
        rates.map(case).into()
    },
    report: |results| {
        let axes = |label| {
            [
                Axis {
                    label: "echoes with ack offered, per second",
                    scale: Scale::Logarithmic,
                },
                Axis {
                    label,
                    scale: Scale::Logarithmic,
                },
            ]
        };
        let curve = |field| Curve {
            field,
            value: Sample::least,
        };
        let (half, most) = (curve("p50_us"), curve("p99_us"));
        let titles = [
            "Half of the answers are there within",
            "99 of 100 answers are there within",
        ];
        Report {
            text: format!(
                "How long an echo of 32 B with ack takes, in µs from when it was due, by echoes offered per \
                 second on 50 sockets; the least of the repetitions, since other work on the machine only \
                 adds to it. A curve ends where its server fell behind.\n\nHalf of the answers:\n\n\
                 ![{}](figures/load-p50.svg)\n\n{}\n99 of 100 answers:\n\n![{}](figures/load-p99.svg)\n\n{}",
                titles[0],
                half.table(results),
                titles[1],
                most.table(results),
            ),
            figures: vec![
                (
                    "load-p50.svg",
                    half.svg(results, titles[0], axes("µs, p50")),
                ),
                (
                    "load-p99.svg",
                    most.svg(results, titles[1], axes("µs, p99")),
                ),
            ],
        }
    },
};

/// A value of every case, for everybody.
struct Curve {
    field: &'static str,
    /// Which of the repetitions.
    value: fn(&Sample) -> Option<f64>,
}

impl Curve {
    fn points(&self, results: &Results, server: Server) -> Vec<(f64, Option<f64>)> {
        let cases = results.cases().into_iter();
        let point = |case: &str| {
            // Who fell behind has an answer, but none that means something.
            let fell = results.was_behind(case, server);
            let value = (self.value)(&results.sample(case, server, self.field));
            Some((case.parse().ok()?, value.filter(|_| !fell)))
        };
        cases.filter_map(point).collect()
    }

    fn svg(&self, results: &Results, title: &str, [x, y]: [Axis<'_>; 2]) -> String {
        let line = |server: Server| {
            let points = self.points(results, server).into_iter();
            let there = points.filter_map(|(at, value)| Some((at, value?)));
            // There is no logarithm of nothing.
            (server, there.filter(|(_, value)| *value > 0.0).collect())
        };
        let lines = results.servers().into_iter().map(line);
        Plot {
            title,
            x,
            y,
            lines: lines
                .filter(|(_, points): &(_, Vec<_>)| !points.is_empty())
                .collect(),
        }
        .svg()
    }

    fn table(&self, results: &Results) -> String {
        let cases = results.cases().into_iter();
        let heads: Vec<_> = cases.map(|case| number(case.parse().ok())).collect();
        let mut text = format!(
            "| | {} |\n|---|{}\n",
            heads.join(" | "),
            "---:|".repeat(heads.len())
        );
        for server in results.servers() {
            let points = self.points(results, server).into_iter();
            let cells: Vec<_> = points.map(|(_, value)| number(value)).collect();
            text += &format!("| {} | {} |\n", server.title(), cells.join(" | "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_curve_ends_where_its_server_fell_behind() {
        let mut results = Results::default();
        for (rate, behind) in [("1000", false), ("2000", true)] {
            let said = json!({ "p50_us": 80.0, "p99_us": 200.0, "behind": behind });
            results.add(rate, Server::Listen, Ok(said));
        }
        results.add(
            "5000",
            Server::Floor,
            Ok(json!({ "p50_us": 70.0, "p99_us": 90.0 })),
        );
        let report = (LOAD.report)(&results);
        assert!(
            report.text.contains("| ours | 80.0 | – | – |"),
            "{}",
            report.text
        );
        assert!(
            report.text.contains("| floor | – | – | 70.0 |"),
            "{}",
            report.text
        );
        assert_eq!(report.figures.len(), 2);
    }

    #[test]
    fn what_is_not_counted_makes_no_line() {
        let mut results = Results::default();
        results.add("10", Server::Listen, Ok(json!({ field::USER: 0.0 })));
        let report = (ROOM_SIZE.report)(&results);
        assert!(
            !report.figures[0].1.contains("NaN"),
            "{}",
            report.figures[0].1
        );
    }
}
