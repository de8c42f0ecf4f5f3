//! Socket.IO v5 / Engine.IO v4 load generator. See README.md.
mod net;
mod paced;
mod perf;
mod polling;
mod procstat;
mod tls;
mod ws;

use net::{App, Net, St, p_ns, pin, raise_nofile};
use procstat::{Cpu, machine_busy_ns, self_cpu_ns, snap};
use std::time::{Duration, Instant};
use ws::Msg;

pub struct Args(Vec<String>);
impl Args {
    pub fn get(&self, k: &str) -> Option<&str> {
        self.0
            .iter()
            .position(|a| a == k)
            .and_then(|i| self.0.get(i + 1))
            .map(|s| s.as_str())
    }
    pub fn num(&self, k: &str, d: usize) -> usize {
        self.get(k).map_or(d, |v| {
            v.parse().unwrap_or_else(|_| panic!("{k} wants a number"))
        })
    }
    pub fn f(&self, k: &str, d: f64) -> f64 {
        self.get(k).map_or(d, |v| {
            v.parse().unwrap_or_else(|_| panic!("{k} wants a number"))
        })
    }
}

/// Start/stop measurement of server and own CPU.
pub struct Meter {
    pid: u32,
    a: Cpu,
    threads: Vec<(u32, u64)>,
    own: u64,
    busy: u64,
    perf: perf::Counters,
    t: Instant,
}
pub struct Reading {
    pub wall_s: f64,
    pub cpu_us: f64,
    pub user_us: f64,
    pub sys_us: f64,
    pub own_us: f64,
    pub vcs: f64,
    /// cores used by anything but the server and us
    pub other: f64,
    pub counts: [f64; perf::KINDS],
    /// what the busiest thread has of the server's CPU time
    pub busiest: f64,
    pub after: Cpu,
}
impl Meter {
    pub fn start(pid: u32) -> Meter {
        let mut pids = vec![];
        if pid != 0 {
            procstat::children(pid, &mut pids);
        }
        let perf = perf::Counters::start(&pids);
        Meter {
            pid,
            a: snap(pid),
            threads: procstat::threads(pid),
            own: self_cpu_ns(),
            busy: machine_busy_ns(),
            perf,
            t: Instant::now(),
        }
    }
    pub fn stop(&self) -> Reading {
        let wall_s = self.t.elapsed().as_secs_f64();
        let counts = self.perf.read();
        let busy = machine_busy_ns().saturating_sub(self.busy) as f64 / 1e3;
        let own_us = (self_cpu_ns() - self.own) as f64 / 1000.0;
        let b = snap(self.pid);
        let cpu_us = b.ns.saturating_sub(self.a.ns) as f64 / 1000.0;
        let (du, ds) = ((b.ut - self.a.ut) as f64, (b.st - self.a.st) as f64);
        let ran = |(tid, ns): &(u32, u64)| {
            let before = self.threads.iter().find(|(known, _)| known == tid);
            ns - before.map_or(0, |(_, ns)| *ns)
        };
        let threads = procstat::threads(self.pid);
        let busiest = threads.iter().map(ran).max().unwrap_or(0) as f64 / 1000.0;
        let uf = if du + ds > 0.0 { du / (du + ds) } else { 0.0 };
        Reading {
            wall_s,
            cpu_us,
            user_us: cpu_us * uf,
            sys_us: cpu_us * (1.0 - uf),
            own_us,
            vcs: b.vcs.saturating_sub(self.a.vcs) as f64,
            other: ((busy - own_us - cpu_us) / 1e6 / wall_s).max(0.0),
            counts,
            busiest: busiest / cpu_us.max(1.0),
            after: b,
        }
    }
}
impl Reading {
    /// the common tail: CPU per operation
    pub fn json(&self, ops: f64) -> String {
        let o = ops.max(1.0);
        format!(
            "\"ops\":{:.0},\"wall_s\":{:.3},\"ops_per_s\":{:.1},\"srv_cpu_us_per_op\":{:.4},\"srv_user_us_per_op\":{:.4},\"srv_sys_us_per_op\":{:.4},\"srv_cpu_util\":{:.3},\"srv_vcs_per_op\":{:.4},\"srv_threads\":{},\"srv_rss_kb\":{},\"gen_cpu_us_per_op\":{:.4},\"gen_cpu_util\":{:.3},\"other_cpu_util\":{:.2},\"srv_cycles_per_op\":{:.0},\"srv_instr_u_per_op\":{:.0},\"srv_instr_k_per_op\":{:.0},\"srv_miss_u_per_op\":{:.2},\"srv_miss_k_per_op\":{:.2},\"srv_busiest_thread\":{:.3}",
            ops,
            self.wall_s,
            ops / self.wall_s,
            self.cpu_us / o,
            self.user_us / o,
            self.sys_us / o,
            self.cpu_us / 1e6 / self.wall_s,
            self.vcs / o,
            self.after.threads,
            self.after.rss_kb,
            self.own_us / o,
            self.own_us / 1e6 / self.wall_s,
            self.other,
            self.counts[0] / o,
            self.counts[1] / o,
            self.counts[2] / o,
            self.counts[3] / o,
            self.counts[4] / o,
            self.busiest
        )
    }
}

