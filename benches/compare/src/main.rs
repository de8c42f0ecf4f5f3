//! The WebSocket libraries there are, without sockets, on the same bytes: decoding what clients send,
//! encoding what a server sends, masking, permessage-deflate. `cargo xtask bench ws` runs it and puts
//! what it prints into `docs/BENCHMARKING.md`.
//!
//! Every repetition meets every library before the next begins, and of all repetitions the least counts.
//! What is decoded is checked before it is measured.

mod case;
mod count;
mod limit;
mod masking;
mod ours;
mod peer;
mod peers;
mod table;
mod wire;

use case::{Case, Content, Takeover};
use count::{Cost, Meter};
use peer::{Flush, Peer};
use table::Table;

const HELP: &str = "\
compare [--reps N] [--bytes N] [--what PART,...] [--peers NAME,...] [--case TEXT]

    --reps N     repetitions, of which the least counts; 15
    --bytes N    bytes of payload in a round; 2097152
    --what       decode, encode, mask, deflate; all of them
    --peers      those whose names contain one of these, and the limit; all
    --case TEXT  those cases whose name contains it; all
";

struct Options {
    reps: usize,
    bytes: usize,
    what: String,
    peers: Option<String>,
    case: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(options) = options()? else {
        print!("{HELP}");
        return Ok(());
    };
    let mut peers = peers::all();
    if let Some(wanted) = &options.peers {
        let wanted = |name: &str| wanted.split(',').any(|word| name.contains(word));
        peers.retain(|peer| peer.name() == "limit" || wanted(peer.name()));
    }
    println!("Versions: {}.", versions(&peers));
    let mut meter = Meter::new()?;
    if options.what.contains("decode") {
        print!("{}", decode(&peers, &mut meter, &options));
    }
    if options.what.contains("encode") {
        print!("{}", encode(&peers, &mut meter, &options));
    }
    if options.what.contains("mask") {
        print!("{}", masking::measure(&peers, &mut meter, options.reps));
    }
    if options.what.contains("deflate") {
        print!("{}", deflate(&peers, &mut meter, &options));
    }
    Ok(())
}

fn options() -> Result<Option<Options>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut options = Options {
        reps: 15,
        bytes: 2 << 20,
        what: "decode,encode,mask,deflate".to_owned(),
        peers: None,
        case: String::new(),
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("reps") => options.reps = args.value()?.parse()?,
            Long("bytes") => options.bytes = args.value()?.parse()?,
            Long("what") => options.what = args.value()?.string()?,
            Long("peers") => options.peers = Some(args.value()?.string()?),
            Long("case") => options.case = args.value()?.string()?,
            Long("help") | Short('h') => return Ok(None),
            arg => return Err(arg.unexpected()),
        }
    }
    Ok(Some(options))
}

fn decode(peers: &[Box<dyn Peer>], meter: &mut Meter, options: &Options) -> String {
    let mut table = Table::new("Receiving a message");
    for (content, size) in [
        (Content::Binary, 16),
        (Content::Ascii, 16),
        (Content::Ascii, 125),
        (Content::Binary, 1 << 10),
        (Content::Ascii, 1 << 10),
        (Content::Utf8, 1 << 10),
        (Content::Binary, 64 << 10),
        (Content::Ascii, 64 << 10),
        (Content::Utf8, 64 << 10),
        (Content::Binary, 1 << 20),
        (Content::Ascii, 1 << 20),
        (Content::Utf8, 1 << 20),
    ] {
        let case = Case::new(content, size, options.bytes.max(8 * size));
        if !case.name.contains(&options.case) {
            continue;
        }
        for peer in peers {
            let seen = peer.decode(&case);
            assert_eq!(seen, limit::Limit.decode(&case), "{}", peer.name());
        }
        let costs = least(peers, options.reps, |peer| {
            Some(meter.cost(case.count, || peer.decode(&case)).0)
        });
        table.column(&case.name, &costs);
    }
    table.print(&[table::INSTRUCTIONS, table::CYCLES])
}

