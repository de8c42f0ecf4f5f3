//! Where the decisions of a run come from.

use std::ops::Range;
use std::time::Duration;

/// Decisions, either from a seed (endless) or from a tape (a fuzzer's input; zeros at its end).
#[derive(Clone, Debug)]
pub struct Chance<'a> {
    source: Source<'a>,
}

#[derive(Clone, Debug)]
enum Source<'a> {
    Seed(u64),
    Tape(&'a [u8]),
}

impl<'a> Chance<'a> {
    /// Decisions from a seed: the same seed, the same run.
    pub const fn seed(seed: u64) -> Self {
        Self {
            source: Source::Seed(seed),
        }
    }

    /// Decisions from bytes, few bytes for each, so that a fuzzer can change one.
    pub const fn tape(tape: &'a [u8]) -> Self {
        Self {
            source: Source::Tape(tape),
        }
    }

    /// Whether a tape has come to its end. A seed never does.
    pub const fn is_over(&self) -> bool {
        matches!(self.source, Source::Tape([]))
    }

    /// A number below `bound`.
    ///
    /// # Panics
    ///
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        match &mut self.source {
            Source::Seed(state) => split_mix(state) % bound,
            Source::Tape(tape) => {
                let mut number = 0;
                let mut room = 1;
                while room < bound {
                    let (byte, rest) = tape.split_first().unwrap_or((&0, &[]));
                    *tape = rest;
                    number = number << 8 | u64::from(*byte);
                    room <<= 8;
                }
                number % bound
            }
        }
    }

    /// A number within `range`.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// A duration of whole milliseconds within `range`.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// True `percent` times in a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) >= 100 - percent
    }
}

/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_decides_the_same() {
        let run = |seed| {
            let mut chance = Chance::seed(seed);
            [0; 20].map(|_| chance.below(1000))
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn a_tape_is_read_byte_by_byte_and_ends_in_zeros() {
        let mut chance = Chance::tape(&[7, 1, 2]);
        assert_eq!(chance.below(10), 7);
        assert_eq!(chance.below(1), 0, "no decision, no byte");
        assert_eq!(chance.below(65_536), 258);
        assert!(chance.is_over());
        assert_eq!(chance.below(10), 0);
        assert!(!chance.percent(99));
    }

    #[test]
    fn percentages_are_about_right() {
        let mut chance = Chance::seed(3);
        let hits = (0..10_000).filter(|_| chance.percent(30)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| !chance.percent(0)));
        assert!((0..1000).all(|_| chance.percent(100)));
    }
}
