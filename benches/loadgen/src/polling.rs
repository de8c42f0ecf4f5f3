//! HTTP long-polling clients: each has one keep-alive connection for GETs and one for POSTs.
use crate::net::{p_ns, sockaddr, tcp_connect};
use crate::{Args, Meter, letters};
use std::io;
use std::os::fd::RawFd;
use std::time::Instant;

/// Incremental HTTP/1.1 response reader (content-length or chunked).
#[derive(Default)]
struct Http {
    buf: Vec<u8>,
}
impl Http {
    /// Returns (status, body) and consumes it once a whole response is buffered.
    fn take(&mut self) -> Option<(u16, Vec<u8>)> {
        let h = self.buf.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.buf[..h]).ok()?;
        let status = head.get(9..12)?.parse().ok()?;
        let (mut cl, mut chunked) = (0usize, false);
        for l in head.split("\r\n").skip(1) {
            let Some((k, v)) = l.split_once(':') else {
                continue;
            };
            if k.eq_ignore_ascii_case("content-length") {
                cl = v.trim().parse().ok()?;
            } else if k.eq_ignore_ascii_case("transfer-encoding")
                && v.trim().eq_ignore_ascii_case("chunked")
            {
                chunked = true;
            }
        }
        let mut i = h + 4;
        if !chunked {
            if self.buf.len() < i + cl {
                return None;
            }
            let body = self.buf[i..i + cl].to_vec();
            self.buf.drain(..i + cl);
            return Some((status, body));
        }
        let mut body = vec![];
        loop {
            let e = self.buf[i..].windows(2).position(|w| w == b"\r\n")?;
            let line = std::str::from_utf8(&self.buf[i..i + e]).ok()?;
            let n = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
            i += e + 2;
            if self.buf.len() < i + n + 2 {
                return None;
            }
            body.extend_from_slice(&self.buf[i..i + n]);
            i += n + 2;
            if n == 0 {
                self.buf.drain(..i);
                return Some((status, body));
            }
        }
    }
}

struct Ch {
    fd: RawFd,
    http: Http,
    busy: bool,
}
#[derive(Default)]
struct Cl {
    sid: String,
    connected: bool,
    start: Option<Instant>,
    post_done: bool,
    echo_done: bool,
    pong: bool,
}

