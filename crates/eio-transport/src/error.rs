//! What goes wrong, and who is at fault.

use thiserror::Error;

/// Why a request was refused, in the numbers of the protocol.
///
/// The client's fault in every case. A polling request is answered with [`status`](Self::status)
/// and [`json`](Self::json); an Upgrade request always with 400 and the [`message`](Self::message).
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[repr(u8)]
pub enum ErrorCode {
    /// transport unknown
    #[error("transport unknown")]
    UnknownTransport = 0,
    /// session id unknown
    #[error("session id unknown")]
    UnknownSid = 1,
    /// bad handshake method
    #[error("bad handshake method")]
    BadHandshakeMethod = 2,
    /// bad request
    #[error("bad request")]
    BadRequest = 3,
    /// forbidden
    #[error("forbidden")]
    Forbidden = 4,
    /// unsupported protocol version
    #[error("unsupported protocol version")]
    UnsupportedProtocolVersion = 5,
}

impl ErrorCode {
    /// The number on the wire.
    #[inline]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The HTTP status for a polling request.
    #[inline]
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The message on the wire, as the reference implementation words it.
    #[inline]
    pub const fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }

    /// The body for a polling request, `application/json`.
    #[inline]
    pub const fn json(self) -> &'static str {
        match self {
            Self::UnknownTransport => r#"{"code":0,"message":"Transport unknown"}"#,
            Self::UnknownSid => r#"{"code":1,"message":"Session ID unknown"}"#,
            Self::BadHandshakeMethod => r#"{"code":2,"message":"Bad handshake method"}"#,
            Self::BadRequest => r#"{"code":3,"message":"Bad request"}"#,
            Self::Forbidden => r#"{"code":4,"message":"Forbidden"}"#,
            Self::UnsupportedProtocolVersion => {
                r#"{"code":5,"message":"Unsupported protocol version"}"#
            }
        }
    }
}

/// Why a packet could not be read. The peer's fault; it ends the session with a parse error.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PacketError {
    /// the packet is empty
    #[error("the packet is empty")]
    Empty,
    /// the base64 of a binary packet is malformed
    #[error("the base64 of a binary packet is malformed")]
    MalformedBase64,
    /// the packet type is unknown
    #[error("the packet type is unknown")]
    UnknownType {
        /// The first character of the packet.
        found: char,
    },
}

/// Why the body of a POST could not be read further. The peer's fault; it ends the session with
/// a parse error. The packets before it stand.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PayloadError {
    /// the form around the payload is malformed
    #[error("the form around the payload is malformed")]
    Form,
    /// the length of a packet is malformed
    #[error("the length of a packet is malformed")]
    Length,
    /// the payload is no UTF-8
    #[error("the payload is no UTF-8")]
    NotText,
    /// a packet of the payload is malformed
    #[error("a packet of the payload is malformed")]
    Packet(#[from] PacketError),
    /// the payload has too many packets
    #[error("the payload has too many packets")]
    TooManyPackets {
        /// The most that were allowed.
        limit: usize,
    },
    /// a packet is longer than the payload
    #[error("a packet is longer than the payload")]
    Truncated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_json_with_a_numeric_code() {
        for (number, code) in [
            ErrorCode::UnknownTransport,
            ErrorCode::UnknownSid,
            ErrorCode::BadHandshakeMethod,
            ErrorCode::BadRequest,
            ErrorCode::Forbidden,
            ErrorCode::UnsupportedProtocolVersion,
        ]
        .into_iter()
        .enumerate()
        {
            let message = code.message();
            assert_eq!(usize::from(code.code()), number);
            assert_eq!(
                code.json(),
                format!(r#"{{"code":{number},"message":"{message}"}}"#)
            );
            assert_eq!(code.to_string(), message.to_lowercase());
            assert_eq!(code.status(), if number == 4 { 403 } else { 400 });
        }
    }
}
