//! How many sockets are in each room of the other nodes, kept up by what they say when that changes.
//!
//! ```text
//!  a ── changes, numbered 1, 2, 3 … ──▶ everybody            b: 1, 2, 4: something is missing
//!  a ── heartbeat, 4 said so far ─────▶ everybody            b: only 3 were heard, likewise
//!  a ◀─ what are all your counts? ───── b
//!  a ── everything, as of 4, in parts ▶ b                    b knows a's counts again
//! ```
//!
//! A node says how many it has, not by how many that has changed: what is heard twice does no harm. What a
//! node that has gone had is forgotten with its lease.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use sio_packet::{Object, Value};

use crate::{DecodeError, fields::Fields};

/// What is counted: everybody of a namespace, or a room of it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Crowd {
    /// The namespace, slash included.
    pub namespace: String,
    /// The room; `None` is everybody.
    pub room: Option<String>,
}

/// By how many the sockets of other nodes have become more, or less.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Where.
    pub crowd: Crowd,
    /// By how many.
    pub by: i64,
}

/// What one node says of its counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Counts {
    /// The number of what was said last, this included.
    pub(crate) seq: u64,
    /// Which part of everything this is, and of how many; `None` is what has changed.
    pub(crate) part: Option<(u64, u64)>,
    pub(crate) crowds: Vec<(Crowd, u64)>,
}

/// Bytes of names in one message, about.
const MAX_NAMES: usize = 32 * 1024;

/// Rooms of one node that others keep, and of all together. Beyond that a node is not counted.
const MAX_CROWDS: usize = 1 << 20;

/// How often a node is asked for everything.
const PATIENCE: Duration = Duration::from_secs(1);

impl Counts {
    pub(crate) fn push(&self, message: &mut Object) {
        message.push("seq", self.seq);
        if let Some((part, of)) = self.part {
            message.push("part", part);
            message.push("of", of);
        }
        let crowds = self.crowds.iter().map(|(crowd, count)| {
            let room = crowd.room.as_deref().map_or(Value::Null, Value::from);
            Value::Array(vec![(&*crowd.namespace).into(), room, (*count).into()])
        });
        message.push("counts", crowds.collect::<Vec<_>>());
    }

    pub(crate) fn read(fields: &mut Fields) -> Result<Self, DecodeError> {
        let field = "counts";
        let mut crowds = Vec::new();
        for crowd in fields.list(field)? {
            let Value::Array(crowd) = crowd else {
                return Err(DecodeError::Field { field });
            };
            let Ok([Value::String(namespace), room, Value::Number(count)]) =
                <[Value; 3]>::try_from(crowd)
            else {
                return Err(DecodeError::Field { field });
            };
            let room = match room {
                Value::Null => None,
                Value::String(room) => Some(room),
                _ => return Err(DecodeError::Field { field }),
            };
            // As many as a sum of all nodes has room for.
            let count = count.as_u64().filter(|count| *count <= u32::MAX.into());
            let count = count.ok_or(DecodeError::Field { field })?;
            crowds.push((Crowd { namespace, room }, count));
        }
        let part = match fields.optional_whole("of")? {
            None => None,
            Some(of) => Some((fields.whole("part")?, of)),
        };
        let seq = fields.whole("seq")?;
        Ok(Self { seq, part, crowds })
    }
}

/// What this node has said, to be said again to whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Own {
    said: u64,
    crowds: HashMap<Crowd, u64>,
    changed: BTreeMap<Crowd, u64>,
}

impl Own {
    /// So many are here now.
    pub(crate) fn set(&mut self, crowd: Crowd, count: u64) {
        match self.crowds.get(&crowd).copied().unwrap_or(0) == count {
            true => self.changed.remove(&crowd),
            false => self.changed.insert(crowd, count),
        };
    }

    /// Nobody is in a namespace any more.
    pub(crate) fn close(&mut self, namespace: &str) {
        let of = |crowd: &Crowd| crowd.namespace == namespace;
        self.changed.retain(|crowd, _| !of(crowd));
        let said = self.crowds.keys().filter(|crowd| of(crowd));
        self.changed.extend(said.map(|crowd| (crowd.clone(), 0)));
    }

    /// The number of what was said last.
    pub(crate) fn said(&self) -> u64 {
        self.said
    }

    /// What has changed since this was asked last.
    pub(crate) fn take_changes(&mut self) -> Vec<Counts> {
        let changed = std::mem::take(&mut self.changed);
        for (crowd, count) in &changed {
            match count {
                0 => self.crowds.remove(crowd),
                _ => self.crowds.insert(crowd.clone(), *count),
            };
        }
        let pieces = pieces(changed.into_iter());
        let pieces = pieces.into_iter().map(|crowds| {
            self.said += 1;
            Counts {
                seq: self.said,
                part: None,
                crowds,
            }
        });
        pieces.collect()
    }

