//! Why a session ended.

use std::fmt;

/// Why a session ended.
///
/// [`as_str`](Self::as_str) is the word that applications know from the reference implementation;
/// several causes share a word, and [`detail`](Self::detail) tells them apart.
///
/// ```
/// use eio_transport::Reason;
///
/// assert_eq!(Reason::WriteStalled.as_str(), "transport close");
/// assert_eq!(Reason::WriteStalled.detail(), "the transport took nothing for too long");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The server did not hear from an application that wanted the session in time.
    ConnectTimeout,
    /// The server closed the session because of what the client sent.
    ForcedClose,
    /// The server's application closed the session.
    ForcedServerClose,
    /// More events waited for handlers than may, and the handlers did not catch up.
    HandlersStalled,
    /// A client of revision 4 sent a ping, or one of revision 3 a pong.
    HeartbeatDirection,
    /// The client sent more messages in a second than it may.
    PacketRate,
    /// The client sent a packet or a payload that cannot be read.
    ParseError,
    /// More was buffered for all connections together than the server may, and this one had the most.
    Overload,
    /// Nothing was heard from the client in time.
    PingTimeout,
    /// The connection of a waiting GET was lost.
    PollLost,
    /// A GET came while another one was waiting.
    PollOverlap,
    /// The connection of a POST was lost before its body was complete.
    PostLost,
    /// A POST came while another one was being read.
    PostOverlap,
    /// A POST that began before the upgrade did not end in time after it.
    PostTimeout,
    /// The server is shutting down.
    ServerShuttingDown,
    /// The client did not take what was queued for it.
    SlowConsumer,
    /// For too long more was queued for the client than should be.
    SlowConsumerSoft,
    /// The client sent more pongs than there were pings.
    StrayPongs,
    /// The client came back on another connection.
    Superseded,
    /// The client closed the session or its connection.
    TransportClose,
    /// The transport failed, or the client broke its rules.
    TransportError,
    /// The transport took nothing of what was queued for the client.
    WriteStalled,
}

impl Reason {
    /// The reason as applications know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForcedClose | Self::PacketRate => "forced close",
            Self::ConnectTimeout | Self::ForcedServerClose | Self::HandlersStalled => {
                "forced server close"
            }
            Self::ParseError => "parse error",
            Self::PingTimeout => "ping timeout",
            Self::ServerShuttingDown => "server shutting down",
            Self::Overload
            | Self::SlowConsumer
            | Self::SlowConsumerSoft
            | Self::Superseded
            | Self::TransportClose
            | Self::WriteStalled => "transport close",
            Self::HeartbeatDirection
            | Self::PollLost
            | Self::PollOverlap
            | Self::PostLost
            | Self::PostOverlap
            | Self::PostTimeout
            | Self::StrayPongs
            | Self::TransportError => "transport error",
        }
    }

    /// What happened exactly.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::ConnectTimeout => "no namespace was joined in time",
            Self::ForcedClose => "closed by the server because of what the client sent",
            Self::ForcedServerClose => "closed by the server",
            Self::HandlersStalled => "the handlers did not catch up with what the client sent",
            Self::HeartbeatDirection => "invalid heartbeat direction",
            Self::PacketRate => "the client sent more messages than it may in so short a time",
            Self::ParseError => "a packet could not be read",
            Self::Overload => "the server buffered too much, and the most for this client",
            Self::PingTimeout => "nothing was heard from the client in time",
            Self::PollLost => "poll connection closed prematurely",
            Self::PollOverlap => "overlap from client",
            Self::PostLost => "data request connection closed prematurely",
            Self::PostOverlap => "data request overlap from client",
            Self::PostTimeout => "a data request outlived the upgrade",
            Self::ServerShuttingDown => "the server is shutting down",
            Self::SlowConsumer => "the client did not take what was queued for it",
            Self::SlowConsumerSoft => "too much was queued for the client for too long",
            Self::StrayPongs => "too many unasked pongs",
            Self::Superseded => "the client came back on another connection",
            Self::TransportClose => "closed by the client",
            Self::TransportError => "the transport failed",
            Self::WriteStalled => "the transport took nothing for too long",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
