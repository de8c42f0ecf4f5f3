//! CPU time and memory of the server process tree, from /proc.
use std::fs;

pub fn children(pid: u32, out: &mut Vec<u32>) {
    out.push(pid);
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return;
    };
    for t in tasks.flatten() {
        if let Ok(s) = fs::read_to_string(t.path().join("children")) {
            for c in s.split_whitespace().filter_map(|x| x.parse().ok()) {
                children(c, out);
            }
        }
    }
}

#[derive(Clone, Copy, Default, Debug)]
pub struct Cpu {
    /// nanoseconds on CPU (sum of task schedstat: precise)
    pub ns: u64,
    /// utime, stime in ticks (10 ms): only for the user/system split
    pub ut: u64,
    pub st: u64,
    pub rss_kb: u64,
    pub threads: u64,
    /// voluntary context switches
    pub vcs: u64,
}

pub fn snap(pid: u32) -> Cpu {
    let mut r = Cpu::default();
    if pid == 0 {
        return r;
    }
    let mut pids = vec![];
    children(pid, &mut pids);
    for p in pids {
        if let Ok(tasks) = fs::read_dir(format!("/proc/{p}/task")) {
            for t in tasks.flatten() {
                r.threads += 1;
                if let Ok(s) = fs::read_to_string(t.path().join("schedstat")) {
                    r.ns += s
                        .split_whitespace()
                        .next()
                        .and_then(|x| x.parse::<u64>().ok())
                        .unwrap_or(0);
                }
                if let Ok(s) = fs::read_to_string(t.path().join("status")) {
                    for l in s.lines() {
                        if let Some(v) = l.strip_prefix("voluntary_ctxt_switches:") {
                            r.vcs += v.trim().parse::<u64>().unwrap_or(0);
                        }
                    }
                }
            }
        }
        if let Ok(s) = fs::read_to_string(format!("/proc/{p}/stat")) {
            if let Some(i) = s.rfind(')') {
                let f: Vec<&str> = s[i + 2..].split(' ').collect();
                r.ut += f[11].parse::<u64>().unwrap_or(0);
                r.st += f[12].parse::<u64>().unwrap_or(0);
            }
        }
        if let Ok(s) = fs::read_to_string(format!("/proc/{p}/status")) {
            for l in s.lines() {
                if let Some(v) = l.strip_prefix("VmRSS:") {
                    r.rss_kb += v.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
                }
            }
        }
    }
    r
}

/// What each thread of the server has run, ns.
pub fn threads(pid: u32) -> Vec<(u32, u64)> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return vec![];
    };
    let ran = |task: fs::DirEntry| {
        let tid = task.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        Some((tid, stat.split_whitespace().next()?.parse().ok()?))
    };
    tasks.flatten().filter_map(ran).collect()
}

/// Own CPU, ns.
pub fn self_cpu_ns() -> u64 {
    unsafe {
        let mut ts: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut ts);
        ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
    }
}

/// Busy CPU time of the whole machine, ns (10 ms steps): to tell how much others were running.
pub fn machine_busy_ns() -> u64 {
    let s = fs::read_to_string("/proc/stat").unwrap_or_default();
    let f: Vec<u64> = s
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .filter_map(|x| x.parse().ok())
        .collect();
    if f.len() < 8 {
        return 0;
    }
    (f[0] + f[1] + f[2] + f[5] + f[6] + f[7]) * 10_000_000
}
