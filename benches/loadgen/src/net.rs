//! Single-threaded epoll client: many Engine.IO/Socket.IO WebSocket connections.
use crate::tls::Tls;
use crate::ws::{self, Msg, Parser};
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

#[derive(PartialEq, Clone, Copy, Debug)]
pub enum St {
    Connecting,
    Http,
    EioOpen,
    SioWait,
    Ready,
    Closed,
}

pub struct Conn {
    pub fd: RawFd,
    pub st: St,
    http: Vec<u8>,
    /// with TLS, what waits to be sealed into `out`
    plain: Vec<u8>,
    tls: Option<Tls>,
    out: Vec<u8>,
    off: usize,
    want_out: bool,
    dirty: bool,
    pub gen_: u32,
}

impl Conn {
    /// Where what is to be said is put.
    fn pending(&mut self) -> &mut Vec<u8> {
        match self.tls {
            Some(_) => &mut self.plain,
            None => &mut self.out,
        }
    }
}

pub trait App {
    fn on_ready(&mut self, _net: &mut Net, _c: usize) {}
    fn on_msg(&mut self, net: &mut Net, c: usize, m: Msg);
    fn on_close(&mut self, _net: &mut Net, _c: usize) {}
}

pub struct Net {
    ep: RawFd,
    pub conns: Vec<Conn>,
    parsers: Vec<Parser>,
    /// connection c goes to the one whose turn it is
    addrs: Vec<libc::sockaddr_in>,
    handshake: Vec<u8>,
    connect40: Vec<u8>,
    pong: Vec<u8>,
    pub now: Instant,
    pub opened: usize,
    pub ready: usize,
    pub closed_unexpected: u64,
    pub errors: u64,
    pub pings: u64,
    dirty: Vec<u32>,
    scratch: Vec<u8>,
    events: Vec<libc::epoll_event>,
    src_rot: u32,
    pub src_ips: u32,
    pub tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

fn cvt(r: libc::c_int) -> io::Result<libc::c_int> {
    if r < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(r)
    }
}

pub fn raise_nofile() -> u64 {
    unsafe {
        let mut r: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        r.rlim_cur = r.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &r);
        r.rlim_cur
    }
}

pub fn pin(cpu: usize) {
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of_val(&set), &set);
    }
}

pub fn sockaddr(host: &str, port: u16) -> libc::sockaddr_in {
    let ip: std::net::Ipv4Addr = host.parse().expect("host must be an IPv4 literal");
    assert!(
        ip.is_loopback(),
        "this load generator only talks to 127.0.0.0/8"
    );
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(ip).to_be(),
        },
        sin_zero: [0; 8],
    }
}

/// Non-blocking connect, from a rotating 127.0.0.x source so that TIME_WAIT cannot exhaust ports.
pub fn tcp_connect(addr: &libc::sockaddr_in, src: Option<u32>) -> io::Result<RawFd> {
    unsafe {
        let fd = cvt(libc::socket(
            libc::AF_INET,
            libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        ))?;
        let one: libc::c_int = 1;
        let opt = |level, name| {
            libc::setsockopt(fd, level, name, &one as *const _ as *const libc::c_void, 4);
        };
        opt(libc::IPPROTO_TCP, libc::TCP_NODELAY);
        if let Some(s) = src {
            opt(libc::IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */);
            let b = libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: 0,
                sin_addr: libc::in_addr {
                    s_addr: (0x7f000001u32 + s).to_be(),
                },
                sin_zero: [0; 8],
            };
            cvt(libc::bind(fd, &b as *const _ as *const libc::sockaddr, 16))?;
        }
        let r = libc::connect(fd, addr as *const _ as *const libc::sockaddr, 16);
        if r < 0 {
            let e = io::Error::last_os_error();
            if e.raw_os_error() != Some(libc::EINPROGRESS) {
                libc::close(fd);
                return Err(e);
            }
        }
        Ok(fd)
    }
}

impl Net {
    pub fn new(host: &str, port: u16) -> Net {
        let ep = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        let handshake = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        Net {
            ep,
            conns: vec![],
            parsers: vec![],
            addrs: vec![sockaddr(host, port)],
            handshake: handshake.into_bytes(),
            connect40: ws::text("40"),
            pong: ws::text("3"),
            now: Instant::now(),
            opened: 0,
            ready: 0,
            closed_unexpected: 0,
            errors: 0,
            pings: 0,
            dirty: vec![],
            scratch: vec![0; 512 * 1024],
            events: (0..1024)
                .map(|_| libc::epoll_event { events: 0, u64: 0 })
                .collect(),
            src_rot: 0,
            src_ips: 8,
            tls: None,
        }
    }

    /// One server more, whose sockets hear what is said on the others.
    pub fn also(&mut self, host: &str, port: u16) {
        self.addrs.push(sockaddr(host, port));
    }

    fn ctl(&self, op: libc::c_int, fd: RawFd, ev: u32, c: usize, gen_: u32) -> io::Result<()> {
        let mut e = libc::epoll_event {
            events: ev,
            u64: (c as u64) | ((gen_ as u64) << 32),
        };
        cvt(unsafe { libc::epoll_ctl(self.ep, op, fd, &mut e) }).map(|_| ())
    }

