//! What is counted: connections that came and went, and limits that were reached.

use std::sync::atomic::{AtomicU64, Ordering};

use eio_transport::Reason;

/// A limit that a request or a connection has reached, and what it got for it.
///
/// Limits that end a session are counted by its [`Reason`]: [`Counters::closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// A POST was longer than `max_payload`: 413.
    BodyBytes,
    /// A POST was compressed: 415.
    BodyEncoding,
    /// A POST did not arrive within [`Config::body_timeout`](crate::Config::body_timeout): 408.
    BodyTime,
    /// There were [`Config::max_connections`](crate::Config::max_connections): 503.
    Connections,
    /// The head of a request was longer, or had more fields, than it may: 431.
    Head,
    /// The head of a request did not arrive within
    /// [`Config::header_timeout`](crate::Config::header_timeout): the connection was closed.
    HeadTime,
    /// A WebSocket message was longer than `max_payload`: closed with 1009.
    MessageBytes,
    /// A page of an origin that may not connect: 403.
    Origin,
    /// An event found more waiting than
    /// [`Config::max_queued_bytes`](crate::Config::max_queued_bytes) or
    /// [`max_queued_packets`](crate::Config::max_queued_packets), and was not sent. Connections that
    /// were closed for it are counted by their reason.
    Queue,
    /// The target of a request was longer than 8 KiB: 414.
    Target,
}

impl Limit {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::BodyBytes,
        Self::BodyEncoding,
        Self::BodyTime,
        Self::Connections,
        Self::Head,
        Self::HeadTime,
        Self::MessageBytes,
        Self::Origin,
        Self::Queue,
        Self::Target,
    ];

    /// A name for it in metrics, such as `body_bytes`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BodyBytes => "body_bytes",
            Self::BodyEncoding => "body_encoding",
            Self::BodyTime => "body_time",
            Self::Connections => "connections",
            Self::Head => "head",
            Self::HeadTime => "head_time",
            Self::MessageBytes => "message_bytes",
            Self::Origin => "origin",
            Self::Queue => "queue",
            Self::Target => "target",
        }
    }
}

/// Reasons for which a session can end, and some to spare.
const REASONS: usize = 24;

/// What one shard has counted. Written by its own thread nearly always.
#[derive(Default)]
pub(crate) struct Tally {
    opened: AtomicU64,
    refused: AtomicU64,
    limits: [AtomicU64; Limit::ALL.len()],
    closed: [AtomicU64; REASONS],
    dropped: AtomicU64,
}

impl Tally {
    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, reason: Reason) {
        if let Some(count) = self.closed.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Volatile events were not sent.
    pub(crate) fn dropped(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn hit(&self, limit: Limit) {
        self.limits[limit as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// What a server has counted since it was started. From [`Io::counters`](crate::Io::counters).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that were opened.
    pub opened: u64,
    /// Requests that were refused with an error of Engine.IO, or for a limit.
    pub refused: u64,
    /// Volatile events that were not sent to a client because it took nothing, or because there was no
    /// room; counted for each client.
    pub volatile_dropped: u64,
    limits: [u64; Limit::ALL.len()],
    closed: [u64; REASONS],
}

impl Counters {
    /// How often a limit was reached.
    pub fn limit(&self, limit: Limit) -> u64 {
        self.limits[limit as usize]
    }

    /// Connections that ended for this reason.
    pub fn closed(&self, reason: Reason) -> u64 {
        self.closed.get(reason as usize).copied().unwrap_or(0)
    }

    /// Connections that ended.
    pub fn all_closed(&self) -> u64 {
        self.closed.iter().sum()
    }

    pub(crate) fn add(&mut self, tally: &Tally) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.opened += load(&tally.opened);
        self.refused += load(&tally.refused);
        self.volatile_dropped += load(&tally.dropped);
        for (sum, count) in self.limits.iter_mut().zip(&tally.limits) {
            *sum += load(count);
        }
        for (sum, count) in self.closed.iter_mut().zip(&tally.closed) {
            *sum += load(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_and_each_reason_has_a_count_of_its_own() {
        let tally = Tally::default();
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index, "{limit:?}");
            for _ in 0..=index {
                tally.hit(limit);
            }
        }
        tally.closed(Reason::TransportError);
        tally.closed(Reason::ConnectTimeout);
        tally.closed(Reason::ConnectTimeout);
        let mut counters = Counters::default();
        counters.add(&tally);
        counters.add(&tally);
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(counters.limit(limit), 2 * (index as u64 + 1));
        }
        assert_eq!(counters.closed(Reason::TransportError), 2);
        assert_eq!(counters.closed(Reason::ConnectTimeout), 4);
        assert_eq!(counters.closed(Reason::PingTimeout), 0);
        assert_eq!(counters.all_closed(), 6);
    }
}
