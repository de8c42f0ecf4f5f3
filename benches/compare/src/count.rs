//! What a round cost: instructions and cycles of this thread in user mode, and what it wrote.

use perf_event::events::Hardware;
use perf_event::{Builder, Counter, Group};

use crate::wire;

/// What one operation cost, or the least of what several did.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub instructions: f64,
    pub cycles: f64,
    /// Calls of write.
    pub writes: f64,
    /// Bytes written.
    pub bytes: f64,
}

impl Cost {
    pub const MOST: Self = Self {
        instructions: f64::INFINITY,
        cycles: f64::INFINITY,
        writes: f64::INFINITY,
        bytes: f64::INFINITY,
    };

    /// Noise only ever adds, so the least is the truth.
    pub fn least(self, other: Self) -> Self {
        Self {
            instructions: self.instructions.min(other.instructions),
            cycles: self.cycles.min(other.cycles),
            writes: self.writes.min(other.writes),
            bytes: self.bytes.min(other.bytes),
        }
    }
}

pub struct Meter {
    group: Group,
    instructions: Counter,
    cycles: Counter,
}

impl Meter {
    pub fn new() -> std::io::Result<Self> {
        let mut group = Group::new()?;
        let instructions = group.add(&Builder::new(Hardware::INSTRUCTIONS))?;
        let cycles = group.add(&Builder::new(Hardware::CPU_CYCLES))?;
        group.enable()?;
        Ok(Self {
            group,
            instructions,
            cycles,
        })
    }

    /// What `round` costs for each of the `count` operations it does.
    pub fn cost<T>(&mut self, count: usize, round: impl FnOnce() -> T) -> (Cost, T) {
        wire::written();
        let before = self.group.read().expect("the counters run");
        let done = std::hint::black_box(round());
        let after = self.group.read().expect("the counters run");
        let written = wire::written();
        let each = |sum: u64| sum as f64 / count as f64;
        let cost = Cost {
            instructions: each(after[&self.instructions] - before[&self.instructions]),
            cycles: each(after[&self.cycles] - before[&self.cycles]),
            writes: each(written.calls),
            bytes: each(written.bytes),
        };
        (cost, done)
    }
}
