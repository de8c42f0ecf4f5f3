//! Reading what was received, RFC 7692 §7.2.2.
//!
//! The limit stands in the loop: output is asked for in pieces, and the first byte above the limit
//! ends the work, however much input is left. Input costs time in proportion to its length, and the
//! number of streams in a message is limited, because each begins with a new window.

use flate2::{Decompress, FlushDecompress, Status};

use crate::budget::{Charge, OverBudget};
use crate::config::InflateConfig;
use crate::deflate::TAIL;
use crate::error::InflateError;
use crate::pool::{Pool, new_inflater};

/// Inflates the messages of one connection.
///
/// Takes 40 bytes, and with context take-over [`InflateConfig::memory`] from its first message on.
///
/// ```
/// use ws_deflate::{Budget, Inflate, InflateConfig, InflateError, Pool};
///
/// let mut pool = Pool::new(Budget::new(64 << 20));
/// let mut inflate = Inflate::new(InflateConfig::default(), &pool)?;
/// let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]; // RFC 7692 §7.2.3.1
/// let mut message = Vec::new();
/// inflate.inflate(&mut pool, &hello, 5, &mut message)?;
/// assert_eq!(message, b"Hello");
/// let error = inflate.inflate(&mut pool, &hello, 4, &mut Vec::new()).unwrap_err();
/// assert_eq!(error.close_code(), 1009); // more than the limit
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Inflate {
    config: InflateConfig,
    kept: Option<Box<Decompress>>,
    /// Held if a window must be, used or not: the peer can call it in at any time.
    _charge: Option<Charge>,
}

impl Inflate {
    /// A reader of these terms. Allocates nothing, but with context take-over charges the window to
    /// the pool's budget: call this *before* answering the handshake, and answer with
    /// `no_context_takeover` for the peer if it fails.
    ///
    /// # Errors
    ///
    /// [`OverBudget`] if the window does not fit; never without context take-over.
    pub fn new(config: InflateConfig, pool: &Pool) -> Result<Self, OverBudget> {
        let charge = match config.context_takeover {
            true => Some(pool.budget().charge(config.memory())?),
            false => None,
        };
        Ok(Self {
            config,
            kept: None,
            _charge: charge,
        })
    }

    /// The terms.
    pub fn config(&self) -> &InflateConfig {
        &self.config
    }

    /// Appends the inflated message to `out`: `src` is the payload of all its frames, and `limit`
    /// the most bytes it may inflate to.
    ///
    /// `out` grows in steps, to at most one byte more than the limit allows.
    ///
    /// # Errors
    ///
    /// If the message is too large or not well-formed. `out` is as before then, and the connection
    /// must be failed.
    pub fn inflate(
        &mut self,
        pool: &mut Pool,
        src: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        if src.is_empty() {
            // §7.2.3.6 has a byte here, but zlib writes none for a second empty message.
            return Ok(());
        }
        let start = out.len();
        let mut reading = Reading {
            limit,
            start,
            end: start,
            streams: 1,
            out,
        };
        let result = if self.config.context_takeover {
            let bits = self.config.bits();
            let context = self
                .kept
                .get_or_insert_with(|| Box::new(new_inflater(bits)));
            reading.message(context, src)
        } else {
            reading.last_message(pool.inflater(), src)
        };
        let end = if result.is_ok() { reading.end } else { start };
        out.truncate(end);
        if result.is_err() {
            self.kept = None;
        }
        result
    }
}

/// One message on its way.
struct Reading<'a> {
    limit: usize,
    /// Where the message begins in `out`, and where what is read of it ends. Behind is room.
    start: usize,
    end: usize,
    streams: usize,
    out: &'a mut Vec<u8>,
}

/// What the input ended with.
enum End {
    /// A block that others may follow.
    Block,
    /// The final block of a stream, with the context ready for another.
    Stream,
}

impl Reading<'_> {
    /// A message whose window may be referred to by the next.
    fn message(&mut self, context: &mut Decompress, src: &[u8]) -> Result<(), InflateError> {
        // §7.2.3.4: who ends a message with a final block adds an empty one that needs the tail. Who
        // forgets that has still said everything.
        if let End::Block = self.feed(context, src)? {
            self.tail(context, &TAIL)?;
        }
        Ok(())
    }

    /// A message whose window nobody needs any more. So it can be asked whether its last block was
    /// whole: only then is a final block behind the tail understood.
    fn last_message(&mut self, context: &mut Decompress, src: &[u8]) -> Result<(), InflateError> {
        if let End::Block = self.feed(context, src)?
            && let End::Block = self.tail(context, &LAST_TAIL)?
        {
            return Err(InflateError::Corrupt);
        }
        Ok(())
    }

    /// What stands behind a message says nothing. If something is read of it, it was taken for the
    /// rest of a block that was cut short.
    fn tail(&mut self, context: &mut Decompress, tail: &[u8]) -> Result<End, InflateError> {
        let end = self.end;
        let ended = self.feed(context, tail)?;
        match self.end == end {
            true => Ok(ended),
            false => Err(InflateError::Corrupt),
        }
    }

    fn feed(&mut self, context: &mut Decompress, mut src: &[u8]) -> Result<End, InflateError> {
        loop {
            self.make_room(src.len());
            let (read, written) = (context.total_in(), context.total_out());
            let status = context
                .decompress(src, &mut self.out[self.end..], FlushDecompress::Sync)
                .map_err(|_| InflateError::Corrupt)?;
            let read = (context.total_in() - read) as usize;
            src = &src[read..];
            self.end += (context.total_out() - written) as usize;
            if self.end - self.start > self.limit {
                return Err(InflateError::TooLarge { limit: self.limit });
            }
            if status == Status::StreamEnd {
                // The window goes with the stream. RFC 7692 would let it be referred to; no sender
                // that ends its stream keeps one.
                context.reset(false);
                if src.is_empty() {
                    return Ok(End::Stream);
                }
                self.next_stream()?;
            } else if self.end == self.out.len() {
                // There may be more to come.
            } else if src.is_empty() {
                return Ok(End::Block);
            } else if read == 0 {
                return Err(InflateError::Corrupt);
            }
        }
    }

    fn next_stream(&mut self) -> Result<(), InflateError> {
        self.streams += 1;
        if self.streams > MOST_STREAMS {
            return Err(InflateError::TooManyStreams {
                limit: MOST_STREAMS,
            });
        }
        Ok(())
    }

    /// Room for four times the input, then as much again as was read so far, up to one byte above
    /// the limit: that byte tells a message at the limit from one beyond.
    fn make_room(&mut self, input: usize) {
        if self.end < self.out.len() {
            return;
        }
        let produced = self.end - self.start;
        let most = (self.limit - produced).saturating_add(1);
        let step = produced
            .max(input.saturating_mul(4))
            .clamp(LEAST_STEP, LARGEST_STEP)
            .min(most);
        self.out.reserve_exact(step);
        self.out.resize(self.end + step, 0);
    }
}

/// The tail, and an empty, stored, final block.
const LAST_TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// Every sender known writes one stream per connection or one per message. A sender that compresses
/// each fragment for itself gets this many.
const MOST_STREAMS: usize = 64;

/// The least and the most room to make at a time, in bytes.
const LEAST_STEP: usize = 2048;
const LARGEST_STEP: usize = 1 << 20;
