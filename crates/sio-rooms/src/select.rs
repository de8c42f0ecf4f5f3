//! The walk of an emit over those whom a selection reaches.

use std::{ops::Range, slice};

use smallvec::SmallVec;

use crate::index::Rooms;
use crate::member::{Listener, MemberId};
use crate::room::Seat;
use crate::selection::Selection;
use crate::slots::narrow;

impl<N: AsRef<str>, O> Rooms<N, O> {
    /// Those whom `who` reaches, each once, in no order.
    ///
    /// Everyone, one room, one member, and everyone or one room except one member are plain walks.
    /// Other selections allocate one bit for each member of the index, to see nobody twice.
    pub fn select(&self, who: &Selection) -> impl Iterator<Item = (MemberId, &O)> {
        let mut reached = Spans::new();
        let mut names = 0;
        for name in who.rooms() {
            let before = reached.len();
            self.resolve(name, &mut reached);
            names += usize::from(reached.len() > before);
        }
        let mut except = Spans::new();
        for name in who.exceptions() {
            self.resolve(name, &mut except);
        }
        if who.rooms().len() == 0 {
            let len = narrow(self.len());
            if let Some(place) = alone(&except) {
                // Everyone except one is everyone before and everyone behind.
                reached.extend([Span::Places(0..place), Span::Places(place + 1..len)]);
                except.clear();
            } else {
                reached.push(Span::Places(0..len));
            }
        }
        // A room and the member of the same name have nobody in common, so one name needs no memory
        // of whom it reached.
        Select::new(&self.listeners, reached, except, names > 1)
    }

    /// Calls `f` for those whom [`select`](Self::select) yields: the loop of an emit.
    #[inline]
    pub fn for_each(&self, who: &Selection, mut f: impl FnMut(MemberId, &O)) {
        self.select(who).for_each(|(id, outlet)| f(id, outlet));
    }

    /// Adds those whom a name means: a room, a member, both or none.
    fn resolve<'a>(&'a self, name: &str, spans: &mut Spans<'a>) {
        let hash = self.hash(name);
        if let Some(room) = self.find_room(hash, name) {
            spans.push(Span::Seats(room.seats.iter()));
        }
        if let Some(place) = self.find_member(hash, name).map(narrow) {
            spans.push(Span::Places(place..place + 1));
        }
    }
}

/// Places of some members that stand together: what one name means, or a part of everyone.
#[derive(Clone, Debug)]
enum Span<'a> {
    Places(Range<u32>),
    Seats(slice::Iter<'a, Seat>),
}

/// As many spans as a plain selection has, without a heap.
type Spans<'a> = SmallVec<[Span<'a>; 2]>;

/// An iterator over spans. What must be checked for each member is decided once, before the walk:
/// [`fold`](Iterator::fold), and so `for_each`, runs a loop of its own for each kind of [`Skip`].
#[derive(Debug)]
struct Select<'a, O> {
    listeners: &'a [Listener<O>],
    spans: Spans<'a>,
    /// The span being walked; those before it are done.
    at: usize,
    skip: Skip,
}

/// Whom a walk passes over.
#[derive(Debug)]
enum Skip {
    Nobody,
    One(u32),
    Seen(Seen),
}

/// A bit for each member: those excepted from the start, the others once they have been reached.
#[derive(Debug)]
struct Seen(Box<[u64]>);

impl<'a, O> Select<'a, O> {
    /// A walk over `reached` without those in `except`; `overlap` if spans may share members.
    fn new(
        listeners: &'a [Listener<O>],
        reached: Spans<'a>,
        except: Spans<'_>,
        overlap: bool,
    ) -> Self {
        let skip = if reached.is_empty() || (except.is_empty() && !overlap) {
            Skip::Nobody
        } else if let Some(place) = alone(&except)
            && !overlap
        {
            Skip::One(place)
        } else {
            let mut seen = Seen::new(listeners.len());
            for place in except.into_iter().flatten() {
                seen.insert(place);
            }
            Skip::Seen(seen)
        };
        Self {
            listeners,
            spans: reached,
            at: 0,
            skip,
        }
    }
}

