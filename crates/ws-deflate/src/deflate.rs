//! Compressing what is sent, RFC 7692 §7.2.1.
//!
//! ```text
//! payload ── deflate, sync flush ──▶ blocks · 00 00 ff ff      the last block is empty and stored
//!                                    blocks                    its last four bytes are left out
//! ```

use bytes::Bytes;
use flate2::{Compress, FlushCompress};

use crate::budget::Charge;
use crate::config::DeflateConfig;
use crate::pool::{Pool, new_deflater};

/// Compresses the messages of one connection.
///
/// Takes 24 bytes until a window is kept, and [`DeflateConfig::memory`] from then on.
///
/// ```
/// use ws_deflate::{Budget, Deflate, DeflateConfig, Encoding, Pool};
///
/// let mut config = DeflateConfig::default();
/// config.context_takeover = true;
/// config.threshold = 0;
/// let mut pool = Pool::new(Budget::new(64 << 20));
/// let mut deflate = Deflate::new(config);
/// let (mut first, mut second) = (Vec::new(), Vec::new());
/// let text = b"a message of some length, which is said twice and deflated";
/// deflate.deflate(&mut pool, text, &mut first);
/// assert_eq!(deflate.deflate(&mut pool, text, &mut second), Encoding::Deflated);
/// assert!(second.len() < first.len()); // It is said in the window.
/// assert!(deflate.is_keeping() && pool.budget().used() > 0);
/// deflate.shed();
/// assert!(!deflate.is_keeping());
/// ```
#[derive(Debug)]
pub struct Deflate {
    config: DeflateConfig,
    kept: Option<Box<Kept>>,
}

/// A window that outlives its message.
#[derive(Debug)]
struct Kept {
    context: Compress,
    _charge: Charge,
}

/// How a message is to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a deflated message needs RSV1 in its first frame, a plain one must not have it"]
pub enum Encoding {
    /// The output is the payload, RSV1 is set in the first frame (§6).
    Deflated,
    /// Nothing was written: the message goes out as it is.
    Plain,
}

impl Deflate {
    /// A compressor of these terms. Allocates nothing.
    pub fn new(config: DeflateConfig) -> Self {
        Self { config, kept: None }
    }

    /// The terms.
    pub fn config(&self) -> &DeflateConfig {
        &self.config
    }

    /// Whether a window is held at the moment.
    pub fn is_keeping(&self) -> bool {
        self.kept.is_some()
    }

    /// Appends the compressed `payload` to `out`, or leaves `out` alone and says so: a message below
    /// the threshold, and without context take-over one that would not get smaller.
    ///
    /// With context take-over the window is kept from the first message on. If the budget has no
    /// room for it, messages are compressed each for itself: a sender *may* refer back, and need not.
    ///
    /// What is appended is never longer than nine eighths of the payload and 64 bytes.
    pub fn deflate(&mut self, pool: &mut Pool, payload: &[u8], out: &mut Vec<u8>) -> Encoding {
        if payload.len() < self.config.threshold {
            return Encoding::Plain;
        }
        if self.config.context_takeover && self.kept.is_none() {
            self.kept = self.keep(pool);
        }
        match &mut self.kept {
            None => once(pool, &self.config, payload, out),
            Some(kept) => match run(&mut kept.context, payload, out, FlushCompress::Sync) {
                Some(()) => Encoding::Deflated,
                // Not reachable by any input; a new window is as good as the old one.
                None => {
                    self.kept = None;
                    Encoding::Plain
                }
            },
        }
    }

    /// Frees the window, if one is held. The peer need not know: the next message refers to nothing
    /// before it. For a connection that has been idle.
    pub fn shed(&mut self) {
        self.kept = None;
    }

    fn keep(&self, pool: &Pool) -> Option<Box<Kept>> {
        let charge = pool.budget().charge(self.config.memory()).ok()?;
        Some(Box::new(Kept {
            context: new_deflater(&self.config),
            _charge: charge,
        }))
    }
}

/// Compresses one message for many receivers: those that agreed to a window of this size or a larger
/// one may all get the same bytes, whether or not they agreed to context take-over.
///
/// `None` if it is below the threshold or would not get smaller; all get the plain message then.
///
/// A receiver whose own [`Deflate`] keeps a window must [`shed`](Deflate::shed) it first: its peer
/// will have seen a message that this window has not.
///
/// ```
/// use ws_deflate::{Budget, DeflateConfig, Pool, deflate_once};
///
/// let mut pool = Pool::new(Budget::new(64 << 20));
/// let news = "rain, ".repeat(300);
/// let payload = deflate_once(&mut pool, &DeflateConfig::default(), news.as_bytes());
/// assert!(payload.is_some_and(|payload| payload.len() < 50)); // for each who agreed to it
/// ```
pub fn deflate_once(pool: &mut Pool, config: &DeflateConfig, payload: &[u8]) -> Option<Bytes> {
    if payload.len() < config.threshold {
        return None;
    }
    let mut out = std::mem::take(&mut pool.scratch);
    out.clear();
    let encoding = once(pool, config, payload, &mut out);
    let deflated = (encoding == Encoding::Deflated).then(|| Bytes::copy_from_slice(&out));
    if out.capacity() <= LARGEST_SCRATCH {
        pool.scratch = out;
    }
    deflated
}

fn once(pool: &mut Pool, config: &DeflateConfig, payload: &[u8], out: &mut Vec<u8>) -> Encoding {
    let start = out.len();
    // A full flush forgets the window, so that the next message finds the context as if it were new, and
    // takes less than a reset. On the wire it is a sync flush.
    let done = run(pool.deflater(config), payload, out, FlushCompress::Full);
    if done.is_some() && out.len() - start < payload.len().max(1 + TAIL.len()) {
        return Encoding::Deflated;
    }
    out.truncate(start);
    Encoding::Plain
}

/// Appends the blocks of `payload`, without the tail; `None` and nothing written if the codec fails,
/// which it has no reason to.
fn run(
    context: &mut Compress,
    payload: &[u8],
    out: &mut Vec<u8>,
    flush: FlushCompress,
) -> Option<()> {
    if payload.is_empty() {
        // §7.2.3.6: an empty block, also where a second flush would write nothing.
        out.push(0);
        return Some(());
    }
    let start = out.len();
    let mut rest = payload;
    loop {
        // More than six bytes of room keep zlib from repeating the tail.
        out.reserve(rest.len() / 2 + 64);
        let before = context.total_in();
        let done = context.compress_vec(rest, out, flush).is_ok();
        rest = &rest[(context.total_in() - before) as usize..];
        if done && out.len() == out.capacity() {
            continue;
        }
        if done && rest.is_empty() && out[start..].ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
            return Some(());
        }
        out.truncate(start);
        context.reset();
        return None;
    }
}

/// What a sync flush ends with, and §7.2.1 leaves out.
pub(crate) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// What a pool keeps to compress into; a larger message is no daily event.
const LARGEST_SCRATCH: usize = 64 << 10;
