//! The scenarios of the table: what the load generator is told, and what we want to reach.

use super::Case;

pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// What one operation is.
    pub(super) operation: &'static str,
    /// The words of `benches/loadgen/README.md`.
    words: &'static str,
    /// User instructions for each operation that ours may take on its own listener.
    pub(super) goal: f64,
}

const fn scenario(
    name: &'static str,
    operation: &'static str,
    words: &'static str,
    goal: f64,
) -> Scenario {
    Scenario {
        name,
        operation,
        words,
        goal,
    }
}

pub(super) const SCENARIOS: [Scenario; 12] = [
    scenario(
        "bcast1000",
        "delivery of a broadcast to 1,000, one at a time",
        "broadcast --conns 1000 --size 32 --count 150 --max-secs 4",
        220.0,
    ),
    scenario(
        "bcast1000w8",
        "the same, eight outstanding",
        "broadcast --conns 1000 --size 32 --count 200 --window 8 --max-secs 4",
        130.0,
    ),
    scenario(
        "bcast5000",
        "delivery of a broadcast to 5,000",
        "broadcast --conns 5000 --size 32 --count 30 --max-secs 6",
        230.0,
    ),
    scenario(
        "rooms",
        "delivery in one of 100 rooms of 10, sixteen outstanding",
        "rooms --conns 1000 --rooms 100 --size 32 --count 10000 --window 16 --max-secs 4",
        600.0,
    ),
    scenario(
        "echo32",
        "echo with ack, 32 B of text, one at a time on each of 50 sockets",
        "echo --conns 50 --depth 1 --size 32 --secs 0.6 --warm 0.5",
        3_200.0,
    ),
    scenario(
        "echo32d16",
        "the same, sixteen outstanding on each",
        "echo --conns 50 --depth 16 --size 32 --secs 0.6 --warm 0.5",
        2_000.0,
    ),
    scenario(
        "echo1k",
        "echo with ack, 1 KiB of text",
        "echo --conns 50 --depth 1 --size 1024 --secs 0.6 --warm 0.5",
        5_000.0,
    ),
    scenario(
        "echo64k",
        "echo with ack, 64 KiB of text",
        "echo --conns 16 --depth 2 --size 65536 --secs 0.6 --warm 0.5",
        110_000.0,
    ),
    scenario(
        "bin64k",
        "echo of an attachment of 64 KiB",
        "echo --mode bin --conns 16 --depth 2 --size 65536 --secs 0.6 --warm 0.5",
        21_000.0,
    ),
    scenario(
        "poll32",
        "echo over long-polling, 32 B: a POST and a GET",
        "polling --conns 50 --size 32 --secs 0.7",
        27_000.0,
    ),
    scenario(
        "churn",
        "connect, five joins with acks, leave",
        "churn --conns 32 --secs 0.7",
        32_000.0,
    ),
    scenario(
        "conn1000",
        "connect, the first thousand",
        "connect --conns 1000 --settle 0.3",
        14_000.0,
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let case = |scenario: &Scenario| Case::of(scenario.name, scenario.words.to_owned());
    SCENARIOS.iter().map(case).collect()
}