struct Idle;
impl App for Idle {
    fn on_msg(&mut self, _: &mut Net, _: usize, _: Msg) {}
}

pub fn letters(n: usize) -> String {
    let mut x = 0x9e3779b97f4a7c15u64;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (b'a' + (x % 26) as u8) as char
        })
        .collect()
}

fn main() {
    let argv: Vec<String> = std::env::args().skip(1).collect();
    if argv.is_empty() {
        eprintln!(
            "usage: loadgen SCENARIO --url HOST:PORT [--server-pid PID] [--tag NAME] ... (see README.md)"
        );
        std::process::exit(2);
    }
    let scen = argv[0].clone();
    if scen == "counters" {
        // Whether this machine counts instructions for us.
        let own = perf::Counters::start(&[std::process::id()]);
        std::process::exit(i32::from(own.read()[1] == 0.0));
    }
    let a = Args(argv);
    raise_nofile();
    if let Some(c) = a.get("--pin") {
        pin(c.parse().unwrap());
    }
    let url = a.get("--url").unwrap_or("127.0.0.1:3000");
    let (host, port) = url.rsplit_once(':').expect("--url HOST:PORT");
    let port: u16 = port.parse().unwrap();
    let pid = a.num("--server-pid", 0) as u32;
    let tag = a.get("--tag").unwrap_or("?").to_string();
    let mut net = Net::new(host, port);
    for also in a.get("--also").into_iter().flat_map(|also| also.split(',')) {
        let (host, port) = also.rsplit_once(':').expect("--also HOST:PORT,…");
        net.also(host, port.parse().unwrap());
    }
    net.tls = a.get("--tls").map(tls::config);
    net.src_ips = a.num("--src-ips", 8) as u32;
    let (ok, body) = match scen.as_str() {
        "connect" => connect(&a, &mut net, pid),
        "echo" => echo(&a, &mut net, pid),
        "paced" => paced::run(&a, &mut net, pid),
        "broadcast" => broadcast(&a, &mut net, pid, false),
        "rooms" => broadcast(&a, &mut net, pid, true),
        "churn" => churn(&a, &mut net, pid),
        "polling" => polling::run(&a, host, port, pid),
        _ => panic!("unknown scenario {scen}"),
    };
    println!(
        "{{\"scenario\":\"{scen}\",\"tag\":\"{tag}\",\"ok\":{ok},{body},\"errors\":{},\"closed\":{}}}",
        net.errors, net.closed_unexpected
    );
    std::process::exit(if ok { 0 } else { 1 });
}

