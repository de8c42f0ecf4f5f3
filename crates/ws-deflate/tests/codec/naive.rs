//! RFC 1951 and RFC 7692 once more, bit by bit, for nothing but being obviously right.

/// A message that cannot be read.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Unreadable;

/// Reads messages one after the other, as the peer of a `Deflate` does, and checks that nothing
/// reaches further back than the window agreed to.
pub(crate) struct Reader {
    window: usize,
    takeover: bool,
    /// All that was read on this connection.
    history: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(window_bits: u8, takeover: bool) -> Self {
        Self {
            window: 1 << window_bits,
            takeover,
            history: Vec::new(),
        }
    }

    /// One message that ends with a block of its own, as every message of ours does.
    pub(crate) fn message(&mut self, src: &[u8]) -> Result<Vec<u8>, Unreadable> {
        if !self.takeover {
            self.history.clear();
        }
        let start = self.history.len();
        let bytes = [src, &[0x00, 0x00, 0xff, 0xff]].concat();
        let mut bits = Bits {
            bytes: &bytes,
            at: 0,
        };
        while bits.at < 8 * bytes.len() {
            let last = block(&mut bits, &mut self.history, self.window)?;
            assert!(!last, "we end no stream");
        }
        Ok(self.history[start..].to_vec())
    }
}

/// Any bytes as a message of a connection without context take-over.
pub(crate) fn read_alone(src: &[u8]) -> Result<Vec<u8>, Unreadable> {
    if src.is_empty() {
        return Ok(Vec::new());
    }
    let tail: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];
    let bytes = [src, &tail].concat();
    // Whole is a message that ends with a stream of its own, or that a final block can follow. And
    // what follows says nothing.
    let (said, _) = streams(src, &[src.len()]);
    let (out, is_whole) = streams(&bytes, &[src.len(), bytes.len()]);
    match is_whole && out == said {
        true => Ok(out),
        false => Err(Unreadable),
    }
}

/// What stands in streams, as far as they can be read, and whether one of them ends at one of `ends`.
fn streams(bytes: &[u8], ends: &[usize]) -> (Vec<u8>, bool) {
    let mut bits = Bits { bytes, at: 0 };
    let mut out = Vec::new();
    for _ in 0..64 {
        let mut stream = Vec::new();
        let read = loop {
            match block(&mut bits, &mut stream, 1 << 15) {
                Ok(false) => {}
                Ok(true) => break true,
                Err(Unreadable) => break false,
            }
        };
        out.append(&mut stream);
        bits.at = bits.at.next_multiple_of(8);
        let is_whole = ends.contains(&(bits.at / 8));
        if !read || is_whole {
            return (out, read && is_whole);
        }
    }
    (out, false)
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<usize, Unreadable> {
        let byte = self.bytes.get(self.at / 8).ok_or(Unreadable)?;
        let bit = byte >> (self.at % 8) & 1;
        self.at += 1;
        Ok(bit.into())
    }

    /// Least significant bit first (RFC 1951 §3.1.1).
    fn number(&mut self, count: usize) -> Result<usize, Unreadable> {
        (0..count).try_fold(0, |number, at| Ok(number | self.bit()? << at))
    }
}

/// §3.2.3; whether it was the final one.
fn block(bits: &mut Bits<'_>, out: &mut Vec<u8>, window: usize) -> Result<bool, Unreadable> {
    let last = bits.bit()? == 1;
    match bits.number(2)? {
        0 => stored(bits, out)?,
        1 => coded(bits, out, window, &fixed_literals(), &Code::new(&[5; 30]))?,
        2 => {
            let (literals, distances) = dynamic_codes(bits)?;
            coded(bits, out, window, &literals, &distances)?;
        }
        _ => return Err(Unreadable),
    }
    Ok(last)
}

/// §3.2.4
fn stored(bits: &mut Bits<'_>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    bits.at = bits.at.next_multiple_of(8);
    let (len, complement) = (bits.number(16)?, bits.number(16)?);
    if len ^ complement != 0xffff {
        return Err(Unreadable);
    }
    for _ in 0..len {
        out.push(bits.number(8)? as u8);
    }
    Ok(())
}

