//! Requests at a rate that is given, whatever the answers do: how long they take against offered load.
use crate::net::{App, Net, p_ns};
use crate::ws::{self, Msg};
use crate::{Args, Meter, letters};
use std::time::{Duration, Instant};

/// Requests that may wait for their answers; their ids have four digits.
const IDS: usize = 9000;
const FIRST: usize = 1000;

struct Paced {
    frames: Vec<Vec<u8>>,
    /// When the request of an id was due, while it waits.
    due: Vec<Option<Instant>>,
    waiting: usize,
    lat: Vec<u32>,
    storm: Vec<u8>,
    stormed: u64,
    is_over: bool,
    want_len: u64,
    bad: u64,
}

impl App for Paced {
    fn on_msg(&mut self, net: &mut Net, c: usize, m: Msg) {
        let digits = m.prefix.get(2..6).unwrap_or_default();
        let id = std::str::from_utf8(digits).map_or(0, |s| s.parse().unwrap_or(0));
        // The storm's id has one digit.
        if id < FIRST {
            self.stormed += 1;
            if !self.is_over {
                let frame = std::mem::take(&mut self.storm);
                net.queue(c, &frame);
                self.storm = frame;
            }
            return;
        }
        let due = self.due.get_mut(id - FIRST).and_then(Option::take);
        let Some(due) = due.filter(|_| m.len == self.want_len) else {
            self.bad += 1;
            return;
        };
        self.waiting -= 1;
        let took = net.now.saturating_duration_since(due).as_nanos();
        self.lat.push(took.min(u32::MAX as u128) as u32);
    }
}

pub fn run(a: &Args, net: &mut Net, pid: u32) -> (bool, String) {
    let conns = a.num("--conns", 50);
    let rate = a.f("--rate", 1000.0);
    let size = a.num("--size", 32);
    let (warm, secs) = (a.f("--warm", 0.5), a.f("--secs", 2.0));
    let storm = a.num("--storm", 0);
    let p = letters(size);
    let mut app = Paced {
        frames: (0..IDS)
            .map(|i| ws::text(&format!("42{}[\"echo\",\"{p}\"]", FIRST + i)))
            .collect(),
        due: vec![None; IDS],
        waiting: 0,
        lat: vec![],
        storm: ws::text(&format!("421[\"echo\",\"{p}\"]")),
        stormed: 0,
        is_over: false,
        want_len: 2 + 4 + 2 + 2 + size as u64,
        bad: 0,
    };
    let head = format!("\"rate\":{rate},\"conns\":{conns},\"size\":{size},\"storm\":{storm}");
    let all = conns + usize::from(storm > 0);
    if !net.connect_all(all, 64, &mut app, Instant::now() + Duration::from_secs(60)) {
        return (false, head);
    }
    // not straight after the CONNECT answer: some servers answer before their handlers are in place
    let t = Instant::now();
    while t.elapsed().as_millis() < 200 {
        net.pump(20, &mut app);
    }
    for _ in 0..storm {
        let frame = std::mem::take(&mut app.storm);
        net.queue(conns, &frame);
        app.storm = frame;
    }

    let start = Instant::now();
    let (mut sent, mut meter, mut before) = (0usize, None, (0, 0));
    // More than a second behind, or every id waits: the server does not keep up.
    let mut is_behind = false;
    loop {
        let now = Instant::now();
        let at = now.duration_since(start).as_secs_f64();
        if at > warm + secs || net.closed_unexpected > 0 {
            break;
        }
        if meter.is_none() && at > warm {
            app.lat.clear();
            before = (sent, app.stormed);
            meter = Some(Meter::start(pid));
        }
        while sent as f64 / rate <= at {
            let id = sent % IDS;
            if app.due[id].is_some() {
                is_behind = true;
                break;
            }
            app.due[id] = Some(start + Duration::from_secs_f64(sent as f64 / rate));
            app.waiting += 1;
            net.queue(sent % conns, &app.frames[id]);
            sent += 1;
        }
        if is_behind {
            break;
        }
        let wait = sent as f64 / rate - start.elapsed().as_secs_f64();
        net.pump_for(Duration::from_secs_f64(wait.max(0.0)), &mut app);
    }
    let (waits, answered) = (app.waiting, app.lat.len());
    let Some(meter) = meter else {
        return (
            net.closed_unexpected == 0,
            format!("{head},\"behind\":true"),
        );
    };
    let r = meter.stop();
    app.is_over = true;
    let t = Instant::now();
    while app.waiting > 0 && t.elapsed().as_secs() < 10 && net.closed_unexpected == 0 {
        net.pump(20, &mut app);
    }
    // Less than a twentieth of a second's requests may be under way at the end.
    is_behind |= waits as f64 > (rate / 20.0).max(8.0);
    let stormed = app.stormed - before.1;
    let ok = net.closed_unexpected == 0 && app.bad == 0 && app.waiting == 0;
    let most = p_ns(&mut app.lat, 1.0);
    let (p50, p99) = (p_ns(&mut app.lat, 0.5), p_ns(&mut app.lat, 0.99));
    (
        ok,
        format!(
            "{head},{},\"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\"max_us\":{most:.1},\"asked\":{},\"storm_per_s\":{:.0},\"behind\":{is_behind},\"bad\":{}",
            r.json((answered as u64 + stormed) as f64),
            sent - before.0,
            stormed as f64 / r.wall_s,
            app.bad
        ),
    )
}
