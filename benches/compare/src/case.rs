//! What is measured: a payload, and the stream of masked client frames that carry it.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};

/// One workload.
pub struct Case {
    pub name: String,
    pub text: bool,
    /// How many messages a round has.
    pub count: usize,
    /// The most that a read gives, in bytes.
    pub chunk: usize,
    pub payload: Bytes,
    /// `count` frames, masked each with a key of its own.
    pub stream: Bytes,
}

/// What a payload is made of.
#[derive(Clone, Copy)]
pub enum Content {
    /// Any bytes; sent as a binary message, all others as text.
    Binary,
    /// JSON, all of it ASCII.
    Ascii,
    /// Ukrainian, Chinese and some ASCII.
    Utf8,
    /// JSON that is not the same twice, for compression.
    Varied,
}

/// Whether the window of permessage-deflate outlives a message.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Takeover {
    No,
    Yes,
}

impl Case {
    /// Messages of `size` bytes, about `total` bytes of them in a round.
    pub fn new(content: Content, size: usize, total: usize) -> Self {
        let payload = payload(content, size);
        let count = (total / (size + 14)).clamp(8, 40_000);
        let text = !matches!(content, Content::Binary);
        let kind = match content {
            Content::Ascii | Content::Varied => "text",
            Content::Binary => "binary",
            Content::Utf8 => "non-ASCII",
        };
        let stream = frames(if text { 0x81 } else { 0x82 }, count, |_| payload.clone());
        Self {
            name: format!("{} {kind}", bytes(size)),
            text,
            count,
            chunk: 64 << 10,
            payload: payload.into(),
            stream,
        }
    }

    /// The same messages, compressed at zlib's level 6 with a window of 15 bits.
    pub fn compressed(&self, takeover: Takeover) -> Self {
        let mut codec = Compress::new(Compression::new(6), false);
        let opcode = if self.text { 0x81 } else { 0x82 };
        let stream = frames(opcode | 0x40, self.count, |_| {
            let mut out = Vec::with_capacity(2 * self.payload.len() + 64);
            codec
                .compress_vec(&self.payload, &mut out, FlushCompress::Sync)
                .expect("zlib compresses anything");
            out.truncate(out.len() - 4);
            if takeover == Takeover::No {
                codec.reset();
            }
            out
        });
        Self {
            name: self.name.clone(),
            text: self.text,
            count: self.count,
            chunk: self.chunk,
            payload: self.payload.clone(),
            stream,
        }
    }
}

/// A size as a person writes it.
pub fn bytes(size: usize) -> String {
    match size {
        0..1024 => format!("{size} B"),
        1024..0x10_0000 => format!("{} KiB", size >> 10),
        _ => format!("{} MiB", size >> 20),
    }
}

fn payload(content: Content, size: usize) -> Vec<u8> {
    let repeat = |text: &str| text.bytes().cycle().take(size).collect::<Vec<u8>>();
    match content {
        Content::Binary => (0..size).map(|i| (i * 31 + 7) as u8).collect(),
        Content::Ascii => repeat(r#"{"event":"chat message","user":"abc","n":12345} "#),
        Content::Utf8 => {
            let mut text = repeat("Зв'язок 世界 ok ");
            while std::str::from_utf8(&text).is_err() {
                text.pop();
            }
            text.resize(size, b'x');
            text
        }
        Content::Varied => {
            let mut state = 88_172_645_463_325_252_u64;
            let mut text = Vec::new();
            while text.len() < size {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let (id, user, word) = (state % 100_000, state % 997, state % 65_536);
                let item = format!(r#"{{"id":{id},"user":"u{user}","text":"message {word:x}"}},"#);
                text.extend(item.into_bytes());
            }
            text.truncate(size);
            text
        }
    }
}

/// RFC 6455 §5.2, written down here once more, so that no library writes the input of the others.
fn frames(first: u8, count: usize, mut payload: impl FnMut(usize) -> Vec<u8>) -> Bytes {
    let mut stream = Vec::new();
    let mut key = 0x1234_5678_u32;
    for at in 0..count {
        let payload = payload(at);
        stream.push(first);
        match payload.len() {
            len @ 0..126 => stream.push(0x80 | len as u8),
            len @ 126..0x1_0000 => {
                stream.push(0x80 | 126);
                stream.extend((len as u16).to_be_bytes());
            }
            len => {
                stream.push(0x80 | 127);
                stream.extend((len as u64).to_be_bytes());
            }
        }
        key = key.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let key = key.to_ne_bytes();
        stream.extend(key);
        stream.extend(
            payload
                .iter()
                .zip(key.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
    }
    stream.into()
}
