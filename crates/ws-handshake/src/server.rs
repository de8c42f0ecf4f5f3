//! The server's side: may this request become a WebSocket, RFC 6455 §4.2.1; over HTTP/2, RFC 8441
//! §5.

use http::Version;

use crate::accept::{AcceptKey, accept_key};
use crate::agreed::{Agreed, Policy};
use crate::deflate::DeflateOffer;
use crate::error::HandshakeError;
use crate::extension::{Extension, extensions};
use crate::headers::{Headers, Lines, Single, single};
use crate::token::{contains, elements, is_token};

/// A request that may become a WebSocket: what it offers, and the answer to its key.
///
/// Exists only if every check passed.
#[derive(Clone, Debug)]
pub struct Upgrade<'a> {
    /// `None` over HTTP/2, which has no key (RFC 8441 §5).
    accept: Option<AcceptKey>,
    protocols: Lines<'a>,
    extensions: Lines<'a>,
}

impl<'a> Upgrade<'a> {
    /// Checks an HTTP/1.1 request, RFC 6455 §4.2.1.
    ///
    /// Costs one SHA-1 of two blocks and one walk over the headers per field read; allocates
    /// nothing unless a list field is split over several lines or several subprotocols are offered.
    /// `Origin` is not looked at: that is [`OriginPolicy`](crate::OriginPolicy)'s.
    ///
    /// # Errors
    ///
    /// The first rule broken, in the order of the fields of [`HandshakeError::status`]: version of
    /// HTTP, method, host, upgrade, connection, version, key, body, subprotocols, extensions.
    pub fn check<H: Headers + ?Sized>(
        method: &str,
        version: Version,
        headers: &'a H,
    ) -> Result<Self, HandshakeError> {
        // Items 1 to 6 of §4.2.1.
        if version != Version::HTTP_11 {
            return Err(HandshakeError::VersionOfHttp);
        }
        if method != "GET" {
            return Err(HandshakeError::Method);
        }
        let Single::Once(_) = single(headers, "host") else {
            return Err(HandshakeError::Host);
        };
        if !headers
            .values("upgrade")
            .any(|line| contains(line, "websocket"))
        {
            return Err(HandshakeError::Upgrade);
        }
        if !headers
            .values("connection")
            .any(|line| contains(line, "upgrade"))
        {
            return Err(HandshakeError::Connection);
        }
        check_version(headers)?;
        let Single::Once(key) = single(headers, "sec-websocket-key") else {
            return Err(HandshakeError::Key);
        };
        let accept = accept_key(key)?;
        // Whoever parses frames behind this head would take a body for frames; a proxy that sees a
        // body there would not. Nobody sends one, so nobody may.
        if headers.values("transfer-encoding").next().is_some()
            || headers.values("content-length").any(|value| value != b"0")
        {
            return Err(HandshakeError::Body);
        }
        Self::offers_of(headers, Some(accept))
    }

    /// Checks an extended CONNECT of HTTP/2, RFC 8441 §5. `protocol` is the `:protocol`
    /// pseudo-header; hyper hands it out as `hyper::ext::Protocol`.
    ///
    /// # Errors
    ///
    /// The first rule broken: version of HTTP, method, `:protocol`, version, subprotocols,
    /// extensions.
    pub fn check_connect<H: Headers + ?Sized>(
        method: &str,
        version: Version,
        protocol: Option<&str>,
        headers: &'a H,
    ) -> Result<Self, HandshakeError> {
        if version != Version::HTTP_2 && version != Version::HTTP_3 {
            return Err(HandshakeError::VersionOfHttp);
        }
        if method != "CONNECT" {
            return Err(HandshakeError::Method);
        }
        if protocol != Some("websocket") {
            return Err(HandshakeError::PseudoProtocol);
        }
        // Upgrade, Connection and Sec-WebSocket-Key do not exist here: the stream is the proof.
        check_version(headers)?;
        Self::offers_of(headers, None)
    }

    /// The value for `Sec-WebSocket-Accept`; `None` over HTTP/2, where there is none.
    #[inline]
    pub fn accept(&self) -> Option<&AcceptKey> {
        self.accept.as_ref()
    }

    /// The subprotocols the client offers, in its order of preference.
    pub fn protocols(&self) -> impl Iterator<Item = &'a str> {
        self.protocols.iter().flat_map(elements)
    }

    /// The extensions the client offers, in its order of preference.
    pub fn offers(&self) -> impl Iterator<Item = Extension<'a>> {
        self.extensions.iter().flat_map(extensions).flatten()
    }

    /// Chooses among the offers: the first subprotocol of the policy that the client knows, and the
    /// first offer of permessage-deflate that the policy can meet.
    pub fn agree<'p>(&self, policy: &'p Policy) -> Agreed<'p> {
        let protocol = (!self.protocols.is_empty())
            .then(|| {
                policy
                    .protocols
                    .iter()
                    .find(|ours| self.protocols().any(|p| p == *ours))
            })
            .flatten();
        let deflate = policy.deflate.as_ref().and_then(|policy| {
            self.offers()
                .filter_map(|e| DeflateOffer::read(&e))
                .find_map(|o| o.answer(policy))
        });
        Agreed::new(self.accept, protocol.map(String::as_str), deflate)
    }

    fn offers_of<H: Headers + ?Sized>(
        headers: &'a H,
        accept: Option<AcceptKey>,
    ) -> Result<Self, HandshakeError> {
        let protocols = Lines::read(headers, "sec-websocket-protocol")
            .filter(are_different_tokens)
            .ok_or(HandshakeError::Protocols)?;
        let extensions = Lines::read(headers, "sec-websocket-extensions")
            .filter(are_extensions)
            .ok_or(HandshakeError::Extensions)?;
        Ok(Self {
            accept,
            protocols,
            extensions,
        })
    }
}

/// §4.2.1 item 6 and §4.4: no version is a malformed request, another version a request to try
/// again.
fn check_version<H: Headers + ?Sized>(headers: &H) -> Result<(), HandshakeError> {
    match single(headers, "sec-websocket-version") {
        Single::Once(b"13") => Ok(()),
        Single::Once(_) => Err(HandshakeError::VersionUnknown),
        Single::Missing | Single::Repeated => Err(HandshakeError::Version),
    }
}

/// §4.1 item 10: one or more tokens, all different. No header at all is fine.
fn are_different_tokens(lines: &Lines<'_>) -> bool {
    let mut tokens = lines.iter().flat_map(elements);
    let Some(first) = tokens.next() else {
        return lines.is_empty();
    };
    let Some(second) = tokens.next() else {
        return is_token(first);
    };
    let mut all: Vec<_> = [first, second].into_iter().chain(tokens).collect();
    // Sorting keeps a header of ten thousand subprotocols from costing its square.
    all.sort_unstable();
    all.iter().all(|token| is_token(token)) && all.windows(2).all(|pair| pair[0] != pair[1])
}

/// §9.1: every line keeps to the grammar, and one extension at least is named where there is a line.
fn are_extensions(lines: &Lines<'_>) -> bool {
    let mut found = 0;
    lines.iter().flat_map(extensions).all(|extension| {
        found += 1;
        extension.is_ok()
    }) && (found > 0 || lines.is_empty())
}
