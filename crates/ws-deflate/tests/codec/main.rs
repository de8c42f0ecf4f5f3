//! RFC 7692 §7.2 from outside: what goes in comes out, what is hostile stops, and what it costs.

mod bombs;
mod memory;
mod naive;
mod oracle;
mod round_trip;
mod seeds;
mod vectors;

use ws_deflate::{Budget, Inflate, InflateConfig, InflateError, Pool};

fn pool() -> Pool {
    Pool::new(Budget::new(usize::MAX))
}

/// Reads one message of a connection without context take-over.
fn inflate(src: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    let mut pool = pool();
    let mut out = Vec::new();
    let mut connection = Inflate::new(InflateConfig::default(), &pool).unwrap();
    connection
        .inflate(&mut pool, src, limit, &mut out)
        .map(|()| out)
}