    /// Opens a connection in a new slot.
    pub fn open(&mut self) -> io::Result<usize> {
        let c = self.conns.len();
        self.conns.push(Conn {
            fd: -1,
            st: St::Closed,
            http: vec![],
            plain: vec![],
            tls: None,
            out: vec![],
            off: 0,
            want_out: false,
            dirty: false,
            gen_: 0,
        });
        self.parsers.push(Parser::default());
        self.reopen(c)?;
        Ok(c)
    }

    /// (Re)opens slot c.
    pub fn reopen(&mut self, c: usize) -> io::Result<()> {
        self.src_rot = (self.src_rot + 1) % self.src_ips;
        let fd = tcp_connect(&self.addrs[c % self.addrs.len()], Some(self.src_rot))?;
        let hs = self.handshake.clone();
        let g = {
            let k = &mut self.conns[c];
            k.fd = fd;
            k.st = St::Connecting;
            k.http.clear();
            k.out.clear();
            k.off = 0;
            k.plain.clear();
            k.tls = self.tls.as_ref().map(Tls::new);
            k.pending().extend_from_slice(&hs);
            k.want_out = true;
            k.dirty = false;
            k.gen_ = k.gen_.wrapping_add(1);
            k.gen_
        };
        self.parsers[c] = Parser::default();
        self.opened += 1;
        self.ctl(
            libc::EPOLL_CTL_ADD,
            fd,
            (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP) as u32,
            c,
            g,
        )
    }

    pub fn close(&mut self, c: usize) {
        let k = &mut self.conns[c];
        if k.st != St::Closed {
            if k.st == St::Ready {
                self.ready -= 1;
            }
            self.opened -= 1;
            k.st = St::Closed;
            unsafe { libc::close(k.fd) };
            k.fd = -1;
        }
    }

    /// Queues bytes; they are written at the end of the current read batch or pump.
    pub fn queue(&mut self, c: usize, b: &[u8]) {
        let k = &mut self.conns[c];
        if k.st == St::Closed {
            return;
        }
        k.pending().extend_from_slice(b);
        if !k.dirty {
            k.dirty = true;
            self.dirty.push(c as u32);
        }
    }

