//! Names: finding the slot that goes by a name, by a hash nobody outside can aim at.

use std::hash::Hasher as _;

use foldhash::{SharedSeed, fast::FoldHasher};
use hashbrown::{HashTable, hash_table::Entry};

use crate::slots::excess;

/// What makes our hashes ours. Names come from clients, who must not know how to collide.
#[derive(Debug)]
pub(crate) struct Seed {
    shared: SharedSeed,
    /// What each hash begins with. Zero would do for nobody: what is hashed is multiplied with it, and
    /// the seven highest bits, by which a table tells its entries apart before it looks at names,
    /// would be the same for all short names.
    start: u64,
}

/// Slots by name. The names stay with their owners, each in memory once; whoever calls can read the
/// name of a slot and so its hash.
#[derive(Debug)]
pub(crate) struct Names {
    slots: HashTable<u32>,
}

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            shared: SharedSeed::from_u64(seed),
            // The golden ratio: not zero for any seed that an attacker could hope for.
            start: seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Hashes the bytes alone: a name is the whole key, so no mark of its end is mixed in.
    #[inline]
    pub(crate) fn hash(&self, name: &str) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.start, &self.shared);
        hasher.write(name.as_bytes());
        hasher.finish()
    }
}

impl Names {
    pub(crate) const fn new() -> Self {
        Self {
            slots: HashTable::new(),
        }
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.slots.find(hash, |&slot| is_it(slot)).copied()
    }

    /// The name of this hash, which `is_it` recognises, means `slot` from now on.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        slot: u32,
        mut is_it: impl FnMut(u32) -> bool,
        hash_of: impl Fn(u32) -> u64,
    ) {
        match self
            .slots
            .entry(hash, |&slot| is_it(slot), |&slot| hash_of(slot))
        {
            Entry::Occupied(mut entry) => *entry.get_mut() = slot,
            Entry::Vacant(entry) => drop(entry.insert(slot)),
        }
    }

    /// Forgets the slot, unless its name means another by now.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        if let Ok(entry) = self.slots.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        if let Some(capacity) = excess(self.slots.len(), self.slots.capacity()) {
            self.slots.shrink_to(capacity, |&slot| hash_of(slot));
        }
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn short_names_differ_in_the_bits_that_a_table_looks_at_first() {
        for seed in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let seed = Seed::new(seed);
            for names in ["r", "room", "room-", "a room with a long name "] {
                let tags: HashSet<u64> = (0..200)
                    .map(|room| seed.hash(&format!("{names}{room}")) >> 57)
                    .collect();
                // Of 128: by chance some are missing, and never most.
                assert!(tags.len() > 64, "{} tags of {names}…", tags.len());
            }
        }
    }

    #[test]
    fn another_seed_gives_other_hashes() {
        assert_ne!(Seed::new(1).hash("lobby"), Seed::new(2).hash("lobby"));
        assert_eq!(Seed::new(1).hash("lobby"), Seed::new(1).hash("lobby"));
    }
}
