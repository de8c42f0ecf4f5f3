//! What the measurements share. `docs/BENCHMARKING.md` says how to run and how to read them.

pub mod gauge;

use std::time::Duration;

use criterion::Criterion;
use sio_server::{Ack, Server, Value};

pub use gauge::Gauge;

/// Criterion for a shared machine: short runs, many samples, and a [`Gauge`] chosen by
/// `BENCH_UNIT`: `time` (the default), `cycles` or `instructions`.
///
/// # Panics
///
/// If `BENCH_UNIT` is none of these, or this machine does not count them.
pub fn criterion() -> Criterion<Gauge> {
    Criterion::default()
        .with_measurement(Gauge::from_env())
        .sample_size(50)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .configure_from_args()
}

/// Lower-case letters, the same each time, and not the same letter each time.
pub fn letters(len: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state % 26) as u8)
    };
    (0..len).map(|_| letter()).collect()
}

/// The handlers that every measured server has, ours and the peers': what they cost is what the framework
/// costs.
///
/// | client emits | server does |
/// |---|---|
/// | `echo`, payload, ack | ack(payload) |
/// | `echo2`, payload | emit `echo2`, payload to that socket |
/// | `join`, room, ack | join, ack("ok") |
/// | `bcast`, payload | emit `bcast`, payload to all sockets of the namespace |
/// | `rcast`, room, payload | emit `rcast`, payload to the room |
pub fn serve(server: Server) -> Server {
    server
        .on("echo", async |_socket, payload: Value| Ack(payload))
        .on("echo2", async |socket, payload: Value| {
            socket.emit("echo2", &payload);
        })
        .on("join", async |socket, room: String| {
            socket.join(&room);
            Ack("ok")
        })
        .on("bcast", async |socket, payload: Value| {
            socket.everyone().emit("bcast", &payload);
        })
        .on("rcast", async |socket, (room, payload): (String, Value)| {
            socket.everyone().to(&room).emit("rcast", &payload);
        })
}
