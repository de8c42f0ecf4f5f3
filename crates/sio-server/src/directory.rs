//! Handlers by the names of their events.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// So many names are compared one after the other, which is less work than to hash one; more are hashed.
const FEW: usize = 8;

pub(crate) struct Directory<T> {
    entries: Vec<(Box<str>, T)>,
    /// Where each is among the entries, if they are not few.
    places: HashMap<Box<str>, usize, RandomState>,
}

impl<T> Directory<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            places: HashMap::default(),
        }
    }

    /// Enters `value`, in the place of another of this name.
    pub(crate) fn insert(&mut self, name: &str, value: T) {
        let known = self.entries.iter_mut().find(|(known, _)| **known == *name);
        if let Some((_, known)) = known {
            *known = value;
            return;
        }
        self.entries.push((name.into(), value));
        if self.entries.len() > FEW {
            let names = self.entries.iter().map(|(name, _)| name.clone());
            self.places = names.zip(0..).collect();
        }
    }

    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        let entry = if self.entries.len() <= FEW {
            self.entries.iter().find(|(known, _)| **known == *name)
        } else {
            self.places.get(name).map(|place| &self.entries[*place])
        };
        entry.map(|(_, value)| value)
    }

    #[cfg(feature = "schema")]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name_however_many_there_are() {
        let mut directory = Directory::new();
        for count in 0..3 * FEW {
            for known in 0..count {
                assert_eq!(directory.get(&format!("event {known}")), Some(&known));
            }
            assert_eq!(directory.get(&format!("event {count}")), None);
            assert_eq!(directory.get(""), None);
            directory.insert(&format!("event {count}"), 0);
            directory.insert(&format!("event {count}"), count);
        }
    }
}
