//! Values kept for a socket by their type.

use std::{
    any::{Any, TypeId},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is kept for one socket: at most one value of each type.
///
/// ```
/// # use sio_server::{Ack, Server};
/// #[derive(Clone, Default)]
/// struct Cart(Vec<String>);
///
/// let server = Server::new()
///     .on("buy", async |socket, item: String| {
///         socket.session().with(|cart: &mut Cart| cart.0.push(item));
///     })
///     .on("cart", async |socket, ()| {
///         let cart: Cart = socket.session().get().unwrap_or_default();
///         Ack(cart.0)
///     });
/// ```
#[derive(Default)]
pub struct Session(Mutex<Vec<Entry>>);

type Entry = (TypeId, Box<dyn Any + Send>);

impl Session {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of what is kept.
    pub fn get<T: Clone + Send + 'static>(&self) -> Option<T> {
        let entries = self.lock();
        find::<T>(&entries).and_then(|at| entries[at].1.downcast_ref().cloned())
    }

    /// Keeps a value instead of the one of its type that is kept.
    ///
    /// ```
    /// # #[derive(Clone)] struct Level(u32);
    /// # fn f(socket: sio_server::Socket) {
    /// socket.session().save(Level(2)); // instead of another `Level`
    /// assert_eq!(socket.session().get::<Level>().map(|level| level.0), Some(2));
    /// # }
    /// ```
    pub fn save<T: Send + 'static>(&self, value: T) {
        let value = Box::new(value);
        let mut entries = self.lock();
        let old = match find::<T>(&entries) {
            Some(at) => std::mem::replace(&mut entries[at].1, value),
            None => {
                entries.push((TypeId::of::<T>(), value));
                return;
            }
        };
        drop(entries);
        drop(old);
    }

    /// Changes what is kept, or the default, in place. Others wait meanwhile, so that nothing of what
    /// two handlers change is lost; `f` must not come back to this session.
    pub fn with<T: Default + Send + 'static, R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut entries = self.lock();
        let at = find::<T>(&entries).unwrap_or_else(|| {
            entries.push((TypeId::of::<T>(), Box::<T>::default()));
            entries.len() - 1
        });
        let value = entries[at].1.downcast_mut();
        f(value.expect("the entry of this type is of this type"))
    }
}

fn find<T: 'static>(entries: &[Entry]) -> Option<usize> {
    entries.iter().position(|(of, _)| *of == TypeId::of::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_of_each_type_is_kept() {
        let session = Session::default();
        assert_eq!(session.get::<u32>(), None);
        session.save(1_u32);
        session.save("a".to_owned());
        session.save(2_u32);
        assert_eq!(session.get::<u32>(), Some(2));
        assert_eq!(session.get::<String>().as_deref(), Some("a"));
        assert_eq!(session.with(|n: &mut u32| std::mem::replace(n, 3)), 2);
        assert_eq!(session.with(|list: &mut Vec<u8>| list.len()), 0);
        assert_eq!(session.get::<u32>(), Some(3));
    }
}