fn connect(a: &Args, net: &mut Net, pid: u32) -> (bool, String) {
    let n = a.num("--conns", 1000);
    let settle = a.f("--settle", 3.0);
    let before = snap(pid);
    let m = Meter::start(pid);
    let ok = net.connect_all(
        n,
        a.num("--inflight", 64),
        &mut Idle,
        Instant::now() + Duration::from_secs(90),
    );
    let r = m.stop();
    let idle = Meter::start(pid);
    let t = Instant::now();
    while t.elapsed().as_secs_f64() < settle {
        net.pump(50, &mut Idle);
    }
    let ri = idle.stop();
    let rss = ri.after.rss_kb as f64 - before.rss_kb as f64;
    // optional: exchange one message on every connection, then look at memory again
    let mut touched = String::new();
    if a.num("--touch", 1) == 1 && ok {
        let size = a.num("--touch-size", 1024);
        let mut app = Touch { got: 0 };
        let f = ws::text(&format!("42[\"echo2\",\"{}\"]", letters(size)));
        for c in 0..net.conns.len() {
            net.queue(c, &f);
            if c % 64 == 63 {
                net.pump(0, &mut app);
            }
        }
        let t = Instant::now();
        while app.got < n && t.elapsed().as_secs() < 20 {
            net.pump(20, &mut app);
        }
        let t = Instant::now();
        while t.elapsed().as_secs_f64() < 1.0 {
            net.pump(50, &mut app);
        }
        let s = snap(pid);
        touched = format!(
            ",\"rss_bytes_per_conn_after_msg\":{:.0}",
            (s.rss_kb as f64 - before.rss_kb as f64) * 1024.0 / n as f64
        );
    }
    let ready = net.ready;
    let m2 = Meter::start(pid);
    for c in 0..net.conns.len() {
        net.close(c);
    }
    std::thread::sleep(Duration::from_millis(1500));
    let rc = m2.stop();
    (
        ok && ready == n,
        format!(
            "\"conns\":{n},{},\"rss_bytes_per_conn\":{:.0}{touched},\"rss_before_kb\":{},\"idle_cpu_us_per_conn_s\":{:.3},\"close_cpu_us_per_conn\":{:.2},\"rss_after_close_kb\":{}",
            r.json(n as f64),
            rss * 1024.0 / n as f64,
            before.rss_kb,
            ri.cpu_us / n as f64 / ri.wall_s,
            rc.cpu_us / n as f64,
            rc.after.rss_kb
        ),
    )
}

struct Touch {
    got: usize,
}
impl App for Touch {
    fn on_msg(&mut self, _: &mut Net, _: usize, _: Msg) {
        self.got += 1;
    }
}

struct Echo {
    ack: bool,
    bin: bool,
    frames: Vec<Vec<u8>>,
    starts: Vec<Instant>,
    head: Vec<u32>,
    tail: Vec<u32>,
    d: usize,
    lat: Vec<u32>,
    done: u64,
    inflight: u64,
    measuring: bool,
    stop: bool,
    want_len: u64,
    bad: u64,
}
impl Echo {
    fn fire(&mut self, net: &mut Net, c: usize, slot: usize) {
        let slot = if self.ack {
            slot
        } else {
            let s = self.tail[c] as usize % self.d;
            self.tail[c] += 1;
            s
        };
        self.starts[c * self.d + slot] = net.now;
        self.inflight += 1;
        let f = if self.ack {
            &self.frames[slot]
        } else {
            &self.frames[0]
        };
        net.queue(c, f);
    }
}
impl App for Echo {
    fn on_msg(&mut self, net: &mut Net, c: usize, m: Msg) {
        if self.bin && m.op == 1 {
            return; // header of the binary packet; the attachment completes it
        }
        let slot = if self.ack {
            if !m.prefix.starts_with(b"43") {
                self.bad += 1;
                return;
            }
            let mut id = 0usize;
            let mut k = 2;
            while k < m.prefix.len() && m.prefix[k].is_ascii_digit() {
                id = id * 10 + (m.prefix[k] - b'0') as usize;
                k += 1;
            }
            if id < 1000 {
                self.bad += 1;
                return;
            }
            id - 1000
        } else {
            let s = self.head[c] as usize % self.d;
            self.head[c] += 1;
            s
        };
        if m.len != self.want_len {
            self.bad += 1;
        }
        self.inflight -= 1;
        self.done += 1;
        if self.measuring {
            let ns = net
                .now
                .duration_since(self.starts[c * self.d + slot])
                .as_nanos();
            self.lat.push(ns.min(u32::MAX as u128) as u32);
        }
        if !self.stop {
            self.fire(net, c, slot);
        }
    }
}

