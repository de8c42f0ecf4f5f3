//! Random bytes for ids, drawn from the operating system a page at a time.

use std::cell::RefCell;

use eio_transport::Sid;

/// Bytes drawn in one call.
const PAGE: usize = 4096;

struct Pool {
    bytes: Vec<u8>,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: Vec::new() }) };
}

/// Fresh random bytes.
///
/// # Panics
///
/// Where the operating system has no randomness to give: no id could be trusted then.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    POOL.with_borrow_mut(|pool| {
        if pool.bytes.len() < N {
            pool.bytes.resize(PAGE, 0);
            getrandom::fill(&mut pool.bytes).expect("the operating system gives random bytes");
        }
        let rest = pool.bytes.len() - N;
        let mut drawn = [0; N];
        drawn.copy_from_slice(&pool.bytes[rest..]);
        // What has been handed out does not stay in memory.
        pool.bytes[rest..].fill(0);
        pool.bytes.truncate(rest);
        drawn
    })
}

/// A fresh id of 120 random bits, for a session or a socket.
pub(crate) fn id() -> Sid {
    Sid::from_entropy(bytes())
}
