//! Contexts that no connection owns: what a message borrows while it is compressed or read.

use flate2::{Compress, Compression, Decompress};

use crate::budget::Budget;
use crate::config::{DeflateConfig, MAX_BITS};

/// The shared contexts of one thread or shard.
///
/// A connection without context take-over borrows from here for one message and owns nothing in
/// between. A pool holds at most four deflate contexts, of the terms last used, and one inflate
/// context: up to 1.6 MB, and nothing before its first message.
#[derive(Debug)]
pub struct Pool {
    budget: Budget,
    /// The one used last is the last.
    deflaters: Vec<Deflater>,
    inflater: Option<Decompress>,
    pub(crate) scratch: Vec<u8>,
}

#[derive(Debug)]
struct Deflater {
    bits: u8,
    level: u8,
    context: Compress,
}

impl Pool {
    /// An empty pool. What connections keep beyond a message is charged to `budget`.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            deflaters: Vec::new(),
            inflater: None,
            scratch: Vec::new(),
        }
    }

    /// The budget this pool charges.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Frees the shared contexts; the next message makes them anew. For an idle server.
    pub fn shed(&mut self) {
        self.deflaters = Vec::new();
        self.inflater = None;
        self.scratch = Vec::new();
    }

    /// A context for these terms, with an empty window, and to be left so.
    pub(crate) fn deflater(&mut self, config: &DeflateConfig) -> &mut Compress {
        let (bits, level) = (config.bits(), config.level());
        let found = self
            .deflaters
            .iter()
            .position(|d| d.bits == bits && d.level == level);
        let deflater = match found {
            Some(at) => self.deflaters.remove(at),
            None => {
                if self.deflaters.len() == MOST_DEFLATERS {
                    self.deflaters.remove(0);
                }
                Deflater {
                    bits,
                    level,
                    context: new_deflater(config),
                }
            }
        };
        self.deflaters.push(deflater);
        &mut self
            .deflaters
            .last_mut()
            .expect("because it was just pushed")
            .context
    }

    /// A context with an empty window of full size, which reads what any smaller one wrote.
    pub(crate) fn inflater(&mut self) -> &mut Decompress {
        if let Some(context) = &mut self.inflater {
            context.reset(false);
        }
        self.inflater.get_or_insert_with(|| new_inflater(MAX_BITS))
    }
}

pub(crate) fn new_deflater(config: &DeflateConfig) -> Compress {
    let level = Compression::new(config.level().into());
    Compress::new_with_window_bits(level, false, config.bits())
}

pub(crate) fn new_inflater(bits: u8) -> Decompress {
    Decompress::new_with_window_bits(false, bits)
}

/// Servers use one or two terms; clients that ask for a smaller window add to them.
const MOST_DEFLATERS: usize = 4;
