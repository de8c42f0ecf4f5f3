//! What Criterion measures: time, or what the processor counts of this thread in user mode.
//!
//! On a machine that others use, time tells little: the scheduler takes the core away in the middle of
//! a round. Cycles stop when the thread does, and are disturbed only through shared caches;
//! instructions repeat to a percent.

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// The unit of a run.
#[derive(Debug)]
pub enum Gauge {
    /// Wall-clock time, in nanoseconds.
    Time,
    /// Something that the processor counts.
    Count(Counter),
}

/// A counter of this thread, in user mode.
#[derive(Debug)]
pub struct Counter {
    unit: Unit,
    #[cfg(target_os = "linux")]
    counter: std::cell::RefCell<perf_event::Counter>,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Cycles,
    Instructions,
}

impl Gauge {
    /// The gauge that `BENCH_UNIT` asks for.
    pub(crate) fn from_env() -> Self {
        match std::env::var("BENCH_UNIT").as_deref() {
            Err(_) | Ok("time") => Self::Time,
            Ok("cycles") => Self::Count(Counter::start(Unit::Cycles)),
            Ok("instructions") => Self::Count(Counter::start(Unit::Instructions)),
            Ok(other) => panic!("BENCH_UNIT is {other:?}: none of time, cycles, instructions"),
        }
    }
}

#[cfg(target_os = "linux")]
impl Counter {
    fn start(unit: Unit) -> Self {
        use perf_event::{Builder, events::Hardware};

        let event = match unit {
            Unit::Cycles => Hardware::CPU_CYCLES,
            Unit::Instructions => Hardware::INSTRUCTIONS,
        };
        let counter = Builder::new(event).build().and_then(|mut counter| {
            counter.enable()?;
            Ok(counter)
        });
        let counter = counter.expect("the kernel lets us count (kernel.perf_event_paranoid)");
        Self {
            unit,
            counter: counter.into(),
        }
    }

    fn read(&self) -> u64 {
        self.counter
            .borrow_mut()
            .read()
            .expect("a counter that runs can be read")
    }
}

#[cfg(not(target_os = "linux"))]
impl Counter {
    fn start(_: Unit) -> Self {
        panic!("only Linux counts for us; leave BENCH_UNIT out")
    }

    fn read(&self) -> u64 {
        0
    }
}

/// All values are numbers of the gauge's unit.
impl Measurement for Gauge {
    type Intermediate = Begun;
    type Value = f64;

    fn start(&self) -> Begun {
        match self {
            Self::Time => Begun::Time(std::time::Instant::now()),
            Self::Count(counter) => Begun::Count(counter.read()),
        }
    }

    fn end(&self, begun: Begun) -> f64 {
        match (self, begun) {
            (Self::Count(counter), Begun::Count(begun)) => (counter.read() - begun) as f64,
            (_, Begun::Time(begun)) => begun.elapsed().as_nanos() as f64,
            (Self::Time, Begun::Count(_)) => unreachable!("what began as time ends as time"),
        }
    }

    fn add(&self, one: &f64, other: &f64) -> f64 {
        one + other
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        match self {
            Self::Time => WallTime.formatter(),
            Self::Count(counter) => counter,
        }
    }
}

/// Where a measurement began.
#[derive(Debug)]
pub enum Begun {
    /// Of time.
    Time(std::time::Instant),
    /// Of a count.
    Count(u64),
}

impl ValueFormatter for Counter {
    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        match self.unit {
            Unit::Cycles => "cycles",
            Unit::Instructions => "instructions",
        }
    }

    fn scale_throughputs(
        &self,
        _: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let (amount, unit) = match (throughput, self.unit) {
            (Throughput::Elements(n), Unit::Cycles) => (*n, "cycles/element"),
            (Throughput::Elements(n), Unit::Instructions) => (*n, "instructions/element"),
            (Throughput::Bytes(n) | Throughput::BytesDecimal(n), Unit::Cycles) => (*n, "cycles/B"),
            (Throughput::Bytes(n) | Throughput::BytesDecimal(n), Unit::Instructions) => {
                (*n, "instructions/B")
            }
            _ => (1, "each"),
        };
        values.iter_mut().for_each(|value| *value /= amount as f64);
        unit
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        self.scale_values(0.0, values)
    }
}
