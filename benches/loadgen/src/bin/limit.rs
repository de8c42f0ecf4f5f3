//! The floor: one thread, epoll, one `recv` per readable event, one `send` per delivery, frames built
//! once. No protocol state beyond what the load generator needs, no timers, no validation. What it
//! costs is what the kernel costs. NOT a usable server. io_uring was tried for the sends and moved
//! the floor nowhere.
//!
//! `PORT` says where on the loopback interface. `COALESCE=1`: broadcasts that arrive in one read leave
//! as one `send` per receiver.
use std::collections::HashMap;
use std::os::fd::RawFd;

struct Conn {
    open: bool,
    buf: Vec<u8>, // only holds a partial frame or request
    out: Vec<u8>, // only holds what the socket did not take
    off: usize,
    http: bool,
    bin: bool, // a 451- header came; the next binary frame is its attachment
               // polling: a held GET on this connection
}

#[derive(Default)]
struct Sess {
    held: Option<RawFd>,
    pending: Vec<u8>,
}

struct S {
    ep: RawFd,
    conns: Vec<Conn>, // by fd
    all: Vec<RawFd>,
    rooms: HashMap<Vec<u8>, Vec<RawFd>>,
    sess: Vec<Sess>,
    /// COALESCE=1: broadcasts that arrive in one read go out as one send per receiver
    coalesce: bool,
    batch: Vec<u8>,
}

fn head(op: u8, n: usize, v: &mut Vec<u8>) {
    v.push(0x80 | op);
    if n < 126 {
        v.push(n as u8);
    } else if n < 65536 {
        v.push(126);
        v.extend_from_slice(&(n as u16).to_be_bytes());
    } else {
        v.push(127);
        v.extend_from_slice(&(n as u64).to_be_bytes());
    }
}

fn unmask(b: &mut [u8], key: [u8; 4]) {
    let k = u32::from_ne_bytes(key);
    let k8 = ((k as u64) << 32) | k as u64;
    let mut it = b.chunks_exact_mut(8);
    for c in &mut it {
        let x = u64::from_ne_bytes(c.try_into().unwrap()) ^ k8;
        c.copy_from_slice(&x.to_ne_bytes());
    }
    for (i, x) in it.into_remainder().iter_mut().enumerate() {
        *x ^= key[i & 3];
    }
}

impl S {
    fn send(&mut self, fd: RawFd, b: &[u8]) {
        let c = &mut self.conns[fd as usize];
        if !c.open {
            return;
        }
        if c.off < c.out.len() {
            c.out.extend_from_slice(b);
            return;
        }
        let r = unsafe {
            libc::send(
                fd,
                b.as_ptr() as _,
                b.len(),
                libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
            )
        };
        let r = r.max(0) as usize;
        if r < b.len() {
            c.out.clear();
            c.off = 0;
            c.out.extend_from_slice(&b[r..]);
            self.ctl(
                fd,
                libc::EPOLL_CTL_MOD,
                (libc::EPOLLIN | libc::EPOLLOUT) as u32,
            );
        }
    }
    fn ctl(&self, fd: RawFd, op: i32, ev: u32) {
        let mut e = libc::epoll_event {
            events: ev,
            u64: fd as u64,
        };
        unsafe { libc::epoll_ctl(self.ep, op, fd, &mut e) };
    }
    fn writable(&mut self, fd: RawFd) {
        let c = &mut self.conns[fd as usize];
        let r = unsafe {
            libc::send(
                fd,
                c.out[c.off..].as_ptr() as _,
                c.out.len() - c.off,
                libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
            )
        };
        c.off += r.max(0) as usize;
        if c.off == c.out.len() {
            c.out = vec![];
            c.off = 0;
            self.ctl(fd, libc::EPOLL_CTL_MOD, libc::EPOLLIN as u32);
        }
    }
    fn close(&mut self, fd: RawFd) {
        self.conns[fd as usize].open = false;
        if let Some(i) = self.all.iter().position(|f| *f == fd) {
            self.all.swap_remove(i);
        }
        for r in self.rooms.values_mut() {
            r.retain(|f| *f != fd);
        }
        unsafe { libc::close(fd) };
    }

    fn to_all(&mut self, f: &[u8]) {
        let all = std::mem::take(&mut self.all);
        for &t in &all {
            self.send(t, f);
        }
        self.all = all;
    }