    fn flush(&mut self, c: usize) {
        let k = &mut self.conns[c];
        if k.st == St::Closed || k.st == St::Connecting {
            return;
        }
        if let Some(tls) = &mut k.tls {
            tls.seal(&mut k.plain, &mut k.out);
        }
        while k.off < k.out.len() {
            let r = unsafe {
                libc::send(
                    k.fd,
                    k.out[k.off..].as_ptr() as *const libc::c_void,
                    k.out.len() - k.off,
                    libc::MSG_NOSIGNAL,
                )
            };
            if r < 0 {
                if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                    break;
                }
                self.errors += 1;
                return; // the read side will report the close
            }
            k.off += r as usize;
        }
        let pending = k.off < k.out.len();
        if !pending {
            k.out.clear();
            k.off = 0;
            if k.out.capacity() > 1 << 16 {
                k.out.shrink_to(1 << 16);
            }
        }
        if pending != k.want_out {
            k.want_out = pending;
            let (fd, g) = (k.fd, k.gen_);
            let ev = (libc::EPOLLIN | libc::EPOLLRDHUP) as u32
                | if pending { libc::EPOLLOUT as u32 } else { 0 };
            let _ = self.ctl(libc::EPOLL_CTL_MOD, fd, ev, c, g);
        }
    }

    pub fn flush_dirty(&mut self) {
        let mut d = std::mem::take(&mut self.dirty);
        for &c in &d {
            if self.conns[c as usize].dirty {
                self.conns[c as usize].dirty = false;
                self.flush(c as usize);
            }
        }
        d.clear();
        if self.dirty.is_empty() {
            self.dirty = d;
        }
    }

    fn lost<A: App>(&mut self, c: usize, app: &mut A) {
        self.closed_unexpected += 1;
        self.close(c);
        app.on_close(self, c);
    }

    pub fn pump<A: App>(&mut self, timeout_ms: u64, app: &mut A) {
        self.pump_for(Duration::from_millis(timeout_ms), app);
    }

    /// Writes what is queued, waits for at most `timeout` and reads what came.
    pub fn pump_for<A: App>(&mut self, timeout: Duration, app: &mut A) {
        self.flush_dirty();
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_nsec: timeout.subsec_nanos() as libc::c_long,
        };
        // Milliseconds are too coarse for requests that are due every ten microseconds.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.ep,
                self.events.as_mut_ptr(),
                self.events.len(),
                &timeout as *const libc::timespec,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        self.now = Instant::now();
        if n <= 0 {
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        for i in 0..n as usize {
            let ev = self.events[i];
            let c = (ev.u64 & 0xffff_ffff) as usize;
            let g = (ev.u64 >> 32) as u32;
            if self.conns[c].gen_ != g || self.conns[c].st == St::Closed {
                continue;
            }
            let bits = ev.events;
            if self.conns[c].st == St::Connecting
                && bits & (libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0
            {
                let mut e: libc::c_int = 0;
                let mut l: libc::socklen_t = 4;
                unsafe {
                    libc::getsockopt(
                        self.conns[c].fd,
                        libc::SOL_SOCKET,
                        libc::SO_ERROR,
                        &mut e as *mut _ as *mut libc::c_void,
                        &mut l,
                    )
                };
                if e != 0 {
                    self.errors += 1;
                    self.lost(c, app);
                    continue;
                }
                self.conns[c].st = St::Http;
            }
            if bits & libc::EPOLLOUT as u32 != 0 {
                self.flush(c);
            }
            if bits & (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32
                != 0
            {
                self.readable(c, &mut scratch, app);
                if self.conns[c].dirty {
                    self.conns[c].dirty = false;
                    self.flush(c);
                }
            }
        }
        self.scratch = scratch;
        self.flush_dirty();
    }

    fn readable<A: App>(&mut self, c: usize, scratch: &mut [u8], app: &mut A) {
        let r = unsafe {
            libc::recv(
                self.conns[c].fd,
                scratch.as_mut_ptr() as *mut libc::c_void,
                scratch.len(),
                0,
            )
        };
        if r == 0 {
            return self.lost(c, app);
        }
        if r < 0 {
            if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                return;
            }
            return self.lost(c, app);
        }
        self.now = Instant::now();
        let mut b: &[u8] = &scratch[..r as usize];
        let mut opened = vec![];
        if let Some(tls) = &mut self.conns[c].tls {
            if let Err(e) = tls.open(b, &mut opened) {
                eprintln!("{e}");
                self.errors += 1;
                return self.lost(c, app);
            }
            if tls.wants_write() {
                self.flush(c);
            }
            b = &opened;
        }
        let held;
        if self.conns[c].st == St::Http {
            let k = &mut self.conns[c];
            k.http.extend_from_slice(b);
            let Some(i) = k.http.windows(4).position(|w| w == b"\r\n\r\n") else {
                return;
            };
            if !k.http.starts_with(b"HTTP/1.1 101") {
                eprintln!(
                    "handshake refused: {}",
                    String::from_utf8_lossy(&k.http[..k.http.len().min(200)])
                );
                self.errors += 1;
                return self.lost(c, app);
            }
            held = k.http.split_off(i + 4);
            k.http = vec![];
            k.st = St::EioOpen;
            b = &held;
        }
        let mut p = std::mem::take(&mut self.parsers[c]);
        let g = self.conns[c].gen_;
        let res = p.feed(b, |m| {
            if self.conns[c].gen_ != g || self.conns[c].st == St::Closed {
                return;
            }
            match m.op {
                1 if m.prefix == b"2" => {
                    self.pings += 1;
                    let pong = self.pong.clone();
                    self.queue(c, &pong);
                }
                1 | 2 => match self.conns[c].st {
                    St::Ready => app.on_msg(self, c, m),
                    St::EioOpen if m.prefix.first() == Some(&b'0') => {
                        self.conns[c].st = St::SioWait;
                        let f = self.connect40.clone();
                        self.queue(c, &f);
                    }
                    St::SioWait if m.prefix.starts_with(b"40") => {
                        self.conns[c].st = St::Ready;
                        self.ready += 1;
                        app.on_ready(self, c);
                    }
                    st => {
                        self.errors += 1;
                        eprintln!(
                            "unexpected in {st:?}: {}",
                            String::from_utf8_lossy(&m.prefix[..m.prefix.len().min(80)])
                        );
                    }
                },
                9 => {
                    let f = ws::client_frame(10, m.prefix);
                    self.queue(c, &f);
                }
                _ => {}
            }
        });
        if self.conns[c].gen_ == g {
            self.parsers[c] = p;
        }
        if let Err(e) = res {
            eprintln!("protocol error: {e}");
            self.errors += 1;
            self.lost(c, app);
        }
    }

    /// Ramps to n ready connections with at most `inflight` handshakes outstanding.
    pub fn connect_all<A: App>(
        &mut self,
        n: usize,
        inflight: usize,
        app: &mut A,
        deadline: Instant,
    ) -> bool {
        while self.ready < n {
            while self.opened < n && self.opened - self.ready < inflight {
                if let Err(e) = self.open() {
                    eprintln!("open: {e}");
                    self.errors += 1;
                    return false;
                }
            }
            self.pump(100, app);
            if self.closed_unexpected > 0 || Instant::now() > deadline {
                eprintln!(
                    "connect failed: {} ready of {n}, {} closed",
                    self.ready, self.closed_unexpected
                );
                return false;
            }
        }
        true
    }
}

pub fn p_ns(v: &mut [u32], q: f64) -> f64 {
    if v.is_empty() {
        return 0.0;
    }
    let i = ((v.len() - 1) as f64 * q) as usize;
    *v.select_nth_unstable(i).1 as f64 / 1000.0
}
