//! RFC 6455 from outside: what bytes make of a connection, and what they cost.

mod chunks;
mod faults;
mod hazards;
mod memory;
mod oracle;
mod seeds;
