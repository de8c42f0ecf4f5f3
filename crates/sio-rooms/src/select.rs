//! The walk over those whom a selection reaches.

use std::{ops::Range, slice};

use smallvec::SmallVec;

use crate::member::{Listener, MemberId};
use crate::room::Seat;

/// Places of some members that stand together: what one name means, or a part of everyone.
#[derive(Clone, Debug)]
pub(crate) enum Span<'a> {
    Places(Range<u32>),
    Seats(slice::Iter<'a, Seat>),
}

/// As many spans as a plain selection has, without a heap.
pub(crate) type Spans<'a> = SmallVec<[Span<'a>; 2]>;

/// An iterator over spans. What must be checked for each member is decided once, before the walk:
/// [`fold`](Iterator::fold), and so `for_each`, runs a loop of its own for each kind of [`Skip`].
#[derive(Debug)]
pub(crate) struct Select<'a, O> {
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
    pub(crate) fn new(
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
pub(crate) fn alone(spans: &[Span<'_>]) -> Option<u32> {
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
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
        let Self {
            listeners,
            spans,
            at,
            skip,
        } = self;
        let spans = spans.into_iter().skip(at);
        let mut f = |acc, place: u32| f(acc, item(&listeners[place as usize]));
        match skip {
            Skip::Nobody => spans.fold(init, |acc, span| span.fold(acc, &mut f)),
            Skip::One(skipped) => spans.fold(init, |acc, span| {
                span.filter(|place| *place != skipped).fold(acc, &mut f)
            }),
            Skip::Seen(mut seen) => spans.fold(init, |acc, span| {
                span.filter(|place| seen.insert(*place)).fold(acc, &mut f)
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
