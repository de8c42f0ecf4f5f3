//! Slots: stable keys for values that move about in a dense array.

/// Names a value for as long as it lives, and nothing afterwards.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    generation: u32,
}

/// Where each slot's value stands at the moment. Eight bytes for every value of the fullest hour:
/// these are not given back, or a stale id could meet its own number again.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    /// Head of the list of free slots, [`NONE`] at its end.
    free: u32,
}

#[derive(Debug)]
struct Slot {
    /// Counts the values that stood here; an id of another generation finds nobody.
    generation: u32,
    /// Where the value stands; of a free slot, the next free one.
    place: u32,
}

const NONE: u32 = u32::MAX;

impl Slots {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
        }
    }

    /// The place of the value, unless it is gone.
    #[inline]
    pub(crate) fn place(&self, id: Key) -> Option<usize> {
        let slot = self.slots.get(id.slot as usize)?;
        (slot.generation == id.generation).then_some(slot.place as usize)
    }

    /// The place of a slot that is known to be in use.
    #[inline]
    pub(crate) fn place_of(&self, slot: u32) -> usize {
        self.slots[slot as usize].place as usize
    }

    /// A slot for the value at `place`.
    ///
    /// # Panics
    ///
    /// At 2³² − 1 slots.
    pub(crate) fn insert(&mut self, place: u32) -> Key {
        if let Some(slot) = self.slots.get_mut(self.free as usize) {
            let id = Key {
                slot: self.free,
                generation: slot.generation,
            };
            self.free = std::mem::replace(&mut slot.place, place);
            return id;
        }
        let slot = narrow(self.slots.len());
        self.slots.push(Slot {
            generation: 0,
            place,
        });
        Key {
            slot,
            generation: 0,
        }
    }

    /// Frees the slot of `id` and tells where its value stands.
    pub(crate) fn remove(&mut self, id: Key) -> Option<usize> {
        let place = self.place(id)?;
        let slot = &mut self.slots[id.slot as usize];
        slot.generation += 1;
        // The last generation is never given out: a slot that has counted to its end retires.
        if slot.generation < u32::MAX {
            slot.place = std::mem::replace(&mut self.free, id.slot);
        }
        Some(place)
    }

    /// The value of a slot in use stands elsewhere now.
    pub(crate) fn moved(&mut self, slot: u32, place: u32) {
        self.slots[slot as usize].place = place;
    }
}

/// An index as it is stored. No table of ours can grow to 2³² − 1 entries within 100 GiB.
///
/// # Panics
///
/// At 2³² − 1.
#[inline]
pub(crate) fn narrow(index: usize) -> u32 {
    u32::try_from(index)
        .ok()
        .filter(|&index| index != NONE)
        .expect("fewer than 2³² - 1 entries")
}

/// Gives memory back as [`excess`] says.
pub(crate) fn shrink<T>(values: &mut Vec<T>) {
    if let Some(capacity) = excess(values.len(), values.capacity()) {
        values.shrink_to(capacity);
    }
}

/// The capacity to shrink to, if it is time to: when three quarters of more than [`KEPT`] are free. As
/// much again as is used stays free, so whoever comes and goes at the edge causes no allocation; nor
/// does a crowd of a few dozen that comes and goes as a whole.
pub(crate) fn excess(len: usize, capacity: usize) -> Option<usize> {
    (capacity > KEPT && len < capacity / 4).then(|| (len * 2).next_power_of_two().max(KEPT))
}

/// Entries for which memory is kept, however few there are.
const KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_never_finds_the_next_user_of_its_slot() {
        let mut slots = Slots::new();
        let first = slots.insert(7);
        assert_eq!(slots.remove(first), Some(7));
        let second = slots.insert(8);
        assert_eq!(first.slot, second.slot);
        assert_eq!(slots.place(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.place(second), Some(8));
    }

    #[test]
    fn a_slot_retires_before_its_generations_repeat() {
        let mut slots = Slots::new();
        let first = slots.insert(0);
        slots.slots[0].generation = u32::MAX - 1;
        let last = Key {
            slot: first.slot,
            generation: u32::MAX - 1,
        };
        assert_eq!(slots.remove(last), Some(0));
        assert_eq!(slots.insert(0).slot, 1);
    }

    #[test]
    fn free_slots_are_used_before_new_ones() {
        let mut slots = Slots::new();
        let ids: Vec<_> = (0..4).map(|place| slots.insert(place)).collect();
        slots.remove(ids[1]);
        slots.remove(ids[3]);
        let mut again = [slots.insert(9).slot, slots.insert(9).slot];
        again.sort_unstable();
        assert_eq!(again, [1, 3]);
        assert_eq!(slots.insert(9).slot, 4);
    }
}
