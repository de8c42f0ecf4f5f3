//! What is counted: connections that came and went, and limits that were reached.

use std::sync::atomic::{AtomicU64, Ordering};

use eio_transport::Reason;
use sio_rooms::RecoveryError;

use crate::delays::{DelayTally, Delays};

/// A limit that a request or a connection has reached, and what it got for it.
///
/// Limits that end a session are counted by its [`Reason`]: [`Counters::closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// As many calls of a socket, or calls to many, waited for answers as may: the call failed.
    Acks,
    /// An address had [`PerIp::max_connections`](crate::PerIp::max_connections): 429.
    AddressConnections,
    /// An address made more handshakes than
    /// [`PerIp::max_handshake_rate`](crate::PerIp::max_handshake_rate): 429.
    AddressRate,
    /// The answers to a call to many were longer than
    /// [`Config::max_answer_bytes`](crate::Config::max_answer_bytes) together: this one was not kept.
    AnswerBytes,
    /// The attachments of a packet were longer than `max_binary_bytes` together: closed.
    AttachmentBytes,
    /// An attachment did not come within
    /// [`Config::attachment_timeout`](crate::Config::attachment_timeout): closed.
    AttachmentTime,
    /// A packet announced more attachments than `max_attachments`: closed.
    Attachments,
    /// The payload of a CONNECT was longer than `max_auth`: closed.
    AuthBytes,
    /// A POST was longer than `max_payload`: 413.
    BodyBytes,
    /// A POST was compressed: 415.
    BodyEncoding,
    /// A POST did not arrive within [`Config::body_timeout`](crate::Config::body_timeout), or slower than
    /// [`Config::min_body_rate`](crate::Config::min_body_rate): 408.
    BodyTime,
    /// A client sent more CONNECT packets than
    /// [`Config::max_connect_attempts`](crate::Config::max_connect_attempts): refused, and closed.
    ConnectAttempts,
    /// There were [`Config::max_connections`](crate::Config::max_connections): 503.
    Connections,
    /// A payload was nested more than 128 deep: closed.
    Depth,
    /// There were [`Config::max_dynamic_namespaces`](crate::Config::max_dynamic_namespaces): refused.
    DynamicNamespaces,
    /// The name of an event was longer than `max_event_name`: closed.
    EventName,
    /// The head of a request was longer, or had more fields, than it may: 431.
    Head,
    /// The head of a request did not arrive within
    /// [`Config::header_timeout`](crate::Config::header_timeout): 408, and the connection was closed;
    /// without a word if nothing of the head had come.
    HeadTime,
    /// What is buffered came near [`Config::memory_budget`](crate::Config::memory_budget): 503 for a
    /// handshake, or the connection with the most was closed.
    Memory,
    /// A WebSocket message was longer than `max_payload`: closed with 1009.
    MessageBytes,
    /// The name of a namespace was longer than `max_namespace`: closed.
    NamespaceName,
    /// A connection was in [`Config::max_namespaces`](crate::Config::max_namespaces): refused.
    Namespaces,
    /// More than [`Config::max_opening_rate`](crate::Config::max_opening_rate) wanted to come in: 503.
    OpeningRate,
    /// A page of an origin that may not connect: 403.
    Origin,
    /// There were [`Config::max_pending`](crate::Config::max_pending) connections with nothing to do: the
    /// one that had been so for longest was closed.
    Pending,
    /// An event found more waiting than
    /// [`Config::max_queued_bytes`](crate::Config::max_queued_bytes) or
    /// [`max_queued_packets`](crate::Config::max_queued_packets), and was not sent. Connections that
    /// were closed for it are counted by their reason.
    Queue,
    /// A socket was in [`Config::max_rooms`](crate::Config::max_rooms): not joined.
    Rooms,
    /// The target of a request was longer than 8 KiB: 414.
    Target,
}

