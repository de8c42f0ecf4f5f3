//! The client's side: the request and the check of its answer, RFC 6455 §4.1.

use std::io::Write as _;

use crate::accept::{KEY_LEN, accept_key, base64};
use crate::agreed::write_field;
use crate::deflate::{DeflateOffer, DeflateParams};
use crate::extension::extensions;
use crate::headers::{Headers, Lines, Single};
use crate::token::{contains, is_token, trim};

/// A request to open a WebSocket over HTTP/1.1.
///
/// Write it, read the head of the answer, and [`check`](Self::check) it against the same value.
///
/// ```
/// use ws_handshake::Request;
///
/// let mut request = Request::new("example.com", "/chat", *b"the sample nonce");
/// request.protocols = &["chat"];
/// assert_eq!(request.key(), "dGhlIHNhbXBsZSBub25jZQ==");
/// let mut out = Vec::new();
/// request.write(&mut out, [("User-Agent", &b"a test"[..])])?;
/// assert!(out.starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n"));
///
/// let answered = [
///     ("Upgrade", "websocket"),
///     ("Connection", "Upgrade"),
///     ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
///     ("Sec-WebSocket-Protocol", "chat"),
/// ];
/// assert_eq!(request.check(101, &answered)?.protocol, Some("chat"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// Host, and port where it is not the default of the scheme.
    pub host: &'a str,
    /// Path and query, from the `/`.
    pub target: &'a str,
    /// The subprotocols we speak, the one we like best first; all different.
    pub protocols: &'a [&'a str],
    /// The terms of permessage-deflate that we offer; `None` offers nothing.
    pub deflate: Option<DeflateOffer>,
    key: [u8; KEY_LEN],
}

/// What the server agreed to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Answer<'a> {
    /// The subprotocol, one of those offered.
    pub protocol: Option<&'a str>,
    /// The terms of permessage-deflate; `None` if it was declined.
    pub deflate: Option<DeflateParams>,
}

/// A request that cannot be written. The caller is at fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// the host is empty or holds a character that cannot stand in one
    #[error("the host is empty or holds a character that cannot stand in one")]
    Host,

    /// a subprotocol is not a token or stands there twice
    #[error("a subprotocol is not a token or stands there twice")]
    Protocols,

    /// the target does not begin with a slash, or holds white space or a fragment
    #[error("the target does not begin with a slash, or holds white space or a fragment")]
    Target,
}

/// Why the answer does not open a WebSocket. The server is at fault; the connection must be failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// the sec-websocket-accept header does not answer our key
    #[error("the sec-websocket-accept header does not answer our key")]
    Accept,

    /// the connection header does not hold the token upgrade
    #[error("the connection header does not hold the token upgrade")]
    Connection,

    /// the server chose an extension or a parameter that we did not offer
    #[error("the server chose an extension or a parameter that we did not offer")]
    Extensions,

    /// the server chose a subprotocol that we did not offer
    #[error("the server chose a subprotocol that we did not offer")]
    Protocol,

    /// the server answered with status {status} instead of 101
    #[error("the server answered with status {status} instead of 101")]
    Status {
        /// The status it answered with. A redirect or a challenge is the caller's to follow.
        status: u16,
    },

    /// the upgrade header is not websocket
    #[error("the upgrade header is not websocket")]
    Upgrade,
}

impl<'a> Request<'a> {
    /// A request without subprotocols and extensions.
    ///
    /// `entropy` must be new and unpredictable for every connection (§10.3): it is what a cache in
    /// between cannot have an answer for.
    pub fn new(host: &'a str, target: &'a str, entropy: [u8; 16]) -> Self {
        Self {
            host,
            target,
            protocols: &[],
            deflate: None,
            key: base64(&entropy),
        }
    }

    /// The value of `Sec-WebSocket-Key`.
    pub fn key(&self) -> &str {
        str::from_utf8(&self.key).expect("because base64 writes ASCII")
    }

