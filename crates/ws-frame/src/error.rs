//! What a peer can do wrong, and the status code each fault is answered with.

use crate::CloseCode;

/// Why a connection was failed (§7.1.7).
///
/// Every variant is the peer's doing: it broke the protocol, or it went over a limit that was set
/// for it. [`close_code`](Self::close_code) tells which.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// a close frame carries the reserved or unassigned status code {code}
    #[error("a close frame carries the reserved or unassigned status code {code}")]
    CloseCode {
        /// The code as received.
        code: u16,
    },
    /// the reason in a close frame is not UTF-8
    #[error("the reason in a close frame is not UTF-8")]
    CloseReason,
    /// a close frame has a body of one byte
    #[error("a close frame has a body of one byte")]
    CloseTooShort,
    /// a continuation frame came with no message under way
    #[error("a continuation frame came with no message under way")]
    ContinuationUnexpected,
    /// a control frame is fragmented
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// control frames come faster than the limit allows
    #[error("control frames come faster than the limit allows")]
    ControlRate,
    /// a control frame is longer than 125 bytes
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// a message is cut into more than {limit} fragments
    #[error("a message is cut into more than {limit} fragments")]
    Fragments {
        /// The limit that was reached.
        limit: u32,
    },
    /// the payload length {len} is not in its shortest form
    #[error("the payload length {len} is not in its shortest form")]
    LengthNotMinimal {
        /// The length as received.
        len: u64,
    },
    /// the payload length {len} has its most significant bit set
    #[error("the payload length {len} has its most significant bit set")]
    LengthTopBit {
        /// The length as received.
        len: u64,
    },
    /// a server's frame is masked
    #[error("a server's frame is masked")]
    MaskForbidden,
    /// a client's frame is not masked
    #[error("a client's frame is not masked")]
    MaskMissing,
    /// a message began before the one under way was finished
    #[error("a message began before the one under way was finished")]
    MessageUnfinished,
    /// reserved bits {rsv:#05b} are set that no extension gives a meaning to
    #[error("reserved bits {rsv:#05b} are set that no extension gives a meaning to")]
    ReservedBits {
        /// The three bits, RSV1 first.
        rsv: u8,
    },
    /// opcode {opcode:#x} is reserved
    #[error("opcode {opcode:#x} is reserved")]
    ReservedOpCode {
        /// The four bits as received.
        opcode: u8,
    },
    /// a message of at least {len} bytes is over the limit of {limit}
    #[error("a message of at least {len} bytes is over the limit of {limit}")]
    TooBig {
        /// The length the message would have with the frame just announced.
        len: u64,
        /// The limit it goes over.
        limit: usize,
    },
    /// a text message is not UTF-8
    #[error("a text message is not UTF-8")]
    Utf8,
}

impl ProtocolError {
    /// The status code this fault is answered with, §7.4.1.
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::CloseReason | Self::Utf8 => CloseCode::INVALID_PAYLOAD,
            Self::TooBig { .. } => CloseCode::TOO_BIG,
            Self::ControlRate | Self::Fragments { .. } => CloseCode::POLICY,
            Self::CloseCode { .. }
            | Self::CloseTooShort
            | Self::ContinuationUnexpected
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::LengthNotMinimal { .. }
            | Self::LengthTopBit { .. }
            | Self::MaskForbidden
            | Self::MaskMissing
            | Self::MessageUnfinished
            | Self::ReservedBits { .. }
            | Self::ReservedOpCode { .. } => CloseCode::PROTOCOL,
        }
    }
}