/// §3.2.5
fn coded(
    bits: &mut Bits<'_>,
    out: &mut Vec<u8>,
    window: usize,
    literals: &Code,
    distances: &Code,
) -> Result<(), Unreadable> {
    loop {
        match literals.symbol(bits)? {
            literal @ 0..=255 => out.push(literal as u8),
            256 => return Ok(()),
            symbol @ 257..=285 => {
                let len = extended(symbol - 257, 4, 3, bits)?;
                let distance = distances.symbol(bits)?;
                if distance > 29 {
                    return Err(Unreadable);
                }
                let distance = extended(distance, 2, 1, bits)?;
                if distance > out.len() || distance > window {
                    return Err(Unreadable);
                }
                for _ in 0..len {
                    out.push(out[out.len() - distance]);
                }
            }
            _ => return Err(Unreadable),
        }
    }
}

/// The tables of §3.2.5 as the rule behind them: `per` values for each number of extra bits.
fn extended(
    symbol: usize,
    per: usize,
    least: usize,
    bits: &mut Bits<'_>,
) -> Result<usize, Unreadable> {
    if per == 4 && symbol == 28 {
        return Ok(258);
    }
    let extra = (symbol / per).saturating_sub(1);
    let base = if extra == 0 {
        symbol
    } else {
        (per + symbol % per) << extra
    };
    Ok(least + base + bits.number(extra)?)
}

/// §3.2.6
fn fixed_literals() -> Code {
    let lengths: Vec<usize> = (0..288)
        .map(|symbol| match symbol {
            0..=143 => 8,
            144..=255 => 9,
            256..=279 => 7,
            _ => 8,
        })
        .collect();
    Code::new(&lengths)
}

/// §3.2.7
fn dynamic_codes(bits: &mut Bits<'_>) -> Result<(Code, Code), Unreadable> {
    let (literals, distances) = (bits.number(5)? + 257, bits.number(5)? + 1);
    let used = bits.number(4)? + 4;
    if literals > 286 || distances > 30 {
        return Err(Unreadable);
    }
    let order = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ];
    let mut lengths = [0; 19];
    for place in &order[..used] {
        lengths[*place] = bits.number(3)?;
    }
    let code = Code::new(&lengths);
    if code.left() != 0 {
        return Err(Unreadable);
    }
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        match code.symbol(bits)? {
            len @ 0..=15 => lengths.push(len),
            16 => {
                let last = *lengths.last().ok_or(Unreadable)?;
                let times = 3 + bits.number(2)?;
                lengths.extend(std::iter::repeat_n(last, times));
            }
            symbol => {
                let times = if symbol == 17 {
                    3 + bits.number(3)?
                } else {
                    11 + bits.number(7)?
                };
                lengths.extend(std::iter::repeat_n(0, times));
            }
        }
    }
    // Without a code for the end a block could not end.
    if lengths.len() > literals + distances || lengths[256] == 0 {
        return Err(Unreadable);
    }
    let distances = Code::new(&lengths[literals..]);
    let literals = Code::new(&lengths[..literals]);
    if literals.is_broken() || distances.is_broken() {
        return Err(Unreadable);
    }
    Ok((literals, distances))
}

/// A Huffman code by the lengths of its symbols, §3.2.2.
struct Code {
    /// How many symbols have a word of each length.
    counts: [usize; 16],
    /// The symbols in the order of their words.
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for (len, count) in counts.iter_mut().enumerate().skip(1) {
            let before = symbols.len();
            symbols.extend((0..lengths.len()).filter(|symbol| lengths[*symbol] == len));
            *count = symbols.len() - before;
        }
        Self { counts, symbols }
    }

    /// How much of the space of words is not used; negative if there is not enough.
    fn left(&self) -> isize {
        (1..=15).fold(1 << 15, |left, len| {
            left - ((self.counts[len] as isize) << (15 - len))
        })
    }

    /// A code must be complete, but for one of a single word of one bit, or none at all.
    fn is_broken(&self) -> bool {
        let single = self.symbols.is_empty() || self.symbols.len() == 1 && self.counts[1] == 1;
        self.left() < 0 || self.left() > 0 && !single
    }

    /// Most significant bit first (§3.1.1). The words of one length follow each other, and the first
    /// of the next length follows the last of them with a zero behind it.
    fn symbol(&self, bits: &mut Bits<'_>) -> Result<usize, Unreadable> {
        let (mut word, mut first, mut at) = (0, 0, 0);
        for count in &self.counts[1..] {
            word = word << 1 | bits.bit()?;
            first <<= 1;
            if word < first + count {
                return Ok(self.symbols[at + word - first]);
            }
            first += count;
            at += count;
        }
        Err(Unreadable)
    }
}