    /// Appends the whole request, the empty line included, with `extra` fields before it, such as
    /// `Origin` or `Cookie`.
    ///
    /// A carriage return, line feed or NUL in an extra value is written as a space (RFC 9110 §5.5);
    /// fields whose name is not a token are left out.
    ///
    /// # Errors
    ///
    /// If the request would not be one: nothing is written then.
    pub fn write<'h>(
        &self,
        out: &mut Vec<u8>,
        extra: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<(), RequestError> {
        self.check_fields()?;
        // Writing to a Vec cannot fail.
        let _ = write!(out, "GET {} HTTP/1.1\r\n", self.target);
        write_field(out, "Host", self.host.as_bytes());
        write_field(out, "Upgrade", b"websocket");
        write_field(out, "Connection", b"Upgrade");
        write_field(out, "Sec-WebSocket-Version", b"13");
        write_field(out, "Sec-WebSocket-Key", &self.key);
        if !self.protocols.is_empty() {
            write_field(
                out,
                "Sec-WebSocket-Protocol",
                self.protocols.join(", ").as_bytes(),
            );
        }
        if let Some(offer) = &self.deflate {
            let _ = write!(out, "Sec-WebSocket-Extensions: {offer}\r\n");
        }
        for (name, value) in extra {
            if is_token(name) {
                write_field(out, name, value);
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Checks the head of the answer, §4.1, the second list.
    ///
    /// # Errors
    ///
    /// The first rule broken, in the order of the RFC: status, upgrade, connection, accept,
    /// extensions, subprotocol.
    pub fn check<H: Headers + ?Sized>(
        &self,
        status: u16,
        headers: &H,
    ) -> Result<Answer<'a>, AnswerError> {
        if status != 101 {
            return Err(AnswerError::Status { status });
        }
        match Single::read(headers, "upgrade") {
            Single::Once(value) if value.eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err(AnswerError::Upgrade),
        }
        if !headers
            .values("connection")
            .any(|line| contains(line, b"upgrade"))
        {
            return Err(AnswerError::Connection);
        }
        let expected = accept_key(&self.key).expect("because the key is base64 of sixteen bytes");
        match Single::read(headers, "sec-websocket-accept") {
            Single::Once(value) if value.trim_ascii() == expected.as_str().as_bytes() => {}
            _ => return Err(AnswerError::Accept),
        }
        let deflate = self.check_extensions(headers)?;
        let protocol = self.check_protocol(headers)?;
        Ok(Answer { protocol, deflate })
    }

    fn check_extensions<H: Headers + ?Sized>(
        &self,
        headers: &H,
    ) -> Result<Option<DeflateParams>, AnswerError> {
        let lines = Lines::read(headers, "sec-websocket-extensions");
        if lines.is_garbled() {
            return Err(AnswerError::Extensions);
        }
        let mut agreed = None;
        for extension in lines.iter().flat_map(extensions) {
            let extension = extension.map_err(|_| AnswerError::Extensions)?;
            let params = self
                .deflate
                .as_ref()
                .and_then(|offer| offer.read_answer(&extension));
            // One offer can be accepted once.
            if params.is_none() || agreed.is_some() {
                return Err(AnswerError::Extensions);
            }
            agreed = params;
        }
        Ok(agreed)
    }

    fn check_protocol<H: Headers + ?Sized>(
        &self,
        headers: &H,
    ) -> Result<Option<&'a str>, AnswerError> {
        let chosen = match Single::read(headers, "sec-websocket-protocol") {
            Single::Missing => return Ok(None),
            Single::Repeated => return Err(AnswerError::Protocol),
            Single::Once(value) => str::from_utf8(value).map_err(|_| AnswerError::Protocol)?,
        };
        let offered = self
            .protocols
            .iter()
            .find(|offered| **offered == trim(chosen));
        offered.copied().map(Some).ok_or(AnswerError::Protocol)
    }

    fn check_fields(&self) -> Result<(), RequestError> {
        // RFC 9112 §3.2: a target is what has no white space, no control and, §3, no fragment.
        let legal = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if !self.target.starts_with('/') || !legal(self.target) {
            return Err(RequestError::Target);
        }
        let separates = |c: char| matches!(c, '/' | '?' | '@' | ',');
        if self.host.is_empty() || !legal(self.host) || self.host.contains(separates) {
            return Err(RequestError::Host);
        }
        let different = |(at, p): (usize, &&str)| is_token(p) && !self.protocols[..at].contains(p);
        if !self.protocols.iter().enumerate().all(different) {
            return Err(RequestError::Protocols);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sixteen bytes behind the key of RFC 6455 §1.3.
    const NONCE: [u8; 16] = *b"the sample nonce";
    const ACCEPT: (&str, &str) = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");

    fn request() -> Request<'static> {
        Request::new("server.example.com", "/chat", NONCE)
    }

    fn written(request: &Request<'_>) -> String {
        let mut out = Vec::new();
        request
            .write(&mut out, [("Origin", &b"http://example.com"[..])])
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_request_of_the_rfc_is_written() {
        // §1.2, in our order of fields
        let request = Request {
            protocols: &["chat", "superchat"],
            ..request()
        };
        assert_eq!(
            written(&request),
            "GET /chat HTTP/1.1\r\n\
             Host: server.example.com\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: chat, superchat\r\n\
             Origin: http://example.com\r\n\
             \r\n"
        );
    }

    #[test]
    fn the_default_offer_is_that_of_a_browser() {
        let request = Request {
            deflate: Some(DeflateOffer::default()),
            ..request()
        };
        let expected = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        assert!(written(&request).contains(expected));
    }

    #[test]
    fn a_request_that_would_not_be_one_is_not_written() {
        let table = [
            (
                Request {
                    target: "chat",
                    ..request()
                },
                RequestError::Target,
            ),
            (
                Request {
                    target: "/a b",
                    ..request()
                },
                RequestError::Target,
            ),
            (
                Request {
                    target: "/a\r\nX: y",
                    ..request()
                },
                RequestError::Target,
            ),
            (
                Request {
                    target: "/a#b",
                    ..request()
                },
                RequestError::Target,
            ),
            (
                Request {
                    host: "",
                    ..request()
                },
                RequestError::Host,
            ),
            (
                Request {
                    host: "a\r\nb",
                    ..request()
                },
                RequestError::Host,
            ),
            (
                Request {
                    host: "user@a",
                    ..request()
                },
                RequestError::Host,
            ),
            (
                Request {
                    protocols: &["a", "a"],
                    ..request()
                },
                RequestError::Protocols,
            ),
            (
                Request {
                    protocols: &["a,b"],
                    ..request()
                },
                RequestError::Protocols,
            ),
        ];
        for (request, error) in table {
            let mut out = Vec::new();
            assert_eq!(request.write(&mut out, []), Err(error), "{request:?}");
            assert!(out.is_empty());
        }
    }

    #[test]
    fn an_extra_value_cannot_end_the_head() {
        let mut out = Vec::new();
        let extra = [("X-A", &b"1\r\n\r\nGET /"[..]), ("X B", b"2")];
        request().write(&mut out, extra).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\r\nX-A: 1    GET /\r\n\r\n"), "{text}");
        assert_eq!(text.matches("\r\n\r\n").count(), 1);
    }

    #[test]
    fn the_answer_of_the_rfc_opens() {
        let request = Request {
            protocols: &["chat", "superchat"],
            ..request()
        };
        let answer = [
            ("Upgrade", "WebSocket"),
            ("Connection", "Upgrade"),
            ACCEPT,
            ("Sec-WebSocket-Protocol", "superchat"),
        ];
        let expected = Answer {
            protocol: Some("superchat"),
            deflate: None,
        };
        assert_eq!(request.check(101, &answer), Ok(expected));
        assert_eq!(
            request.check(101, &answer[..3]),
            Ok(Answer {
                protocol: None,
                deflate: None
            })
        );
    }

    #[test]
    fn an_answer_to_something_else_is_refused() {
        let good = [("upgrade", "websocket"), ("connection", "upgrade"), ACCEPT];
        let replaced = |at: usize, value: &'static str| {
            let mut headers = good.to_vec();
            headers[at].1 = value;
            headers
        };
        let with = |name: &'static str, value: &'static str| {
            let mut headers = good.to_vec();
            headers.push((name, value));
            headers
        };
        let extensions = "sec-websocket-extensions";
        let table = [
            (replaced(0, "h2c"), AnswerError::Upgrade),
            (replaced(1, "close"), AnswerError::Connection),
            (
                replaced(2, "S3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                AnswerError::Accept,
            ),
            (with(ACCEPT.0, ACCEPT.1), AnswerError::Accept),
            (
                with("sec-websocket-protocol", "chat"),
                AnswerError::Protocol,
            ),
            (
                with(extensions, "permessage-deflate"),
                AnswerError::Extensions,
            ),
            (
                with(extensions, "permessage-deflate;"),
                AnswerError::Extensions,
            ),
        ];
        for (headers, error) in table {
            assert_eq!(request().check(101, &headers), Err(error), "{headers:?}");
        }
        let moved = AnswerError::Status { status: 302 };
        assert_eq!(request().check(302, &good), Err(moved));
        assert_eq!(
            moved.to_string(),
            "the server answered with status 302 instead of 101"
        );
    }

    #[test]
    fn an_offer_is_accepted_once() {
        let request = Request {
            deflate: Some(DeflateOffer::default()),
            ..request()
        };
        let mut headers = vec![("upgrade", "websocket"), ("connection", "upgrade"), ACCEPT];
        headers.push(("sec-websocket-extensions", "permessage-deflate"));
        assert!(request.check(101, &headers).unwrap().deflate.is_some());
        headers.push(("sec-websocket-extensions", "permessage-deflate"));
        assert_eq!(request.check(101, &headers), Err(AnswerError::Extensions));
    }
}