fn encode(peers: &[Box<dyn Peer>], meter: &mut Meter, options: &Options) -> String {
    let mut out = String::new();
    for (flush, title) in [
        (Flush::AtTheEnd, "Sending a message"),
        (Flush::Each, "Sending a message to each of many"),
    ] {
        let mut table = Table::new(title);
        for (content, size) in [
            (Content::Binary, 16),
            (Content::Ascii, 125),
            (Content::Binary, 1 << 10),
            (Content::Binary, 16 << 10),
            (Content::Binary, 64 << 10),
            (Content::Binary, 1 << 20),
        ] {
            let case = Case::new(content, size, options.bytes.max(8 * size));
            if !case.name.contains(&options.case) {
                continue;
            }
            let costs = least(peers, options.reps, |peer| {
                Some(meter.cost(case.count, || peer.encode(&case, flush)).0)
            });
            let bytes = |at: usize| costs[at].1.map(|cost: Cost| cost.bytes);
            assert!(
                (0..costs.len()).all(|at| bytes(at) == bytes(0)),
                "{costs:?}"
            );
            table.column(&case.name, &costs);
        }
        out += &table.print(&[table::INSTRUCTIONS, table::CYCLES, table::WRITES]);
    }
    out
}

fn deflate(peers: &[Box<dyn Peer>], meter: &mut Meter, options: &Options) -> String {
    let mut inflating = Table::new("Inflating a message");
    let mut deflating = Table::new("Deflating a message");
    for (takeover, window) in [(Takeover::No, "new window"), (Takeover::Yes, "kept window")] {
        for size in [128, 1 << 10, 64 << 10] {
            let case = Case::new(Content::Varied, size, options.bytes / 4);
            if !case.name.contains(&options.case) {
                continue;
            }
            let name = format!("{}, {window}", case::bytes(size));
            let compressed = case.compressed(takeover);
            let whole = limit::Limit.inflate(&compressed, takeover);
            for peer in peers {
                let seen = peer.inflate(&compressed, takeover);
                assert!(seen.is_none() || seen == whole, "{}", peer.name());
            }
            let costs = least(peers, options.reps, |peer| {
                let (cost, done) = meter.cost(case.count, || peer.inflate(&compressed, takeover));
                done.map(|_| cost)
            });
            inflating.column(&name, &costs);
            let costs = least(peers, options.reps, |peer| {
                let (cost, done) = meter.cost(case.count, || peer.deflate(&case, takeover));
                done.map(|()| cost)
            });
            deflating.column(&name, &costs);
        }
    }
    let mut out = inflating.print(&[table::INSTRUCTIONS, table::CYCLES]);
    out += &deflating.print(&[table::INSTRUCTIONS, table::CYCLES, table::BYTES]);
    out
}

/// The least that each peer took, all of them met in each repetition.
fn least(
    peers: &[Box<dyn Peer>],
    reps: usize,
    mut cost: impl FnMut(&dyn Peer) -> Option<Cost>,
) -> Vec<(String, Option<Cost>)> {
    let mut least = vec![None; peers.len()];
    for _ in 0..reps {
        for (peer, least) in peers.iter().zip(&mut least) {
            if let Some(cost) = cost(peer.as_ref()) {
                *least = Some(least.unwrap_or(Cost::MOST).least(cost));
            }
        }
    }
    let names = peers.iter().map(|peer| peer.name().to_owned());
    names.zip(least).collect()
}

/// What the lock file says of each package.
fn versions(peers: &[Box<dyn Peer>]) -> String {
    let lock = include_str!("../Cargo.lock");
    let mut versions: Vec<String> = Vec::new();
    for package in peers
        .iter()
        .map(|peer| peer.package())
        .chain(["flate2", "zlib-rs"])
    {
        let entry = format!("name = \"{package}\"\nversion = \"");
        let version = lock
            .split(&entry)
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let line = format!("{package} {}", version.unwrap_or("?"));
        if package != "compare" && !versions.contains(&line) {
            versions.push(line);
        }
    }
    versions.join(", ")
}
