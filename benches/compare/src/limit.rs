//! What cannot be saved, as code: one copy out of the socket, one pass to unmask, one to check text, no
//! allocation, no rule of the protocol enforced. Not a library; nobody can be much below it.

use std::io::{IoSlice, Write as _};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::case::{Case, Takeover};
use crate::peer::{Flush, Mask, Peer, Seen};
use crate::wire::Wire;

mod wide;

/// Payloads from here on are read into a place of their own, and not copied to be sent.
const LARGE: usize = 8 << 10;

pub struct Limit;

impl Peer for Limit {
    fn name(&self) -> &'static str {
        "limit"
    }

    fn package(&self) -> &'static str {
        "compare"
    }

    fn mask(&self) -> Option<Mask> {
        Some(wide::mask)
    }

    fn decode(&self, case: &Case) -> Seen {
        let size = case.payload.len();
        let mut wire = Wire::new(&case.stream, case.chunk);
        let mut seen = Seen::default();
        let mut buf = vec![0; case.chunk.max(size + 14) + case.chunk];
        let mut large = vec![0; size + 64];
        // A large payload is read into its place, so as little of it as possible in front of that.
        let chunk = if size >= LARGE { 4096 } else { case.chunk };
        let (mut start, mut end) = (0, 0);
        loop {
            while let Some(header) = Head::parse(&buf[start..end]) {
                let body = start + header.size;
                if end - body < header.len {
                    if header.len < LARGE {
                        break;
                    }
                    let aligned = large.as_ptr().align_offset(64);
                    let payload = &mut large[aligned..aligned + header.len];
                    let mut have = end - body;
                    payload[..have].copy_from_slice(&buf[body..end]);
                    while have < header.len {
                        let bytes = wire.recv(header.len - have);
                        payload[have..have + bytes.len()].copy_from_slice(bytes);
                        have += bytes.len();
                    }
                    header.finish(payload, &mut seen);
                    (start, end) = (0, 0);
                    continue;
                }
                header.finish(&mut buf[body..body + header.len], &mut seen);
                start = body + header.len;
            }
            if start == end {
                (start, end) = (0, 0);
            } else if buf.len() - end < case.chunk {
                buf.copy_within(start..end, 0);
                (start, end) = (0, end - start);
            }
            let bytes = wire.recv(chunk);
            if bytes.is_empty() {
                return seen;
            }
            buf[end..end + bytes.len()].copy_from_slice(bytes);
            end += bytes.len();
        }
    }

    /// Small frames gathered in one buffer, large payloads beside their headers.
    fn encode(&self, case: &Case, flush: Flush) {
        let mut wire = Wire::sink();
        let mut out = Vec::with_capacity(64 << 10);
        let payload = &case.payload;
        if flush == Flush::Each {
            header(&mut out, case);
            out.extend_from_slice(payload);
            for _ in 0..case.count {
                wire.write_all(std::hint::black_box(&out))
                    .expect("it is written");
            }
            return;
        }
        for _ in 0..case.count {
            header(&mut out, case);
            if payload.len() >= LARGE {
                wire.put_vectored(&[IoSlice::new(&out), IoSlice::new(payload)]);
                out.clear();
                continue;
            }
            out.extend_from_slice(payload);
            if out.len() >= 48 << 10 {
                wire.write_all(&out).expect("it is written");
                out.clear();
            }
        }
        wire.write_all(&out).expect("it is written");
    }

    fn inflate(&self, case: &Case, takeover: Takeover) -> Option<Seen> {
        let mut codec = Decompress::new(false);
        let mut seen = Seen::default();
        let mut stream = case.stream.to_vec();
        let mut text = Vec::with_capacity(case.payload.len() + 64);
        let mut rest = &mut stream[..];
        while let Some(header) = Head::parse(rest) {
            let (frame, behind) = rest.split_at_mut(header.size + header.len);
            rest = behind;
            let payload = &mut frame[header.size..];
            wide::mask(payload, header.key);
            text.clear();
            for piece in [&*payload, &[0, 0, 0xff, 0xff]] {
                codec
                    .decompress_vec(piece, &mut text, FlushDecompress::Sync)
                    .expect("well-formed");
            }
            if takeover == Takeover::No {
                codec.reset(false);
            }
            simdutf8::basic::from_utf8(&text).expect("it is text");
            seen.message(&text);
        }
        Some(seen)
    }

    fn deflate(&self, case: &Case, takeover: Takeover) -> Option<()> {
        let mut codec = Compress::new(Compression::new(6), false);
        let mut out = Vec::with_capacity(case.payload.len() + 1024);
        let mut wire = Wire::sink();
        for _ in 0..case.count {
            out.clear();
            codec
                .compress_vec(&case.payload, &mut out, FlushCompress::Sync)
                .expect("zlib compresses anything");
            if takeover == Takeover::No {
                codec.reset();
            }
            wire.write_all(&out[..out.len() - 4])
                .expect("it is written");
        }
        Some(())
    }
}

struct Head {
    text: bool,
    key: [u8; 4],
    len: usize,
    size: usize,
}

impl Head {
    fn parse(buf: &[u8]) -> Option<Self> {
        let (first, second) = (*buf.first()?, *buf.get(1)? & 0x7f);
        let (len, size) = match second {
            126 => (u16::from_be_bytes(*buf[2..].first_chunk()?).into(), 4),
            127 => (u64::from_be_bytes(*buf[2..].first_chunk()?) as usize, 10),
            len => (len.into(), 2),
        };
        Some(Self {
            text: first & 0x0f == 1,
            key: *buf[size..].first_chunk()?,
            len,
            size: size + 4,
        })
    }

    fn finish(&self, payload: &mut [u8], seen: &mut Seen) {
        wide::mask(payload, self.key);
        if self.text {
            simdutf8::basic::from_utf8(payload).expect("it is text");
        }
        seen.message(payload);
    }
}

fn header(out: &mut Vec<u8>, case: &Case) {
    out.push(if case.text { 0x81 } else { 0x82 });
    match case.payload.len() {
        len @ 0..126 => out.push(len as u8),
        len @ 126..0x1_0000 => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}