impl Limit {
    /// All there are.
    pub const ALL: [Self; 28] = [
        Self::Acks,
        Self::AddressConnections,
        Self::AddressRate,
        Self::AnswerBytes,
        Self::AttachmentBytes,
        Self::AttachmentTime,
        Self::Attachments,
        Self::AuthBytes,
        Self::BodyBytes,
        Self::BodyEncoding,
        Self::BodyTime,
        Self::ConnectAttempts,
        Self::Connections,
        Self::Depth,
        Self::DynamicNamespaces,
        Self::EventName,
        Self::Head,
        Self::HeadTime,
        Self::Memory,
        Self::MessageBytes,
        Self::NamespaceName,
        Self::Namespaces,
        Self::OpeningRate,
        Self::Origin,
        Self::Pending,
        Self::Queue,
        Self::Rooms,
        Self::Target,
    ];

    /// A name for it in metrics, such as `body_bytes`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acks => "acks",
            Self::AnswerBytes => "answer_bytes",
            Self::AttachmentBytes => "attachment_bytes",
            Self::AttachmentTime => "attachment_time",
            Self::Attachments => "attachments",
            Self::AuthBytes => "auth_bytes",
            Self::AddressConnections => "address_connections",
            Self::AddressRate => "address_rate",
            Self::BodyBytes => "body_bytes",
            Self::BodyEncoding => "body_encoding",
            Self::BodyTime => "body_time",
            Self::ConnectAttempts => "connect_attempts",
            Self::Connections => "connections",
            Self::Depth => "depth",
            Self::DynamicNamespaces => "dynamic_namespaces",
            Self::EventName => "event_name",
            Self::Head => "head",
            Self::HeadTime => "head_time",
            Self::Memory => "memory",
            Self::MessageBytes => "message_bytes",
            Self::NamespaceName => "namespace_name",
            Self::Namespaces => "namespaces",
            Self::OpeningRate => "opening_rate",
            Self::Origin => "origin",
            Self::Pending => "pending",
            Self::Queue => "queue",
            Self::Rooms => "rooms",
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
    late: AtomicU64,
    pub(crate) delays: DelayTally,
    /// Sessions that were asked for: recovered, and for each reason not.
    recoveries: [AtomicU64; 1 + RecoveryError::NAMES.len()],
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

    /// A packet came for a socket that had gone.
    pub(crate) fn late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    /// A client asked for its session.
    pub(crate) fn recovery(&self, result: Result<(), RecoveryError>) {
        let index = result.err().map_or(0, |error| 1 + error.index());
        self.recoveries[index].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn hit(&self, limit: Limit) {
        self.limits[limit as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// What a server has counted since it was started. From [`Io::counters`](crate::Io::counters).
///
/// ```
/// use sio_server::{Limit, Reason};
///
/// # fn f(io: sio_server::Io) {
/// let counters = io.counters();
/// println!("opened_total {}\nclosed_total {}", counters.opened, counters.all_closed());
/// println!("slow_consumers_total {}", counters.closed(Reason::SlowConsumer));
/// for limit in Limit::ALL {
///     println!("limit_hits_total{{limit=\"{}\"}} {}", limit.name(), counters.limit(limit));
/// }
/// for (result, count) in counters.recoveries() {
///     println!("recoveries_total{{result=\"{result}\"}} {count}");
/// }
/// # }
/// ```
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
    /// Packets that came for a socket which the server had put out, before its client could know.
    pub late_packets: u64,
    /// By how much deadlines were missed.
    pub delays: Delays,
    recoveries: [u64; 1 + RecoveryError::NAMES.len()],
    limits: [u64; Limit::ALL.len()],
    closed: [u64; REASONS],
}

impl Counters {
    /// How often a limit was reached.
    pub fn limit(&self, limit: Limit) -> u64 {
        self.limits[limit as usize]
    }

    /// Sessions that were asked for by clients whose connection had broken, by what came of it:
    /// `recovered`, or a [`RecoveryError::name`].
    pub fn recoveries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = std::iter::once("recovered").chain(RecoveryError::NAMES);
        names.zip(self.recoveries)
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
        self.late_packets += load(&tally.late);
        self.delays.add(&tally.delays);
        for (sum, count) in self.recoveries.iter_mut().zip(&tally.recoveries) {
            *sum += load(count);
        }
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