fn echo(a: &Args, net: &mut Net, pid: u32) -> (bool, String) {
    let c = a.num("--conns", 50);
    let d = a.num("--depth", 1);
    let secs = a.f("--secs", 3.0);
    let size = a.num("--size", 32);
    let mode = a.get("--mode").unwrap_or("ack").to_string();
    let (ack, bin) = (mode == "ack", mode == "bin");
    let p = letters(size);
    let (frames, want_len) = if bin {
        let mut f = ws::text("451-[\"echo2\",{\"_placeholder\":true,\"num\":0}]");
        f.extend(ws::client_frame(2, p.as_bytes()));
        (vec![f], size as u64)
    } else if ack {
        // ids 1000..1000+d: fixed width, reused once answered
        assert!(d <= 9000);
        let v: Vec<_> = (0..d)
            .map(|i| ws::text(&format!("42{}[\"echo\",\"{p}\"]", 1000 + i)))
            .collect();
        (v, 2 + 4 + 2 + 2 + size as u64)
    } else {
        (
            vec![ws::text(&format!("42[\"echo2\",\"{p}\"]"))],
            2 + 2 + 8 + 2 + size as u64,
        )
    };
    let mut app = Echo {
        ack,
        bin,
        frames,
        starts: vec![Instant::now(); c * d],
        head: vec![0; c],
        tail: vec![0; c],
        d,
        lat: Vec::with_capacity(1 << 20),
        done: 0,
        inflight: 0,
        measuring: false,
        stop: false,
        want_len,
        bad: 0,
    };
    if !net.connect_all(c, 64, &mut app, Instant::now() + Duration::from_secs(60)) {
        return (
            false,
            format!("\"mode\":\"{mode}\",\"size\":{size},\"conns\":{c}"),
        );
    }
    net.now = Instant::now();
    for i in 0..c {
        for s in 0..d {
            app.fire(net, i, s);
        }
    }
    let warm = Instant::now();
    while warm.elapsed().as_secs_f64() < a.f("--warm", 0.7) {
        net.pump(50, &mut app);
    }
    app.measuring = true;
    let d0 = app.done;
    let m = Meter::start(pid);
    let t = Instant::now();
    while t.elapsed().as_secs_f64() < secs {
        net.pump(50, &mut app);
        if net.closed_unexpected > 0 {
            break;
        }
    }
    let r = m.stop();
    let ops = (app.done - d0) as f64;
    app.stop = true;
    app.measuring = false;
    let t = Instant::now();
    while app.inflight > 0 && t.elapsed().as_secs() < 15 {
        net.pump(50, &mut app);
    }
    let lost = app.inflight;
    let ok = net.closed_unexpected == 0 && app.bad == 0 && lost == 0 && ops > 0.0;
    let (p50, p99) = (p_ns(&mut app.lat, 0.5), p_ns(&mut app.lat, 0.99));
    (
        ok,
        format!(
            "\"mode\":\"{mode}\",\"size\":{size},\"conns\":{c},\"depth\":{d},{},\"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\"bad\":{},\"lost\":{lost}",
            r.json(ops),
            app.bad
        ),
    )
}