/// The only member of these spans, if that is easily said.
fn alone(spans: &[Span<'_>]) -> Option<u32> {
    let [span] = spans else { return None };
    let mut places = span.clone();
    places.next().filter(|_| places.next().is_none())
}

impl<'a, O> Iterator for Select<'a, O> {
    type Item = (MemberId, &'a O);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(span) = self.spans.get_mut(self.at) {
            for place in span {
                let pass = match &mut self.skip {
                    Skip::Nobody => true,
                    Skip::One(skipped) => place != *skipped,
                    Skip::Seen(seen) => seen.insert(place),
                };
                if pass {
                    return Some(item(&self.listeners[place as usize]));
                }
            }
            self.at += 1;
        }
        None
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, init: B, mut f: F) -> B {
        let (listeners, spans) = (self.listeners, &self.spans[self.at..]);
        match &mut self.skip {
            Skip::Nobody => spans.iter().fold(init, |acc, span| match span.clone() {
                Span::Places(places) => listeners[places.start as usize..places.end as usize]
                    .iter()
                    .fold(acc, |acc, listener| f(acc, item(listener))),
                Span::Seats(seats) => seats.fold(acc, |acc, seat| {
                    f(acc, item(&listeners[seat.place as usize]))
                }),
            }),
            Skip::One(skipped) => spans.iter().fold(init, |acc, span| {
                let others = span.clone().filter(|place| place != skipped);
                others.fold(acc, |acc, place| f(acc, item(&listeners[place as usize])))
            }),
            Skip::Seen(seen) => spans.iter().fold(init, |acc, span| {
                let unseen = span.clone().filter(|place| seen.insert(*place));
                unseen.fold(acc, |acc, place| f(acc, item(&listeners[place as usize])))
            }),
        }
    }
}

impl Iterator for Span<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        match self {
            Self::Places(places) => places.next(),
            Self::Seats(seats) => seats.next().map(|seat| seat.place),
        }
    }

    #[inline]
    fn fold<B, F: FnMut(B, u32) -> B>(self, init: B, mut f: F) -> B {
        match self {
            Self::Places(places) => places.fold(init, f),
            Self::Seats(seats) => seats.fold(init, |acc, seat| f(acc, seat.place)),
        }
    }
}

impl Seen {
    fn new(members: usize) -> Self {
        Self(vec![0; members.div_ceil(64)].into())
    }

    /// Marks a member; whether it was unmarked.
    #[inline]
    fn insert(&mut self, place: u32) -> bool {
        let (word, bit) = (&mut self.0[place as usize / 64], 1 << (place % 64));
        let unmarked = *word & bit == 0;
        *word |= bit;
        unmarked
    }
}

#[inline]
fn item<O>(listener: &Listener<O>) -> (MemberId, &O) {
    (listener.id, &listener.outlet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(rooms: &Rooms<String, u32>, who: &Selection) -> Vec<u32> {
        let mut reached: Vec<u32> = rooms.select(who).map(|(_, outlet)| *outlet).collect();
        reached.sort_unstable();
        reached
    }

    #[test]
    fn several_rooms_reach_each_member_once_across_every_word_of_the_set() {
        let mut rooms = Rooms::new();
        for outlet in 0..200 {
            let id = rooms.enter(outlet.to_string(), outlet);
            rooms.join(id, "all").unwrap();
            rooms
                .join(id, if outlet % 2 == 0 { "even" } else { "odd" })
                .unwrap();
        }
        let both = Selection::everyone().to("all").to("even");
        assert_eq!(reached(&rooms, &both), (0..200).collect::<Vec<_>>());
        let odd = both.except("even").except("127");
        assert_eq!(
            reached(&rooms, &odd),
            (0..200)
                .filter(|n| n % 2 == 1 && *n != 127)
                .collect::<Vec<_>>()
        );
        let everyone = Selection::everyone().except("64").except("odd");
        assert_eq!(
            reached(&rooms, &everyone),
            (0..200)
                .filter(|n| n % 2 == 0 && *n != 64)
                .collect::<Vec<_>>()
        );
    }
}
