//! What one address may do: connections at the same time, handshakes in a second.
//!
//! Nothing of this exists where [`PerIp`] sets nothing.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use eio_transport::Sid;
use foldhash::fast::RandomState;

use crate::{
    counters::Limit,
    pace::{Pace, nanos},
};

/// What one address may do, in [`Config::per_ip`](crate::Config::per_ip). Beyond it a handshake gets 429
/// with `Retry-After`.
///
/// Off unless set: behind one address there may be a whole company, and behind a proxy that is not
/// [named](crate::Config::proxies) everybody is. Of IPv6 it is the first 64 bits that count, as those are
/// what one customer has. A client whose address is not known
/// ([`PeerAddr`](crate::PeerAddr)) is not limited.
///
/// ```
/// let mut config = sio_server::Config::default();
/// config.per_ip.max_connections = Some(200);
/// config.per_ip.max_handshake_rate = Some(20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PerIp {
    /// Connections at the same time. Default none.
    pub max_connections: Option<u32>,
    /// Handshakes per second in the long run. Default none.
    pub max_handshake_rate: Option<u32>,
    /// Handshakes at once, after a time without any; counts where there is a rate. Default 100: a page
    /// that many in one office open at nine o'clock.
    pub handshake_burst: u32,
}

impl Default for PerIp {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_handshake_rate: None,
            handshake_burst: 100,
        }
    }
}

/// The addresses that have connections, or had handshakes a short while ago.
pub(crate) struct Addresses {
    settings: PerIp,
    epoch: Instant,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    entries: HashMap<Address, Entry, RandomState>,
    /// Whose a session is.
    sessions: HashMap<Sid, Address, RandomState>,
    /// How many entries there may be before those that say nothing are looked for.
    sweep_at: usize,
}

/// An address, or of IPv6 the network of one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address(u128);

#[derive(Clone, Copy, Default)]
struct Entry {
    connections: u32,
    /// When the handshakes so far are worn off, in nanoseconds since the epoch.
    worn_off: u64,
}

impl Addresses {
    /// `None` if nothing is limited.
    pub(crate) fn new(settings: &PerIp, now: Instant) -> Option<Self> {
        let is_set = settings.max_connections.is_some() || settings.max_handshake_rate.is_some();
        is_set.then(|| Self {
            settings: settings.clone(),
            epoch: now,
            known: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a handshake, and a connection until [`leave`](Self::leave).
    pub(crate) fn enter(&self, ip: IpAddr, now: Instant) -> Result<Address, Limit> {
        let address = Address::of(ip);
        let now = nanos(self.epoch, now);
        let mut known = self.lock();
        known.sweep(now);
        let entry = known.entries.entry(address).or_default();
        if let Some(rate) = self.settings.max_handshake_rate {
            let pace = Pace::new(rate, self.settings.handshake_burst);
            let worn_off = pace.next(entry.worn_off, now);
            entry.worn_off = worn_off.ok_or(Limit::AddressRate)?;
        }
        let limit = self.settings.max_connections;
        if limit.is_some_and(|limit| entry.connections >= limit) {
            return Err(Limit::AddressConnections);
        }
        entry.connections += 1;
        Ok(address)
    }

    /// A connection has gone that never became a session.
    pub(crate) fn leave(&self, address: Address) {
        self.lock().leave(address);
    }

    /// A connection has become a session.
    pub(crate) fn settle(&self, sid: Sid, address: Address) {
        self.lock().sessions.insert(sid, address);
    }

    /// A session has gone.
    pub(crate) fn end(&self, sid: &Sid) {
        let mut known = self.lock();
        if let Some(address) = known.sessions.remove(sid) {
            known.leave(address);
        }
    }
}

impl Known {
    fn leave(&mut self, address: Address) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.connections = entry.connections.saturating_sub(1);
        }
    }

    /// Lets go of entries that say nothing any more, each time there are twice as many as were left the
    /// last time.
    fn sweep(&mut self, now: u64) {
        const FIRST: usize = 1024;
        if self.entries.len() < self.sweep_at.max(FIRST) {
            return;
        }
        self.entries
            .retain(|_, entry| entry.connections > 0 || entry.worn_off > now);
        self.entries.shrink_to(self.entries.len() * 2);
        self.sweep_at = self.entries.len() * 2;
    }
}

impl Address {
    fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits() >> 64 << 64,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limited(max_connections: Option<u32>, max_handshake_rate: Option<u32>) -> Addresses {
        let settings = PerIp {
            max_connections,
            max_handshake_rate,
            handshake_burst: 5,
        };
        Addresses::new(&settings, Instant::now()).expect("something is limited")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn connections_of_an_address_are_as_many_as_may_be_and_no_more() {
        let addresses = limited(Some(2), None);
        let now = Instant::now();
        let enter = |text| addresses.enter(ip(text), now);
        let first = enter("192.0.2.1").expect("there is room");
        let second = enter("::ffff:192.0.2.1").expect("there is room");
        assert_eq!(enter("192.0.2.1"), Err(Limit::AddressConnections));
        assert!(enter("192.0.2.2").is_ok());
        addresses.leave(first);
        let third = enter("192.0.2.1").expect("there is room again");
        let sid = Sid::from_entropy([7; 15]);
        addresses.settle(sid, third);
        assert!(enter("192.0.2.1").is_err());
        for _ in 0..2 {
            addresses.end(&sid);
        }
        assert!(enter("192.0.2.1").is_ok());
        assert!(enter("192.0.2.1").is_err());
        addresses.leave(second);
        assert!(enter("192.0.2.1").is_ok());
    }

    #[test]
    fn one_customer_of_ipv6_is_its_first_64_bits() {
        let addresses = limited(Some(1), None);
        let now = Instant::now();
        assert!(addresses.enter(ip("2001:db8:1:2::1"), now).is_ok());
        assert!(addresses.enter(ip("2001:db8:1:2:ffff::1"), now).is_err());
        assert!(addresses.enter(ip("2001:db8:1:3::1"), now).is_ok());
        // Neither the loopback address nor addresses of IPv4 are of one network.
        assert!(addresses.enter(ip("::1"), now).is_ok());
        assert!(addresses.enter(ip("::ffff:192.0.2.1"), now).is_ok());
        assert!(addresses.enter(ip("192.0.2.2"), now).is_ok());
    }

    #[test]
    fn handshakes_are_a_burst_and_then_a_rate() {
        let addresses = limited(None, Some(10));
        let start = addresses.epoch;
        let passed = |millis, times| {
            let now = start + Duration::from_millis(millis);
            let enter = |_: &u32| addresses.enter(ip("192.0.2.1"), now).is_ok();
            (0..times).filter(enter).count()
        };
        assert_eq!(passed(0, 4), 4);
        assert_eq!(passed(0, 2), 1);
        assert_eq!(passed(99, 1), 0);
        assert_eq!(passed(100, 2), 1);
        assert_eq!(passed(1000, 6), 5);
    }

    #[test]
    fn addresses_that_say_nothing_any_more_are_forgotten() {
        let addresses = limited(None, Some(10));
        let start = addresses.epoch;
        for n in 0..100_000_u32 {
            let now = start + Duration::from_millis(u64::from(n));
            let address = addresses.enter(IpAddr::V4(n.into()), now).expect("room");
            addresses.leave(address);
        }
        let known = addresses.lock();
        assert!(known.entries.len() <= 2048, "{}", known.entries.len());
        assert!(known.entries.capacity() <= 8192);
    }

    #[test]
    fn nothing_is_there_where_nothing_is_limited() {
        assert!(Addresses::new(&PerIp::default(), Instant::now()).is_none());
    }
}
