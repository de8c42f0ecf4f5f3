//! Minimal WebSocket client framing: precomputed masked frames out, a streaming
//! counter in. Payloads are never copied: only the first bytes of a message are kept.

pub const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
pub const PREFIX: usize = 96;

pub fn client_frame(op: u8, payload: &[u8]) -> Vec<u8> {
    let mut v = Vec::with_capacity(payload.len() + 14);
    v.push(0x80 | op);
    match payload.len() {
        n if n < 126 => v.push(0x80 | n as u8),
        n if n < 65536 => {
            v.push(0x80 | 126);
            v.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            v.push(0x80 | 127);
            v.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    v.extend_from_slice(&KEY);
    v.extend(payload.iter().enumerate().map(|(i, b)| b ^ KEY[i & 3]));
    v
}

pub fn text(s: &str) -> Vec<u8> {
    client_frame(1, s.as_bytes())
}

/// A complete message: opcode, first bytes (up to PREFIX, or all if it was contiguous), length.
pub struct Msg<'a> {
    pub op: u8,
    pub prefix: &'a [u8],
    pub len: u64,
}

#[derive(Clone)]
pub struct Parser {
    hdr: [u8; 10],
    hlen: u8,
    need: u8,
    op: u8,     // opcode of the current frame
    msg_op: u8, // opcode of the current data message
    fin: bool,
    in_payload: bool,
    remaining: u64,
    msg_len: u64,
    prefix: [u8; PREFIX],
    plen: u8,
}

impl Default for Parser {
    fn default() -> Self {
        Parser {
            hdr: [0; 10],
            hlen: 0,
            need: 2,
            op: 0,
            msg_op: 0,
            fin: false,
            in_payload: false,
            remaining: 0,
            msg_len: 0,
            prefix: [0; PREFIX],
            plen: 0,
        }
    }
}

impl Parser {
    pub fn feed(&mut self, mut b: &[u8], mut f: impl FnMut(Msg)) -> Result<(), &'static str> {
        loop {
            if !self.in_payload {
                while self.hlen < self.need {
                    let Some((&x, rest)) = b.split_first() else {
                        return Ok(());
                    };
                    self.hdr[self.hlen as usize] = x;
                    self.hlen += 1;
                    b = rest;
                    if self.hlen == 2 {
                        if self.hdr[0] & 0x70 != 0 {
                            return Err("rsv bits");
                        }
                        if self.hdr[1] & 0x80 != 0 {
                            return Err("masked server frame");
                        }
                        self.need = match self.hdr[1] & 0x7f {
                            126 => 4,
                            127 => 10,
                            _ => 2,
                        };
                    }
                }
                let len = match self.need {
                    2 => (self.hdr[1] & 0x7f) as u64,
                    4 => u16::from_be_bytes([self.hdr[2], self.hdr[3]]) as u64,
                    _ => u64::from_be_bytes(self.hdr[2..10].try_into().unwrap()),
                };
                self.fin = self.hdr[0] & 0x80 != 0;
                self.op = self.hdr[0] & 0x0f;
                self.hlen = 0;
                self.need = 2;
                self.remaining = len;
                if self.op == 1 || self.op == 2 {
                    self.msg_op = self.op;
                    self.msg_len = 0;
                    self.plen = 0;
                    // fast path: the whole single-frame message is here
                    if self.fin && b.len() as u64 >= len {
                        let (p, rest) = b.split_at(len as usize);
                        f(Msg {
                            op: self.op,
                            prefix: p,
                            len,
                        });
                        b = rest;
                        continue;
                    }
                } else if self.op >= 8 {
                    self.plen = 0; // control frames between fragments would clobber the prefix: fine here
                }
                self.in_payload = true;
            }
            let take = (self.remaining.min(b.len() as u64)) as usize;
            let room = PREFIX - self.plen as usize;
            let cp = room.min(take);
            self.prefix[self.plen as usize..self.plen as usize + cp].copy_from_slice(&b[..cp]);
            self.plen += cp as u8;
            if self.op < 8 {
                self.msg_len += take as u64;
            }
            self.remaining -= take as u64;
            b = &b[take..];
            if self.remaining > 0 {
                return Ok(());
            }
            self.in_payload = false;
            if self.op >= 8 {
                f(Msg {
                    op: self.op,
                    prefix: &self.prefix[..self.plen as usize],
                    len: self.plen as u64,
                });
            } else if self.fin {
                f(Msg {
                    op: self.msg_op,
                    prefix: &self.prefix[..self.plen as usize],
                    len: self.msg_len,
                });
            }
        }
    }
}
