//! How much memory the windows of all connections may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A cap on the bytes that connections hold between messages, shared by every pool of a server.
///
/// A clone counts on the same account. What was charged is given back when its holder is dropped.
///
/// ```
/// use ws_deflate::{Budget, Inflate, InflateConfig, Pool};
///
/// let budget = Budget::new(50_000);
/// let pool = Pool::new(budget.clone());
/// let mut config = InflateConfig::default();
/// config.context_takeover = true;
/// let _first = Inflate::new(config.clone(), &pool).expect("there is room for one window");
/// assert!(Inflate::new(config, &pool).is_err() && budget.used() <= budget.limit());
/// ```
#[derive(Clone, Debug)]
pub struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    limit: usize,
    used: AtomicUsize,
}

/// A window does not fit in the budget any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a window of {needed} bytes does not fit in the budget of {limit}")]
pub struct OverBudget {
    /// What the window would take, in bytes.
    pub needed: usize,
    /// What all windows together may take, in bytes.
    pub limit: usize,
}

impl Budget {
    /// A budget of `limit` bytes. Zero is a budget: no connection keeps a window then.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Account {
            limit,
            used: AtomicUsize::new(0),
        }))
    }

    /// The bytes charged at the moment.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most bytes that may be charged.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    pub(crate) fn charge(&self, bytes: usize) -> Result<Charge, OverBudget> {
        let add = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.0.limit);
        match self
            .0
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
        {
            Ok(_) => Ok(Charge {
                budget: self.clone(),
                bytes,
            }),
            Err(_) => Err(OverBudget {
                needed: bytes,
                limit: self.0.limit,
            }),
        }
    }
}

/// A part of the budget, held.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_to_the_byte_and_given_back() {
        let budget = Budget::new(100);
        let other = budget.clone();
        let first = budget.charge(60).unwrap();
        assert_eq!(
            budget.charge(41).unwrap_err(),
            OverBudget {
                needed: 41,
                limit: 100
            }
        );
        let second = other.charge(40).unwrap();
        assert_eq!(budget.used(), 100);
        drop(first);
        assert_eq!(budget.used(), 40);
        assert!(budget.charge(usize::MAX).is_err());
        drop(second);
        assert_eq!((budget.used(), budget.limit()), (0, 100));
    }
}