pub fn run(a: &Args, host: &str, port: u16, pid: u32) -> (bool, String) {
    let n = a.num("--conns", 50);
    let secs = a.f("--secs", 3.0);
    let size = a.num("--size", 32);
    let addr = sockaddr(host, port);
    let ep = unsafe { libc::epoll_create1(0) };
    let mut ch: Vec<Ch> = vec![];
    let mut cl: Vec<Cl> = (0..n).map(|_| Cl::default()).collect();
    for i in 0..2 * n {
        let fd = match tcp_connect(&addr, None) {
            Ok(f) => f,
            Err(e) => return (false, format!("\"error\":\"{e}\"")),
        };
        let mut pfd = libc::pollfd {
            fd,
            events: libc::POLLOUT,
            revents: 0,
        };
        unsafe {
            libc::poll(&mut pfd, 1, 1000);
            let mut ev = libc::epoll_event {
                events: libc::EPOLLIN as u32,
                u64: i as u64,
            };
            libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, fd, &mut ev);
        }
        ch.push(Ch {
            fd,
            http: Http::default(),
            busy: false,
        });
    }
    let hostport = format!("{host}:{port}");
    let send = |c: &mut Ch, b: &[u8]| {
        let mut o = 0;
        while o < b.len() {
            let r =
                unsafe { libc::send(c.fd, b[o..].as_ptr() as _, b.len() - o, libc::MSG_NOSIGNAL) };
            if r < 0 {
                if io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock {
                    break;
                }
                let mut p = libc::pollfd {
                    fd: c.fd,
                    events: libc::POLLOUT,
                    revents: 0,
                };
                unsafe { libc::poll(&mut p, 1, 1000) };
                continue;
            }
            o += r as usize;
        }
        c.busy = true;
    };
    let get = |sid: &str| {
        let q = if sid.is_empty() {
            String::new()
        } else {
            format!("&sid={sid}")
        };
        format!(
            "GET /socket.io/?EIO=4&transport=polling{q} HTTP/1.1\r\nHost: {hostport}\r\nAccept: */*\r\n\r\n"
        )
    };
    let post = |sid: &str, body: &str| {
        format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: {hostport}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let payload = format!("42[\"echo2\",\"{}\"]", letters(size));
    let mut scratch = vec![0u8; 256 * 1024];
    for i in 0..n {
        let g = get("");
        send(&mut ch[2 * i], g.as_bytes());
    }
    let mut evs: Vec<libc::epoll_event> = (0..256)
        .map(|_| libc::epoll_event { events: 0, u64: 0 })
        .collect();
    let (mut done, mut errors) = (0u64, 0u64);
    let mut lat: Vec<u32> = vec![];
    let mut meter: Option<(Meter, u64)> = None;
    let t0 = Instant::now();
    let warm = a.f("--warm", 0.7);
    let mut stop = false;
    while !stop {
        let k = unsafe { libc::epoll_wait(ep, evs.as_mut_ptr(), 256, 50) };
        for e in 0..k.max(0) as usize {
            let id = evs[e].u64 as usize;
            let r = unsafe { libc::recv(ch[id].fd, scratch.as_mut_ptr() as _, scratch.len(), 0) };
            if r <= 0 {
                errors += 1;
                eprintln!("polling: connection lost");
                stop = true;
                break;
            }
            ch[id].http.buf.extend_from_slice(&scratch[..r as usize]);
            while let Some((status, body)) = ch[id].http.take() {
                ch[id].busy = false;
                if status != 200 {
                    errors += 1;
                    eprintln!(
                        "polling: status {status}: {}",
                        String::from_utf8_lossy(&body)
                    );
                    stop = true;
                    break;
                }
                let i = id / 2;
                let c = &mut cl[i];
                if id % 2 == 1 {
                    c.post_done = true;
                } else {
                    for p in body.split(|b| *b == 0x1e) {
                        match p.first() {
                            Some(b'0') => {
                                let s = String::from_utf8_lossy(p);
                                c.sid = s
                                    .split("\"sid\":\"")
                                    .nth(1)
                                    .and_then(|x| x.split('"').next())
                                    .unwrap_or("")
                                    .to_string();
                                let b = post(&c.sid, "40");
                                send(&mut ch[2 * i + 1], b.as_bytes());
                            }
                            Some(b'2') if p.len() == 1 => c.pong = true,
                            Some(b'4') if p.starts_with(b"40") => {
                                c.connected = true;
                                c.echo_done = true;
                            }
                            Some(b'4') => {
                                c.echo_done = true;
                                if p.len() != payload.len() {
                                    errors += 1;
                                }
                                if let Some(s) = c.start.take() {
                                    done += 1;
                                    lat.push(s.elapsed().as_nanos().min(u32::MAX as u128) as u32);
                                }
                            }
                            _ => {}
                        }
                    }
                    let g = get(&cl[i].sid);
                    send(&mut ch[id], g.as_bytes());
                }
                let c = &mut cl[i];
                if c.connected && c.post_done && c.echo_done {
                    c.post_done = false;
                    c.echo_done = false;
                    c.start = Some(Instant::now());
                    let b = if c.pong {
                        post(&c.sid, &format!("3\x1e{payload}"))
                    } else {
                        post(&c.sid, &payload)
                    };
                    c.pong = false;
                    send(&mut ch[2 * i + 1], b.as_bytes());
                }
            }
        }
        let el = t0.elapsed().as_secs_f64();
        match &meter {
            None if el > warm => {
                lat.clear();
                meter = Some((Meter::start(pid), done));
            }
            Some(_) if el > warm + secs => stop = true,
            _ => {}
        }
    }
    let Some((m, d0)) = meter else {
        return (false, "\"error\":\"early\"".into());
    };
    let r = m.stop();
    let ops = (done - d0) as f64;
    for c in &ch {
        unsafe { libc::close(c.fd) };
    }
    let (p50, p99) = (p_ns(&mut lat, 0.5), p_ns(&mut lat, 0.99));
    (
        errors == 0 && ops > 0.0,
        format!(
            "\"size\":{size},\"conns\":{n},{},\"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\"poll_errors\":{errors}",
            r.json(ops)
        ),
    )
}