    /// Everything that was said.
    pub(crate) fn whole(&self) -> Vec<Counts> {
        let crowds = self.crowds.iter();
        let mut pieces = pieces(crowds.map(|(crowd, count)| (crowd.clone(), *count)));
        if pieces.is_empty() {
            pieces.push(Vec::new());
        }
        let of = pieces.len() as u64;
        let pieces = pieces.into_iter().zip(0..).map(|(crowds, part)| Counts {
            seq: self.said,
            part: Some((part, of)),
            crowds,
        });
        pieces.collect()
    }
}

fn pieces(crowds: impl Iterator<Item = (Crowd, u64)>) -> Vec<Vec<(Crowd, u64)>> {
    let mut pieces = Vec::new();
    let mut room = 0;
    for (crowd, count) in crowds {
        let len = crowd.namespace.len() + crowd.room.as_ref().map_or(0, String::len) + 16;
        if room < len {
            room = MAX_NAMES;
            pieces.push(Vec::new());
        }
        room = room.saturating_sub(len);
        let piece = pieces.last_mut().expect("there is one when there is room");
        piece.push((crowd, count));
    }
    pieces
}

/// What the others have said.
#[derive(Debug, Default)]
pub(crate) struct Census {
    nodes: HashMap<String, Node>,
    /// Crowds of all of them.
    len: usize,
}

#[derive(Debug, Default)]
struct Node {
    known: Known,
    crowds: HashMap<Crowd, u64>,
    asked: Option<Instant>,
}

/// What of a node's counts is known.
#[derive(Debug, Default)]
enum Known {
    /// Something is missing.
    #[default]
    No,
    /// So many parts of everything as of this number, without what comes next.
    Parts { seq: u64, next: u64 },
    /// Everything up to this number.
    Till(u64),
    /// There is too much of it.
    TooMuch,
}

/// Whether a node is to be asked for everything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ask {
    No,
    Yes,
}

impl Census {
    /// Whether the counts of a node are known.
    pub(crate) fn knows(&self, uid: &str) -> bool {
        let node = self.nodes.get(uid);
        node.is_some_and(|node| matches!(node.known, Known::Till(_)))
    }

    /// A node has said something.
    pub(crate) fn hear(&mut self, uid: &str, counts: Counts, now: Instant) -> (Vec<Change>, Ask) {
        let node = self.nodes.entry(uid.into()).or_default();
        let mut changes = Vec::new();
        let Counts { seq, part, crowds } = counts;
        node.known = match (&node.known, part) {
            (Known::TooMuch, _) => return (changes, Ask::No),
            (_, Some((0, of))) => {
                self.len -= node.crowds.len();
                changes = node.forget();
                match of {
                    1 => Known::Till(seq),
                    _ => Known::Parts { seq, next: 1 },
                }
            }
            (Known::Parts { seq: of_seq, next }, Some((part, of)))
                if seq == *of_seq && part == *next =>
            {
                match part + 1 == of {
                    true => Known::Till(seq),
                    false => Known::Parts {
                        seq,
                        next: part + 1,
                    },
                }
            }
            // It was said before what is known.
            (Known::Till(till), None) if seq <= *till => return (changes, Ask::No),
            (Known::Till(till), None) if seq == *till + 1 => Known::Till(seq),
            _ => {
                node.known = Known::No;
                return (changes, node.ask(now));
            }
        };
        for (crowd, count) in crowds {
            let before = match count {
                0 => node.crowds.remove(&crowd),
                _ => node.crowds.insert(crowd.clone(), count),
            };
            self.len += usize::from(count > 0);
            self.len -= usize::from(before.is_some());
            let by = count as i64 - before.unwrap_or(0) as i64;
            if by != 0 {
                changes.push(Change { crowd, by });
            }
        }
        if self.len > MAX_CROWDS {
            node.known = Known::TooMuch;
            self.len -= node.crowds.len();
            changes.extend(node.forget());
        }
        (changes, Ask::No)
    }

    /// A node lives, and has said so many things.
    pub(crate) fn lives(&mut self, uid: &str, said: u64, now: Instant) -> Ask {
        let node = self.nodes.entry(uid.into()).or_default();
        match node.known {
            Known::TooMuch => Ask::No,
            Known::Till(till) if till >= said => Ask::No,
            _ => {
                node.known = Known::No;
                node.ask(now)
            }
        }
    }

    /// A node has gone, with all it had.
    pub(crate) fn forget(&mut self, uid: &str) -> Vec<Change> {
        let Some(mut node) = self.nodes.remove(uid) else {
            return Vec::new();
        };
        self.len -= node.crowds.len();
        node.forget()
    }
}

impl Node {
    fn ask(&mut self, now: Instant) -> Ask {
        if self.asked.is_some_and(|asked| now < asked + PATIENCE) {
            return Ask::No;
        }
        self.asked = Some(now);
        Ask::Yes
    }

