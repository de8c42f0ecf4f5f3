//! What a round cost: instructions and cycles of this thread in user mode, and time.

use std::time::Instant;

use perf_event::events::Hardware;
use perf_event::{Builder, Counter, Group};

/// What one operation cost, or the least of what several did.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub instructions: f64,
    pub cycles: f64,
    pub nanoseconds: f64,
}

impl Cost {
    pub const MOST: Self = Self {
        instructions: f64::INFINITY,
        cycles: f64::INFINITY,
        nanoseconds: f64::INFINITY,
    };

    /// Noise only ever adds, so the least is the truth.
    pub fn least(self, other: Self) -> Self {
        Self {
            instructions: self.instructions.min(other.instructions),
            cycles: self.cycles.min(other.cycles),
            nanoseconds: self.nanoseconds.min(other.nanoseconds),
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
        let before = self.group.read().expect("the counters run");
        let begun = Instant::now();
        let done = std::hint::black_box(round());
        let time = begun.elapsed();
        let after = self.group.read().expect("the counters run");
        let each = |counter| (after[counter] - before[counter]) as f64 / count as f64;
        let cost = Cost {
            instructions: each(&self.instructions),
            cycles: each(&self.cycles),
            nanoseconds: time.as_nanos() as f64 / count as f64,
        };
        (cost, done)
    }
}