/// Broadcast to all, or round robin over rooms.
struct Bcast {
    rooms: usize, // 1 = broadcast to all
    per: usize,
    frames: Vec<Vec<u8>>,
    joins: Vec<Vec<u8>>,
    joined: usize,
    seen: Vec<u32>,
    counts: Vec<u32>,
    sent_at: Vec<Instant>,
    last: Vec<u32>,
    sent: usize,
    complete: usize,
    deliveries: u64,
    k: usize,
    w: usize,
    sender: usize,
    want_len: u64,
    bad: u64,
}
impl Bcast {
    fn fire(&mut self, net: &mut Net) {
        while self.sent < self.k && self.sent - self.complete < self.w {
            let f = &self.frames[self.sent % self.rooms];
            self.sent_at.push(Instant::now());
            self.counts.push(0);
            self.sent += 1;
            net.queue(self.sender, f);
        }
    }
}
impl App for Bcast {
    fn on_msg(&mut self, net: &mut Net, c: usize, m: Msg) {
        if m.prefix.starts_with(b"43") {
            self.joined += 1;
            return;
        }
        let i = self.seen[c] as usize * self.rooms + c % self.rooms;
        self.seen[c] += 1;
        if i >= self.counts.len() || m.len != self.want_len {
            self.bad += 1;
            return;
        }
        self.deliveries += 1;
        self.counts[i] += 1;
        if self.counts[i] as usize == self.per {
            self.last.push(
                net.now
                    .saturating_duration_since(self.sent_at[i])
                    .as_nanos()
                    .min(u32::MAX as u128) as u32,
            );
            self.complete += 1;
            self.fire(net);
        }
    }
}

fn broadcast(a: &Args, net: &mut Net, pid: u32, rooms: bool) -> (bool, String) {
    let n = a.num("--conns", 1000);
    let k = a.num("--count", 200);
    let w = a.num("--window", 1);
    let size = a.num("--size", 32);
    let rn = if rooms { a.num("--rooms", 100) } else { 1 };
    assert!(n % rn == 0);
    let p = letters(size);
    let frames: Vec<_> = if rooms {
        (0..rn)
            .map(|r| ws::text(&format!("42[\"rcast\",\"room{r}\",\"{p}\"]")))
            .collect()
    } else {
        vec![ws::text(&format!("42[\"bcast\",\"{p}\"]"))]
    };
    let joins = (0..rn)
        .map(|r| ws::text(&format!("420[\"join\",\"room{r}\"]")))
        .collect();
    let mut app = Bcast {
        rooms: rn,
        per: n / rn,
        frames,
        joins,
        joined: 0,
        seen: vec![0; n],
        counts: vec![],
        sent_at: vec![],
        last: vec![],
        sent: 0,
        complete: 0,
        deliveries: 0,
        k: 0,
        w,
        sender: 0,
        want_len: 2 + 2 + 8 + 2 + size as u64,
        bad: 0,
    };
    let head = format!("\"size\":{size},\"conns\":{n},\"rooms\":{rn},\"window\":{w}");
    if !net.connect_all(n, 64, &mut app, Instant::now() + Duration::from_secs(60)) {
        return (false, head);
    }
    // not straight after the CONNECT answer: some servers answer before their handlers are in place
    let t = Instant::now();
    while t.elapsed().as_millis() < 200 {
        net.pump(50, &mut app);
    }
    for c in 0..if rooms { n } else { 0 } {
        net.queue(c, &app.joins[c % rn]);
    }
    let t = Instant::now();
    while rooms && app.joined < n && t.elapsed().as_secs() < 20 {
        net.pump(50, &mut app);
    }
    let deadline = Instant::now() + Duration::from_secs_f64(a.f("--max-secs", 30.0));
    let run = |app: &mut Bcast, net: &mut Net, k: usize| {
        app.k += k;
        app.fire(net);
        while app.complete < app.k && Instant::now() < deadline && net.closed_unexpected == 0 {
            net.pump(50, app);
        }
    };
    run(&mut app, net, (k / 10).clamp(2, 100).next_multiple_of(rn));
    app.last.clear();
    let d0 = app.deliveries;
    let m = Meter::start(pid);
    run(&mut app, net, k.next_multiple_of(rn));
    let r = m.stop();
    let ops = (app.deliveries - d0) as f64;
    // running out of --max-secs is not a failure: the rate up to there counts
    let cut = app.complete < app.k;
    let ok = ops > 0.0 && app.bad == 0 && net.closed_unexpected == 0;
    let (p50, p99) = (p_ns(&mut app.last, 0.5), p_ns(&mut app.last, 0.99));
    (
        ok,
        format!(
            "{head},{},\"last_p50_us\":{p50:.1},\"last_p99_us\":{p99:.1},\"cut\":{cut},\"bad\":{}",
            r.json(ops),
            app.bad
        ),
    )
}