    fn forget(&mut self) -> Vec<Change> {
        let crowds = std::mem::take(&mut self.crowds).into_iter();
        let change = |(crowd, count)| Change {
            crowd,
            by: -(count as i64),
        };
        crowds.map(change).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(name: impl ToString) -> Crowd {
        Crowd {
            namespace: "/".into(),
            room: Some(name.to_string()),
        }
    }

    /// What a listener adds up from the changes.
    fn add(totals: &mut BTreeMap<Crowd, i64>, changes: Vec<Change>) {
        for Change { crowd, by } in changes {
            *totals.entry(crowd).or_insert(0) += by;
        }
        totals.retain(|_, total| *total != 0);
    }

    proptest! {
        /// Whatever is lost, a listener that asks when it has missed something ends with what is so.
        #[test]
        fn who_asks_when_something_was_missed_knows_it_all(
            steps in prop::collection::vec((0_u8..4, 0_u64..4, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let mut now = Instant::now();
            let mut own = Own::default();
            let mut truth = BTreeMap::new();
            let mut census = Census::default();
            let mut totals = BTreeMap::new();
            for (name, count, lost, answer_lost) in steps {
                now += Duration::from_millis(300);
                own.set(room(name), count);
                truth.insert(room(name), count as i64);
                truth.retain(|_, count| *count != 0);
                let mut heard = false;
                for piece in own.take_changes() {
                    if lost {
                        continue;
                    }
                    heard = true;
                    let (changes, ask) = census.hear("n", piece, now);
                    add(&mut totals, changes);
                    if ask == Ask::Yes && !answer_lost {
                        for piece in own.whole() {
                            let (changes, ask) = census.hear("n", piece, now);
                            prop_assert_eq!(ask, Ask::No);
                            add(&mut totals, changes);
                        }
                    }
                }
                if census.knows("n") && heard {
                    prop_assert_eq!(&totals, &truth);
                }
            }
            now += PATIENCE;
            if census.lives("n", own.said(), now) == Ask::Yes {
                prop_assert!(!census.knows("n"));
                for piece in own.whole() {
                    add(&mut totals, census.hear("n", piece, now).0);
                }
            }
            prop_assert!(census.knows("n"));
            prop_assert_eq!(&totals, &truth);
            prop_assert_eq!(census.len, truth.len());
            add(&mut totals, census.forget("n"));
            prop_assert!(totals.is_empty());
            prop_assert_eq!(census.len, 0);
        }
    }

    fn many(own: &mut Own, count: usize) {
        for number in 0..count {
            own.set(room(format!("{number:0>984}")), 1);
        }
    }

    #[test]
    fn many_rooms_are_said_in_parts_of_which_all_have_to_come() {
        let mut own = Own::default();
        many(&mut own, 80);
        let changes = own.take_changes();
        assert!(changes.iter().map(|piece| piece.seq).eq(1..=3));
        let whole = own.whole();
        assert_eq!(whole.len(), 3);
        let now = Instant::now();
        for missing in 0..3 {
            let mut census = Census::default();
            for (part, piece) in whole.iter().enumerate() {
                if part != missing {
                    census.hear("n", piece.clone(), now);
                }
            }
            assert!(!census.knows("n"), "without part {missing}");
            whole.iter().for_each(|piece| {
                census.hear("n", piece.clone(), now);
            });
            assert!(census.knows("n"));
        }
    }

    #[test]
    fn what_is_as_it_was_said_is_not_said_again() {
        let mut own = Own::default();
        own.set(room("a"), 2);
        assert_eq!(own.take_changes().len(), 1);
        own.set(room("a"), 3);
        own.set(room("a"), 2);
        own.set(room("b"), 1);
        own.set(room("b"), 0);
        assert_eq!(own.take_changes(), []);
        own.set(room("b"), 1);
        own.close("/");
        let changes = own.take_changes();
        assert_eq!(changes[0].crowds, [(room("a"), 0)]);
        assert!(own.crowds.is_empty() && own.changed.is_empty());
    }

    #[test]
    fn sec_a_node_that_says_too_much_is_not_kept_and_not_asked_again() {
        let now = Instant::now();
        let mut census = Census::default();
        let (mut total, mut number) = (0, 0);
        for part in 0..=1024 {
            let crowds = (0..1024).map(|_| {
                number += 1;
                (room(number), 1)
            });
            let counts = Counts {
                seq: 1,
                part: Some((part, 2000)),
                crowds: crowds.collect(),
            };
            let (changes, _) = census.hear("n", counts, now);
            total += changes.into_iter().map(|change| change.by).sum::<i64>();
            assert!(census.len <= MAX_CROWDS);
        }
        assert_eq!((total, census.len), (0, 0));
        assert_eq!(census.lives("n", 7, now + PATIENCE * 9), Ask::No);
        assert!(!census.knows("n"));
    }

    #[test]
    fn what_is_said_reads_as_it_was_written() {
        for part in [None, Some((2, 5))] {
            let everybody = Crowd {
                namespace: "/chat".into(),
                room: None,
            };
            let counts = Counts {
                seq: 7,
                part,
                crowds: vec![(everybody, 3), (room("lobby \"one\""), 0)],
            };
            let mut object = Object::new();
            counts.push(&mut object);
            let mut fields = Fields::of(object.into(), "message").unwrap();
            assert_eq!(Counts::read(&mut fields), Ok(counts));
        }
    }
}