    /// One client message. `reply` collects what goes back to this socket: one send per batch.
    fn message(&mut self, fd: RawFd, op: u8, p: &[u8], reply: &mut Vec<u8>) {
        if op == 2 {
            if std::mem::take(&mut self.conns[fd as usize].bin) {
                let h = b"451-[\"echo2\",{\"_placeholder\":true,\"num\":0}]";
                head(1, h.len(), reply);
                reply.extend_from_slice(h);
                head(2, p.len(), reply);
                reply.extend_from_slice(p);
            }
            return;
        }
        if p == b"40" {
            let m = b"40{\"sid\":\"xxxxxxxxxxxxxxxxxxxx\"}";
            head(1, m.len(), reply);
            reply.extend_from_slice(m);
            self.all.push(fd);
            return;
        }
        if p.starts_with(b"451") {
            self.conns[fd as usize].bin = true;
            return;
        }
        if !p.starts_with(b"42") {
            return;
        }
        let i = 2 + p[2..].iter().position(|b| *b == b'[').unwrap_or(0);
        let (id, args) = (&p[2..i], &p[i..]);
        if args.starts_with(b"[\"echo\",") {
            let rest = &args[8..];
            head(1, 3 + id.len() + rest.len(), reply);
            reply.extend_from_slice(b"43");
            reply.extend_from_slice(id);
            reply.push(b'[');
            reply.extend_from_slice(rest);
        } else if args.starts_with(b"[\"echo2\"") {
            head(1, p.len(), reply);
            reply.extend_from_slice(p);
        } else if args.starts_with(b"[\"join\",\"") {
            let room = &args[9..args.len() - 2];
            self.rooms.entry(room.to_vec()).or_default().push(fd);
            head(1, 2 + id.len() + 6, reply);
            reply.extend_from_slice(b"43");
            reply.extend_from_slice(id);
            reply.extend_from_slice(b"[\"ok\"]");
        } else if args.starts_with(b"[\"bcast\"") {
            let mut f = Vec::with_capacity(p.len() + 10);
            head(1, p.len(), &mut f);
            f.extend_from_slice(p);
            if self.coalesce {
                self.batch.extend_from_slice(&f);
                return;
            }
            self.to_all(&f);
        } else if args.starts_with(b"[\"rcast\",\"") {
            let rest = &args[10..];
            let q = rest.iter().position(|b| *b == b'"').unwrap();
            let (room, tail) = (&rest[..q], &rest[q + 1..]);
            let mut f = Vec::with_capacity(p.len() + 10);
            head(1, 10 + tail.len(), &mut f);
            f.extend_from_slice(b"42[\"rcast\"");
            f.extend_from_slice(tail);
            if let Some(r) = self.rooms.remove(room) {
                for &t in &r {
                    self.send(t, &f);
                }
                self.rooms.insert(room.to_vec(), r);
            }
        }
    }

    fn http_reply(&mut self, fd: RawFd, body: &[u8]) {
        let mut o = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        o.extend_from_slice(body);
        self.send(fd, &o);
    }

    /// Returns the bytes consumed.
    fn http(&mut self, fd: RawFd, b: &[u8]) -> usize {
        let Some(h) = b.windows(4).position(|w| w == b"\r\n\r\n") else {
            return 0;
        };
        let q = &b[..b.iter().position(|c| *c == b'\r').unwrap()];
        let has = |n: &[u8]| q.windows(n.len()).position(|w| w == n);
        if has(b"transport=websocket").is_some() {
            let open = b"0{\"sid\":\"aaaaaaaaaaaaaaaaaaaa\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}";
            let mut o = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n".to_vec();
            head(1, open.len(), &mut o);
            o.extend_from_slice(open);
            self.conns[fd as usize].http = false;
            self.send(fd, &o);
            return h + 4;
        }
        let sid = has(b"&sid=").map(|i| {
            q[i + 5..]
                .iter()
                .take_while(|c| c.is_ascii_digit())
                .fold(0usize, |a, c| a * 10 + (c - b'0') as usize)
        });
        if q.starts_with(b"GET") {
            match sid {
                None => {
                    self.sess.push(Sess::default());
                    let m = format!(
                        "0{{\"sid\":\"{}\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}}",
                        self.sess.len() - 1
                    );
                    self.http_reply(fd, m.as_bytes());
                }
                Some(s) => {
                    let p = std::mem::take(&mut self.sess[s].pending);
                    if p.is_empty() {
                        self.sess[s].held = Some(fd);
                    } else {
                        self.http_reply(fd, &p);
                    }
                }
            }
            return h + 4;
        }
        let hd = &b[..h];
        let cl = hd
            .windows(16)
            .position(|w| w.eq_ignore_ascii_case(b"content-length: "))
            .map_or(0, |i| {
                hd[i + 16..]
                    .iter()
                    .take_while(|c| c.is_ascii_digit())
                    .fold(0usize, |a, c| a * 10 + (c - b'0') as usize)
            });
        if b.len() < h + 4 + cl {
            return 0;
        }
        let s = sid.unwrap();
        self.http_reply(fd, b"ok");
        for p in b[h + 4..h + 4 + cl].split(|c| *c == 0x1e) {
            let m: &[u8] = if p == b"40" {
                b"40{\"sid\":\"xxxxxxxxxxxxxxxxxxxx\"}"
            } else if p.starts_with(b"42") {
                p
            } else {
                continue;
            };
            match self.sess[s].held.take() {
                Some(g) => self.http_reply(g, m),
                None => {
                    if !self.sess[s].pending.is_empty() {
                        self.sess[s].pending.push(0x1e);
                    }
                    self.sess[s].pending.extend_from_slice(m);
                }
            }
        }
        h + 4 + cl
    }

