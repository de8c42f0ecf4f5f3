//! The terms of each direction, as RFC 7692 §7.1 lets two sides agree on them.

/// How what we send is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeflateConfig {
    /// The window may outlive a message: `false` if `server_no_context_takeover` (for a server) or
    /// `client_no_context_takeover` (for a client) was agreed to.
    pub context_takeover: bool,
    /// The agreed window as a power of two, 9 to 15; other values are taken as the nearest of these.
    pub window_bits: u8,
    /// From 0, stored, to 9, smallest; higher values are taken as 9.
    pub level: u8,
    /// Messages shorter than this many bytes are sent as they are.
    pub threshold: usize,
}

/// How what we receive is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InflateConfig {
    /// The peer may refer back to earlier messages: `false` if its `no_context_takeover` was agreed
    /// to.
    pub context_takeover: bool,
    /// The agreed window as a power of two, 9 to 15; other values are taken as the nearest of these.
    pub window_bits: u8,
}

impl DeflateConfig {
    /// What a connection holds that keeps its window, in bytes: 245 KiB to 371 KiB by window.
    ///
    /// Most of it is the hash table of the search, which no window makes smaller.
    pub fn memory(&self) -> usize {
        // Per position of the window: one byte twice over, and a link of two bytes.
        FIXED_DEFLATE + 4 * (1 << self.bits())
    }

    pub(crate) fn bits(&self) -> u8 {
        self.window_bits.clamp(MIN_BITS, MAX_BITS)
    }

    pub(crate) fn level(&self) -> u8 {
        self.level.min(9)
    }
}

impl Default for DeflateConfig {
    fn default() -> Self {
        Self {
            // An idle connection holds nothing, and a message to many is compressed once.
            context_takeover: false,
            // The window is shared by all connections of a pool, so there is no reason to save.
            window_bits: MAX_BITS,
            // The knee of the curve. On JSON of 1 and 16 KiB, level 6 saves 5 and 10 % more for 1.3
            // and 1.9 times the work; level 1 takes a third and a half of it, and writes 14 and 40 %
            // more.
            level: 2,
            // A packet of less fits one segment either way.
            threshold: 1024,
        }
    }
}

impl InflateConfig {
    /// What a connection holds that keeps its window, in bytes: 47 KiB, whatever the window.
    pub fn memory(&self) -> usize {
        INFLATE
    }

    pub(crate) fn bits(&self) -> u8 {
        self.window_bits.clamp(MIN_BITS, MAX_BITS)
    }
}

impl Default for InflateConfig {
    fn default() -> Self {
        // As for the other direction.
        Self {
            context_takeover: false,
            window_bits: MAX_BITS,
        }
    }
}

/// The smallest window that zlib compresses with.
pub(crate) const MIN_BITS: u8 = 9;

/// The window of RFC 1951, and of RFC 7692 where nothing else was agreed.
pub(crate) const MAX_BITS: u8 = 15;

/// Measured with a counting allocator, which `tests/codec/memory.rs` repeats.
const FIXED_DEFLATE: usize = 249_216;
const INFLATE: usize = 47_744;
