//! What a server decides once for all its sessions: deadlines, limits, transports.

use std::time::Duration;

/// The revisions of the Engine.IO protocol.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Revision {
    /// Revision 3, of the Socket.IO 2 clients: the client sends the pings.
    V3,
    /// Revision 4, of the Socket.IO 3 and 4 clients: the server sends the pings.
    V4,
}

/// The transports that a session can use.
///
/// ```
/// use eio_transport::{Config, Transport};
///
/// let config = Config::default();
/// assert_eq!(Transport::parse("websocket"), Some(Transport::WebSocket));
/// assert_eq!(config.upgrades(Transport::Polling), [Transport::WebSocket]);
/// assert!(config.transports.contains(Transport::Polling));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// HTTP long-polling: one GET waits for packets, POSTs bring them.
    Polling,
    /// One WebSocket carries both directions.
    WebSocket,
}

impl Transport {
    /// The transport of that name in a query string, `None` if there is none.
    #[inline]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "polling" => Some(Self::Polling),
            "websocket" => Some(Self::WebSocket),
            _ => None,
        }
    }

    /// The name of the transport on the wire.
    #[inline]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// A set of transports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transports(u8);

impl Transports {
    /// Polling and WebSocket.
    pub const ALL: Self = Self(0b11);
    /// Polling alone.
    pub const POLLING: Self = Self(0b01);
    /// WebSocket alone.
    pub const WEBSOCKET: Self = Self(0b10);

    /// Whether `transport` belongs to the set.
    #[inline]
    pub const fn contains(self, transport: Transport) -> bool {
        self.0 & (1 << transport as u8) != 0
    }
}

/// The settings shared by all sessions of a server, immutable once in use.
///
/// The defaults are those of the reference implementation, so that clients meet the deadlines
/// they are used to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// From a pong (or the opening) to the next ping of the server.
    ///
    /// Default 25 s: below the 30 s after which common proxies cut an idle connection.
    pub ping_interval: Duration,
    /// From a ping to the last moment for a sign of life.
    ///
    /// Default 20 s: a phone that sleeps or changes its network may be silent that long.
    pub ping_timeout: Duration,
    /// From the moment when a WebSocket offers itself for an upgrade to the last moment for
    /// its `5`.
    ///
    /// Default 10 s: the probe is two small messages; what has not come by then will not come.
    pub upgrade_timeout: Duration,
    /// From the opening to the last moment for [`Session::claim`](crate::Session::claim).
    ///
    /// Default 45 s: one ping interval and one ping timeout.
    pub connect_timeout: Duration,
    /// How long the last words of a closed polling session wait for a GET that fetches them.
    ///
    /// Default 30 s: a client between two GETs comes back in one round trip.
    pub close_timeout: Duration,
    /// The shortest time between two NOOPs with which GETs are answered during an upgrade.
    ///
    /// Default 100 ms: the client may ask again before it knows that it is being upgraded, so
    /// every GET is answered soon, but a client that never pauses cannot make the server spin.
    pub noop_interval: Duration,
    /// The longest message from the client, in bytes; also the longest body of a POST.
    /// Announced to the client as `maxPayload`.
    ///
    /// Default 1,000,000.
    pub max_payload: usize,
    /// The most packets in the body of one POST.
    ///
    /// Default 131,072: a client may legally put some 125,000 tiny events into 1 MB.
    pub max_packets_per_payload: usize,
    /// The transports that a client may use.
    ///
    /// Default: all.
    pub transports: Transports,
    /// Whether a session may move from polling to WebSocket.
    ///
    /// Default: yes; polling costs two requests where WebSocket costs two frames.
    pub allow_upgrades: bool,
    /// Whether clients of revision 3 are served.
    ///
    /// Default: no, as in the reference implementation.
    pub allow_eio3: bool,
    /// Whether clients may poll by JSONP, that is by `<script>` and `<form>`.
    ///
    /// Default: no. A `<script>` names no `Origin` and brings cookies, so any page could open a session
    /// in its visitor's name and read it. Only browsers without cross-origin requests need it.
    pub allow_jsonp: bool,
}

impl Config {
    /// The transports to which a session that opened over `transport` may move.
    pub fn upgrades(&self, transport: Transport) -> &'static [Transport] {
        let offered = self.allow_upgrades && self.transports.contains(Transport::WebSocket);
        match transport {
            Transport::Polling if offered => &[Transport::WebSocket],
            _ => &[],
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(45),
            close_timeout: Duration::from_secs(30),
            noop_interval: Duration::from_millis(100),
            max_payload: 1_000_000,
            max_packets_per_payload: 131_072,
            transports: Transports::ALL,
            allow_upgrades: true,
            allow_eio3: false,
            allow_jsonp: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_what_it_names() {
        assert!(Transports::ALL.contains(Transport::Polling));
        assert!(Transports::ALL.contains(Transport::WebSocket));
        assert!(!Transports::POLLING.contains(Transport::WebSocket));
        assert!(!Transports::WEBSOCKET.contains(Transport::Polling));
    }

    #[test]
    fn only_polling_is_upgraded_and_only_where_allowed() {
        let config = Config::default();
        assert_eq!(config.upgrades(Transport::Polling), [Transport::WebSocket]);
        assert_eq!(config.upgrades(Transport::WebSocket), []);
        let config = Config {
            allow_upgrades: false,
            ..Config::default()
        };
        assert_eq!(config.upgrades(Transport::Polling), []);
        let config = Config {
            transports: Transports::POLLING,
            ..Config::default()
        };
        assert_eq!(config.upgrades(Transport::Polling), []);
    }
}
