//! Whom an emit is for, said in names.

use std::sync::Arc;

use smallvec::SmallVec;

/// Whom an emit is for: members of any of these rooms, except members of any of those.
///
/// A value to build once and keep or clone: names are shared, not copied. Each name means the room
/// so called and the member so called. No name to reach means everyone.
///
/// ```
/// use sio_rooms::Selection;
///
/// let tables = Selection::everyone().to("table-1").to("table-2");
/// let not_me = tables.clone().except("bK2nO6fJWrcyDrAsAAAB");
/// assert!(Selection::everyone().is_everyone());
/// assert_eq!(not_me.rooms().collect::<Vec<_>>(), ["table-1", "table-2"]);
/// ```
///
/// ```
/// use sio_rooms::Selection;
///
/// let who = Selection::everyone().to_all(["tea", "coffee"]).except_all(["muted"]);
/// assert_eq!(who.rooms().collect::<Vec<_>>(), ["tea", "coffee"]);
/// assert_eq!(who.exceptions().collect::<Vec<_>>(), ["muted"]);
/// assert!(!who.is_everyone() && Selection::everyone().is_everyone());
/// ```
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Selection {
    pub(crate) rooms: SmallVec<[Arc<str>; 1]>,
    pub(crate) except: SmallVec<[Arc<str>; 1]>,
}

impl Selection {
    /// Everyone; what [`to`](Self::to) and [`except`](Self::except) narrow down. Allocates nothing.
    #[inline]
    pub fn everyone() -> Self {
        Self::default()
    }

    /// Reaches this room, or the member of this name, too. The first call narrows everyone down.
    #[must_use]
    #[inline]
    pub fn to(mut self, name: impl Into<Arc<str>>) -> Self {
        self.rooms.push(name.into());
        self
    }

    /// Leaves out the members of this room, or the member of this name.
    #[must_use]
    #[inline]
    pub fn except(mut self, name: impl Into<Arc<str>>) -> Self {
        self.except.push(name.into());
        self
    }

    /// [`to`](Self::to) for each of these. No name at all changes nothing.
    #[must_use]
    pub fn to_all(mut self, names: impl IntoIterator<Item: Into<Arc<str>>>) -> Self {
        self.rooms.extend(names.into_iter().map(Into::into));
        self
    }

    /// [`except`](Self::except) for each of these. No name at all changes nothing.
    #[must_use]
    pub fn except_all(mut self, names: impl IntoIterator<Item: Into<Arc<str>>>) -> Self {
        self.except.extend(names.into_iter().map(Into::into));
        self
    }

    /// Whether nobody is left out: no name to reach, no name to except.
    #[inline]
    pub fn is_everyone(&self) -> bool {
        self.rooms.is_empty() && self.except.is_empty()
    }

    /// The names to reach, in the order they were given; none means everyone.
    #[inline]
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &str> {
        self.rooms.iter().map(|name| &**name)
    }

    /// The names to leave out, in the order they were given.
    #[inline]
    pub fn exceptions(&self) -> impl ExactSizeIterator<Item = &str> {
        self.except.iter().map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_without_names_or_with_one_of_each_has_no_list_on_the_heap() {
        let name: Arc<str> = "lobby".into();
        let one = Selection::everyone()
            .to(Arc::clone(&name))
            .except(Arc::clone(&name));
        assert!(!one.rooms.spilled() && !one.except.spilled());
        assert_eq!(Arc::strong_count(&name), 3, "names are shared");
    }

    #[test]
    fn no_names_to_reach_is_still_everyone() {
        let none: [&str; 0] = [];
        assert!(
            Selection::everyone()
                .to_all(none)
                .except_all(none)
                .is_everyone()
        );
        assert!(!Selection::everyone().except("a").is_everyone());
    }
}
