//! RFC 6455 from outside: what bytes make of a connection, and what they cost.

mod chunks;
mod differential;
mod faults;
mod hazards;
mod header;
mod limits;
mod memory;
mod oracle;
mod pair;
mod seeds;