    fn consume(&mut self, fd: RawFd, b: &mut [u8]) -> usize {
        let mut used = 0;
        let mut reply = vec![];
        loop {
            if !self.conns[fd as usize].open {
                return b.len();
            }
            let d = &mut b[used..];
            if self.conns[fd as usize].http {
                if d.is_empty() {
                    break;
                }
                let n = self.http(fd, d);
                if n == 0 {
                    break;
                }
                used += n;
                continue;
            }
            if d.len() < 6 {
                break;
            }
            let (hl, n) = match d[1] & 0x7f {
                126 if d.len() >= 8 => (4, u16::from_be_bytes([d[2], d[3]]) as usize),
                127 if d.len() >= 14 => (
                    10,
                    u64::from_be_bytes(d[2..10].try_into().unwrap()) as usize,
                ),
                126 | 127 => break,
                n => (2, n as usize),
            };
            if d.len() < hl + 4 + n {
                break;
            }
            let key = d[hl..hl + 4].try_into().unwrap();
            let op = d[0] & 15;
            let p = &mut d[hl + 4..hl + 4 + n];
            unmask(p, key);
            if op == 8 {
                used += hl + 4 + n;
                self.close(fd);
                return used;
            }
            self.message(fd, op, p, &mut reply);
            used += hl + 4 + n;
        }
        if !reply.is_empty() {
            self.send(fd, &reply);
        }
        if !self.batch.is_empty() {
            let f = std::mem::take(&mut self.batch);
            self.to_all(&f);
        }
        used
    }
}

fn main() {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    unsafe {
        let mut r: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        r.rlim_cur = r.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &r);
        let l = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
        let one = 1i32;
        libc::setsockopt(
            l,
            libc::SOL_SOCKET,
            libc::SO_REUSEADDR,
            &one as *const _ as _,
            4,
        );
        let a = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr {
                s_addr: 0x7f000001u32.to_be(),
            },
            sin_zero: [0; 8],
        };
        assert!(libc::bind(l, &a as *const _ as _, 16) == 0, "bind");
        assert!(libc::listen(l, 4096) == 0);
        let ep = libc::epoll_create1(0);
        let mut s = S {
            ep,
            conns: vec![],
            all: vec![],
            rooms: HashMap::new(),
            sess: vec![],
            coalesce: std::env::var("COALESCE").is_ok(),
            batch: vec![],
        };
        s.ctl(l, libc::EPOLL_CTL_ADD, libc::EPOLLIN as u32);
        let mut evs: Vec<libc::epoll_event> = (0..1024)
            .map(|_| libc::epoll_event { events: 0, u64: 0 })
            .collect();
        let mut scratch = vec![0u8; 256 * 1024];
        loop {
            let n = libc::epoll_wait(ep, evs.as_mut_ptr(), 1024, -1);
            for i in 0..n.max(0) as usize {
                let fd = evs[i].u64 as RawFd;
                let bits = evs[i].events;
                if fd == l {
                    loop {
                        let c = libc::accept4(
                            l,
                            std::ptr::null_mut(),
                            std::ptr::null_mut(),
                            libc::SOCK_NONBLOCK,
                        );
                        if c < 0 {
                            break;
                        }
                        libc::setsockopt(
                            c,
                            libc::IPPROTO_TCP,
                            libc::TCP_NODELAY,
                            &one as *const _ as _,
                            4,
                        );
                        while s.conns.len() <= c as usize {
                            s.conns.push(Conn {
                                open: false,
                                buf: vec![],
                                out: vec![],
                                off: 0,
                                http: true,
                                bin: false,
                            });
                        }
                        s.conns[c as usize] = Conn {
                            open: true,
                            buf: vec![],
                            out: vec![],
                            off: 0,
                            http: true,
                            bin: false,
                        };
                        s.ctl(c, libc::EPOLL_CTL_ADD, libc::EPOLLIN as u32);
                    }
                    continue;
                }
                if !s.conns[fd as usize].open {
                    continue;
                }
                if bits & libc::EPOLLOUT as u32 != 0 {
                    s.writable(fd);
                }
                if bits & !(libc::EPOLLOUT as u32) == 0 {
                    continue;
                }
                let r = libc::recv(fd, scratch.as_mut_ptr() as _, scratch.len(), 0);
                if r == 0 || (r < 0 && *libc::__errno_location() != libc::EAGAIN) {
                    s.close(fd);
                    continue;
                }
                if r < 0 {
                    continue;
                }
                let b = &mut scratch[..r as usize];
                if s.conns[fd as usize].buf.is_empty() {
                    let u = s.consume(fd, b);
                    if u < b.len() {
                        s.conns[fd as usize].buf.extend_from_slice(&b[u..]);
                    }
                } else {
                    let mut held = std::mem::take(&mut s.conns[fd as usize].buf);
                    held.extend_from_slice(b);
                    let u = s.consume(fd, &mut held);
                    held.drain(..u);
                    s.conns[fd as usize].buf = if held.is_empty() { vec![] } else { held };
                }
            }
        }
    }
}
