//! Engine.IO sessions between model clients and a model driver, in virtual time.
//!
//! ```text
//!  Client ── requests, frames ──▶ network ──▶ Host (queue + Session)
//!         ◀── answers, frames ──  of World ◀──
//! ```
//!
//! - [`Host`] drives an [`eio_transport::Session`] as a server does, with a queue of parcels
//!   beside it, and checks after each step what must hold.
//! - [`Client`] behaves as the JavaScript client does, or less patiently.
//! - [`World`] joins the two by a network with latency and faults.
//! - [`Storm`] throws inputs in any order at a host.
//!
//! All messages carry numbers, so a message that is lost, doubled or out of order is noticed when
//! it happens.

mod client;
mod host;
mod storm;
mod world;

pub use client::{Ask, Client, Temper};
pub use host::{Frame, Host, Live, Reply};
pub use storm::Storm;
pub use world::{Report, Weather, World};
