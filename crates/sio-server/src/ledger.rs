//! How much is buffered for all connections together, and what may be done about it.
//!
//! Two sums make it up:
//!
//! - **Parcels that wait.** One that leaves in the turn in which it was queued is never counted. What is
//!   left after a write, or has no poll to leave by, is counted with the parcel itself until it is
//!   dropped: once, however many connections it waits for.
//! - **What came and is not done with**: messages and packets that are not whole, bodies of POSTs,
//!   events that wait for handlers. A connection tells the difference at the end of a turn, if there is
//!   one.

use std::{
    any::Any,
    fmt, fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use eio_transport::Parcel;
use tokio::sync::Notify;

/// What a connection may have waiting without anybody counting it: as much as it costs anyway.
pub(crate) const SMALL: usize = 4 << 10;

pub(crate) struct Ledger {
    budget: usize,
    total: Arc<AtomicUsize>,
    /// The budget was reached.
    pub(crate) full: Notify,
}

/// A parcel that waits.
struct Charge {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Ledger {
    /// So many bytes; `None` for a quarter of what there is.
    pub(crate) fn new(budget: Option<usize>) -> Self {
        Self {
            budget: budget.unwrap_or_else(|| memory() / 4),
            total: Arc::default(),
            full: Notify::new(),
        }
    }

    /// Bytes that are buffered.
    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes that may be.
    pub(crate) fn budget(&self) -> usize {
        self.budget
    }

    /// Whether what may be dropped should be: from 80 % on.
    pub(crate) fn is_high(&self) -> bool {
        self.total() >= self.budget - self.budget / 5
    }

    /// Whether nobody should be let in any more: from 90 % on.
    pub(crate) fn is_tight(&self) -> bool {
        self.total() >= self.budget - self.budget / 10
    }

    /// By how much the budget is reached; `None` if it is not.
    pub(crate) fn excess(&self) -> Option<usize> {
        (self.total() + 1)
            .checked_sub(self.budget)
            .filter(|excess| *excess > 0)
    }

    /// Counts a parcel until it is dropped, unless it is counted already.
    pub(crate) fn charge(&self, parcel: &Parcel) {
        parcel.keep(|| {
            let bytes = parcel.wire().len();
            self.add(bytes);
            let total = Arc::clone(&self.total);
            Box::new(Charge { bytes, total }) as Box<dyn Any + Send + Sync>
        });
    }

    /// What somebody holds has changed.
    pub(crate) fn change(&self, before: usize, after: usize) {
        if after > before {
            self.add(after - before);
        } else {
            self.total.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    fn add(&self, bytes: usize) {
        let before = self.total.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes >= self.budget {
            self.full.notify_one();
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Charge").field(&self.bytes).finish()
    }
}

/// The memory that this process may have, in bytes: the machine's, or less where a control group says
/// so. Where neither can be learned, 4 GiB.
fn memory() -> usize {
    const UNKNOWN: usize = 4 << 30;
    let read = |path: &str| fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| of_machine(&text));
    let own = read("/proc/self/cgroup").unwrap_or_default();
    let groups = limits_of_groups(&own).filter_map(|path| read(&path)?.trim().parse().ok());
    groups.chain(machine).min().unwrap_or(UNKNOWN)
}

/// What `/proc/meminfo` says of the machine.
fn of_machine(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: usize = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Where the limits of the groups are written that `/proc/self/cgroup` names, and of those above them.
/// A limit that there is not is not a number (`max`), or larger than any machine.
fn limits_of_groups(own: &str) -> impl Iterator<Item = String> {
    own.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or("/"));
        let (folder, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        // In a container the path may be one of the machine's, which is not there: the root is.
        let mut paths = Vec::new();
        let mut path = path.trim_end_matches('/');
        loop {
            paths.push(format!("{folder}{path}/{file}"));
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None => return paths,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: usize) -> Parcel {
        let parcel = Parcel::binary(&vec![0; bytes - 2]);
        assert_eq!(parcel.wire().len(), bytes);
        parcel
    }

    #[test]
    fn each_level_begins_at_its_share_of_the_budget() {
        let ledger = Ledger::new(Some(1000));
        let mut held = 0;
        for (bytes, high, tight, excess) in [
            (0, false, false, None),
            (799, false, false, None),
            (800, true, false, None),
            (801, true, false, None),
            (899, true, false, None),
            (900, true, true, None),
            (901, true, true, None),
            (999, true, true, None),
            (1000, true, true, Some(1)),
            (1001, true, true, Some(2)),
        ] {
            ledger.change(held, bytes);
            held = bytes;
            assert_eq!(ledger.total(), bytes);
            assert_eq!(
                (ledger.is_high(), ledger.is_tight()),
                (high, tight),
                "{bytes}"
            );
            assert_eq!(ledger.excess(), excess, "{bytes}");
        }
        ledger.change(held, 0);
        assert_eq!(ledger.total(), 0);
    }

    #[tokio::test]
    async fn who_waits_for_the_budget_to_be_reached_is_told() {
        let ledger = Ledger::new(Some(100));
        ledger.change(0, 99);
        let full = ledger.full.notified();
        tokio::pin!(full);
        assert!(!full.as_mut().enable());
        ledger.change(99, 100);
        full.await;
    }

    #[test]
    fn a_parcel_counts_once_until_its_last_holder_drops_it() {
        let ledger = Ledger::new(Some(1000));
        let parcel = Arc::new(of(100));
        let other = Arc::clone(&parcel);
        for parcel in [&parcel, &other, &parcel] {
            ledger.charge(parcel);
            assert_eq!(ledger.total(), 100);
        }
        drop(parcel);
        assert_eq!(ledger.total(), 100);
        drop(other);
        assert_eq!(ledger.total(), 0);
    }

    #[test]
    fn the_machines_memory_is_read_and_so_are_the_limits_of_groups() {
        assert_eq!(
            of_machine("MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            Some(16 << 20)
        );
        assert_eq!(of_machine("MemFree: 1 kB\n"), None);
        let paths: Vec<_> = limits_of_groups("0::/a/b\n").collect();
        assert_eq!(
            paths,
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        let paths: Vec<_> = limits_of_groups("5:cpu:/x\n4:memory:/\n").collect();
        assert_eq!(paths, ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
        assert!(memory() > 1 << 20);
    }
}
