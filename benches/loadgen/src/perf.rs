//! Hardware counters of the server's threads (cycles, instructions and cache misses of user and kernel)
//! through perf_event_open. They move far less with other load on the machine than CPU time does.
//! Everything is optional: without permission the counts read 0.
use std::fs;

/// What is counted, each with its event and what it leaves out: cycles, instructions in user mode and in
/// the kernel, cache misses in user mode and in the kernel.
const EVENTS: [(u64, u64); KINDS] = [
    (0, 0),
    (1, NO_KERNEL),
    (1, NO_USER),
    (3, NO_KERNEL),
    (3, NO_USER),
];
pub const KINDS: usize = 5;
const NO_USER: u64 = 1 << 4;
const NO_KERNEL: u64 = 1 << 5;

#[repr(C)]
#[derive(Clone, Copy)]
struct Attr {
    type_: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    rest: [u64; 11],
}

pub struct Counters {
    fds: Vec<(usize, i32)>,
}

fn open(tid: i32, config: u64, excl: u64) -> i32 {
    let a = Attr {
        type_: 0,
        size: 128,
        config,
        sample_period: 0,
        sample_type: 0,
        read_format: 3,
        flags: 2 | excl | (1 << 6),
        rest: [0; 11],
    };
    unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &a as *const _,
            tid,
            -1i32,
            -1i32,
            8u64, /* CLOEXEC */
        ) as i32
    }
}

impl Counters {
    pub fn start(pids: &[u32]) -> Counters {
        let mut fds = vec![];
        for p in pids {
            let Ok(ts) = fs::read_dir(format!("/proc/{p}/task")) else {
                continue;
            };
            for t in ts.flatten() {
                let Some(tid) = t.file_name().to_str().and_then(|s| s.parse().ok()) else {
                    continue;
                };
                for (k, (cfg, excl)) in EVENTS.into_iter().enumerate() {
                    let fd = open(tid, cfg, excl);
                    if fd >= 0 {
                        fds.push((k, fd));
                    }
                }
            }
        }
        Counters { fds }
    }
    /// In the order of `EVENTS`.
    pub fn read(&self) -> [f64; KINDS] {
        let mut r = [0.0; KINDS];
        for &(k, fd) in &self.fds {
            let mut b = [0u64; 3];
            if unsafe { libc::read(fd, b.as_mut_ptr() as _, 24) } == 24 && b[2] > 0 {
                r[k] += b[0] as f64 * b[1] as f64 / b[2] as f64;
            }
        }
        r
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        for (_, fd) in &self.fds {
            unsafe { libc::close(*fd) };
        }
    }
}