struct Churn {
    joins: Vec<u8>,
    /// connected, and when to send the joins: some servers answer CONNECT before their handlers
    /// are in place and drop what comes at once (--join-delay-ms 0 shows that)
    waiting: std::collections::VecDeque<(Instant, u32)>,
    delay: Duration,
    nj: usize,
    acks: Vec<u32>,
    bye: Vec<u8>,
    cycles: u64,
    finished: Vec<u32>,
}
impl App for Churn {
    fn on_ready(&mut self, net: &mut Net, c: usize) {
        self.acks[c] = 0;
        if self.delay.is_zero() {
            net.queue(c, &self.joins);
        } else {
            self.waiting.push_back((net.now + self.delay, c as u32));
        }
    }
    fn on_msg(&mut self, net: &mut Net, c: usize, m: Msg) {
        if m.prefix.starts_with(b"43") {
            self.acks[c] += 1;
            if self.acks[c] as usize == self.nj {
                self.cycles += 1;
                let b = std::mem::take(&mut self.bye);
                net.queue(c, &b);
                self.bye = b;
                self.finished.push(c as u32);
            }
        }
    }
    fn on_close(&mut self, net: &mut Net, c: usize) {
        if self.acks[c] as usize == self.nj {
            net.closed_unexpected -= 1; // the server answered our goodbye first
        }
    }
}

fn churn(a: &Args, net: &mut Net, pid: u32) -> (bool, String) {
    let c = a.num("--conns", 32);
    let secs = a.f("--secs", 3.0);
    let nj = a.num("--rooms", 5);
    let mut joins = vec![];
    for i in 0..nj {
        joins.extend(ws::text(&format!("42{i}[\"join\",\"churn{i}\"]")));
    }
    let mut bye = ws::text("41");
    bye.extend(ws::client_frame(8, &[0x03, 0xe8]));
    let delay = Duration::from_millis(a.num("--join-delay-ms", 5) as u64);
    let mut app = Churn {
        joins,
        waiting: Default::default(),
        delay,
        nj,
        acks: vec![0; c],
        bye,
        cycles: 0,
        finished: vec![],
    };
    let rss0 = snap(pid).rss_kb;
    for _ in 0..c {
        net.open().unwrap();
    }
    let step = |app: &mut Churn, net: &mut Net, until: f64, cap: u64| {
        let t = Instant::now();
        let start = app.cycles;
        while t.elapsed().as_secs_f64() < until && app.cycles - start < cap {
            net.pump(if app.waiting.is_empty() { 20 } else { 1 }, app);
            while let Some(&(t, c)) = app.waiting.front() {
                if t > Instant::now() {
                    break;
                }
                app.waiting.pop_front();
                net.queue(c as usize, &app.joins);
            }
            for s in std::mem::take(&mut app.finished) {
                let s = s as usize;
                if net.conns[s].st != St::Closed {
                    net.close(s);
                }
                if net.reopen(s).is_err() {
                    net.errors += 1;
                }
            }
        }
    };
    step(&mut app, net, 0.7, 5000);
    let c0 = app.cycles;
    let m = Meter::start(pid);
    step(&mut app, net, secs, a.num("--max-cycles", 40000) as u64);
    let r = m.stop();
    let ops = (app.cycles - c0) as f64;
    // connected for a while, but not all joins acked: lost by the server
    let t = Instant::now();
    while t.elapsed().as_millis() < 300 {
        net.pump(20, &mut app);
    }
    let stuck = (0..c)
        .filter(|&s| net.conns[s].st == St::Ready && (app.acks[s] as usize) < nj)
        .count();
    for s in 0..c {
        net.close(s);
    }
    std::thread::sleep(Duration::from_millis(1500));
    let rss1 = snap(pid).rss_kb;
    let ok = ops > 0.0 && net.closed_unexpected == 0;
    (
        ok,
        format!(
            "\"conns\":{c},\"rooms\":{nj},{},\"rss_before_kb\":{rss0},\"rss_after_kb\":{rss1},\"cycles\":{},\"stuck\":{stuck}",
            r.json(ops),
            app.cycles
        ),
    )
}
