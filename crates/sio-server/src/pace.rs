//! How often something may happen: so many times in a second in the long run, so many times at once after
//! a time without any.

use std::time::Instant;

const NANOS: u64 = 1_000_000_000;

/// A rate, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From one to the next, in the long run.
    step: u64,
    /// How far the next may be ahead of that.
    burst: u64,
}

impl Pace {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let step = NANOS / u64::from(per_second.max(1));
        let burst = step * u64::from(burst.max(1));
        Self { step, burst }
    }

    /// When all that has come is worn off, with one more that comes at `now`; `None` if it comes too
    /// soon. Both in nanoseconds since some instant.
    pub(crate) fn next(self, worn_off: u64, now: u64) -> Option<u64> {
        let worn_off = worn_off.max(now) + self.step;
        (worn_off <= now + self.burst).then_some(worn_off)
    }
}

/// What has come from one source.
#[derive(Debug)]
pub(crate) struct Meter {
    epoch: Instant,
    /// When all of it is worn off.
    worn_off: u64,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            worn_off: 0,
        }
    }

    /// Counts one more, unless it comes too soon.
    pub(crate) fn pass(&mut self, pace: Pace, now: Instant) -> bool {
        let next = pace.next(self.worn_off, nanos(self.epoch, now));
        self.worn_off = next.unwrap_or(self.worn_off);
        next.is_some()
    }
}

/// Nanoseconds from one instant to another.
pub(crate) fn nanos(epoch: Instant, now: Instant) -> u64 {
    let passed = now.saturating_duration_since(epoch).as_nanos();
    u64::try_from(passed).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_at_once_then_the_rate_and_a_burst_again_after_a_rest() {
        let start = Instant::now();
        let (mut meter, pace) = (Meter::new(start), Pace::new(10, 5));
        let mut passed = |at: u64, times: usize| {
            let now = start + Duration::from_millis(at);
            (0..times).filter(|_| meter.pass(pace, now)).count()
        };
        assert_eq!(passed(0, 4), 4);
        assert_eq!(passed(0, 1), 1);
        assert_eq!(passed(0, 100), 0, "what is refused does not count");
        assert_eq!(passed(99, 1), 0);
        assert_eq!(passed(100, 2), 1);
        assert_eq!(passed(1000, 10), 5);
    }
}
