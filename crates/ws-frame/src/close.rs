//! Status codes and the body of a close frame, RFC 6455 §5.5.1 and §7.4.

use std::fmt;
use std::num::NonZeroU16;

use crate::ProtocolError;

/// A status code that may stand in a close frame.
///
/// The codes 1005 (*no status received*) and 1006 (*abnormal closure*) are never sent, so they are
/// not values of this type: a close frame without a code is `None` in
/// [`Message::Close`](crate::Message::Close), and a connection that ended without a close frame is
/// [`End::Abnormal`](crate::End::Abnormal).
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct CloseCode(NonZeroU16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL: Self = Self::known(1000);
    /// 1001: a server goes down, a browser leaves the page.
    pub const GOING_AWAY: Self = Self::known(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self::known(1002);
    /// 1003: a kind of data that this endpoint cannot accept.
    pub const UNSUPPORTED: Self = Self::known(1003);
    /// 1007: text that is not UTF-8, or content that is otherwise not what it says.
    pub const INVALID_PAYLOAD: Self = Self::known(1007);
    /// 1008: a message that goes against this endpoint's policy.
    pub const POLICY: Self = Self::known(1008);
    /// 1009: a message too big to process.
    pub const TOO_BIG: Self = Self::known(1009);
    /// 1010: the server did not negotiate an extension that the client needs.
    pub const MANDATORY_EXTENSION: Self = Self::known(1010);
    /// 1011: the server met a condition that it cannot get out of.
    pub const INTERNAL: Self = Self::known(1011);
    /// 1012: the service restarts.
    pub const RESTART: Self = Self::known(1012);
    /// 1013: try again later.
    pub const TRY_AGAIN: Self = Self::known(1013);
    /// 1014: a gateway got an invalid answer from upstream.
    pub const BAD_GATEWAY: Self = Self::known(1014);

    /// The code, if it may be sent: 1000–1003 and 1007–1014 as assigned by §7.4.1 and IANA, 3000–3999
    /// registered with IANA, 4000–4999 for private use (§7.4.2).
    #[inline]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self::known(code)),
            _ => None,
        }
    }

    const fn known(code: u16) -> Self {
        Self(NonZeroU16::new(code).expect("because all codes are above zero"))
    }

    /// The code as a number.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<CloseCode> for u16 {
    #[inline]
    fn from(code: CloseCode) -> Self {
        code.get()
    }
}

/// The body of a close frame: a status code and a reason, which may be empty.
///
/// ```
/// use ws_frame::{CloseCode, CloseFrame};
///
/// let close = CloseFrame::new(CloseCode::POLICY, "too fast").expect("a reason has 123 bytes at most");
/// assert_eq!((close.code().get(), close.reason()), (1008, "too fast"));
/// assert!(CloseCode::new(4000).is_some()); // an application's own
/// assert!(CloseCode::new(1005).is_none()); // never on the wire
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CloseFrame<'a> {
    code: CloseCode,
    reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// The longest reason, in bytes: a control frame holds 125, and the code takes two of them.
    pub const MAX_REASON: usize = 123;

    /// A code with a reason, or `None` if the reason is longer than
    /// [`MAX_REASON`](Self::MAX_REASON) bytes.
    #[inline]
    pub const fn new(code: CloseCode, reason: &'a str) -> Option<Self> {
        if reason.len() > Self::MAX_REASON {
            return None;
        }
        Some(Self { code, reason })
    }

    /// The status code.
    #[inline]
    pub const fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason; meant for people who read logs, not for the end user (§7.1.6).
    #[inline]
    pub const fn reason(&self) -> &'a str {
        self.reason
    }

    /// Reads the payload of a close frame. An empty one is `None`.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Option<Self>, ProtocolError> {
        let reason = match payload {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::CloseTooShort),
            [_, _, reason @ ..] => reason,
        };
        let code = u16::from_be_bytes([payload[0], payload[1]]);
        let Some(code) = CloseCode::new(code) else {
            return Err(ProtocolError::CloseCode { code });
        };
        match str::from_utf8(reason) {
            Ok(reason) => Ok(Some(Self { code, reason })),
            Err(_) => Err(ProtocolError::CloseReason),
        }
    }
}

/// A code without a reason.
impl From<CloseCode> for CloseFrame<'_> {
    #[inline]
    fn from(code: CloseCode) -> Self {
        Self { code, reason: "" }
    }
}
