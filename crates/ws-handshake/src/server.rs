//! The server's side: may this request become a WebSocket, RFC 6455 §4.2.1; over HTTP/2, RFC 8441
//! §5.

use http::Version;

use crate::accept::{AcceptKey, accept_key};
use crate::agreed::{Agreed, Policy};
use crate::deflate::DeflateOffer;
use crate::error::HandshakeError;
use crate::extension::{Extension, extensions};
use crate::head::Head;
use crate::headers::{Headers, Lines, Single};
use crate::token::{elements, is_token};

/// A request that may become a WebSocket: what it offers, and the answer to its key.
///
/// Exists only if every check passed.
///
/// ```
/// use http::Version;
/// use ws_handshake::{DeflateOffer, DeflatePolicy, Policy, Upgrade};
///
/// let headers = [
///     ("Host", "server.example.com"),
///     ("Upgrade", "websocket"),
///     ("Connection", "Upgrade"),
///     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
///     ("Sec-WebSocket-Version", "13"),
///     ("Sec-WebSocket-Protocol", "chat, superchat"),
///     ("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover, x-own"),
/// ];
/// let upgrade = Upgrade::check("GET", Version::HTTP_11, &headers)?;
/// assert_eq!(upgrade.protocols().collect::<Vec<_>>(), ["chat", "superchat"]);
/// let names: Vec<_> = upgrade.offers().map(|offer| offer.name()).collect();
/// assert_eq!(names, ["permessage-deflate", "x-own"]);
/// let terms = upgrade.offers().find_map(|offer| DeflateOffer::read(&offer));
/// assert!(terms.is_some_and(|terms| terms.server_no_context_takeover));
///
/// let policy = Policy {
///     protocols: vec!["superchat".into()],
///     deflate: Some(DeflatePolicy::default()),
/// };
/// let agreed = upgrade.agree(&policy);
/// assert_eq!(agreed.protocol(), Some("superchat"));
/// assert_eq!(agreed.response().headers()["sec-websocket-protocol"], "superchat");
/// # Ok::<(), ws_handshake::HandshakeError>(())
/// ```
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
    /// Costs one walk over the headers and one SHA-1 of two blocks; allocates nothing unless a list
    /// field is split over several lines or several subprotocols are offered.
    /// `Origin` is not looked at: that is [`OriginPolicy`](crate::OriginPolicy)'s.
    ///
    /// # Errors
    ///
    /// The first rule broken: version of HTTP, method, host, upgrade, connection, version, one key,
    /// body, subprotocols, extensions, form of the key.
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
        let head = Head::read(headers);
        let Single::Once(_) = head.host else {
            return Err(HandshakeError::Host);
        };
        if !head.upgrade {
            return Err(HandshakeError::Upgrade);
        }
        if !head.connection {
            return Err(HandshakeError::Connection);
        }
        check_version(head.version)?;
        let Single::Once(key) = head.key else {
            return Err(HandshakeError::Key);
        };
        // Whoever parses frames behind this head would take a body for frames; a proxy that sees a
        // body there would not. Nobody sends one, so nobody may.
        if head.body {
            return Err(HandshakeError::Body);
        }
        let mut upgrade = Self::offers_of(head)?;
        upgrade.accept = Some(accept_key(key)?);
        Ok(upgrade)
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
        let head = Head::read(headers);
        check_version(head.version)?;
        Self::offers_of(head)
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

    fn offers_of(head: Head<'a>) -> Result<Self, HandshakeError> {
        let Head {
            protocols,
            extensions,
            ..
        } = head;
        if !are_different_tokens(&protocols) {
            return Err(HandshakeError::Protocols);
        }
        if !are_extensions(&extensions) {
            return Err(HandshakeError::Extensions);
        }
        Ok(Self {
            accept: None,
            protocols,
            extensions,
        })
    }
}

/// §4.2.1 item 6 and §4.4: no version is a malformed request, another version a request to try
/// again.
fn check_version(version: Single<'_>) -> Result<(), HandshakeError> {
    match version {
        Single::Once(b"13") => Ok(()),
        Single::Once(_) => Err(HandshakeError::VersionUnknown),
        Single::Missing | Single::Repeated => Err(HandshakeError::Version),
    }
}

/// §4.1 item 10: one or more tokens, all different. No header at all is fine.
fn are_different_tokens(lines: &Lines<'_>) -> bool {
    if lines.is_empty() || lines.is_garbled() {
        return !lines.is_garbled();
    }
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
    if lines.is_empty() || lines.is_garbled() {
        return !lines.is_garbled();
    }
    let mut found = 0;
    lines.iter().flat_map(extensions).all(|extension| {
        found += 1;
        extension.is_ok()
    }) && found > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::DeflatePolicy;

    type Head = Vec<(&'static str, &'static str)>;

    /// The request of RFC 6455 §1.2, without its subprotocols.
    fn head() -> Head {
        vec![
            ("Host", "server.example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Origin", "http://example.com"),
            ("Sec-WebSocket-Version", "13"),
        ]
    }

    fn without(name: &str) -> Head {
        let mut head = head();
        head.retain(|(n, _)| *n != name);
        assert_ne!(
            head.len(),
            self::head().len(),
            "{name} is no field of the head"
        );
        head
    }

    fn with(name: &'static str, value: &'static str) -> Head {
        let mut head = head();
        head.push((name, value));
        head
    }

    fn replaced(name: &'static str, value: &'static str) -> Head {
        let mut head = without(name);
        head.push((name, value));
        head
    }

    fn check(head: &Head) -> Result<Upgrade<'_>, HandshakeError> {
        Upgrade::check("GET", Version::HTTP_11, head)
    }

    #[test]
    fn the_request_of_the_rfc_is_answered_as_in_the_rfc() {
        let head = with("Sec-WebSocket-Protocol", "chat, superchat");
        let upgrade = check(&head).unwrap();
        let policy = Policy {
            protocols: vec!["chat".to_owned()],
            ..Policy::default()
        };
        let mut out = Vec::new();
        upgrade.agree(&policy).write_response(&mut out, []);
        let expected = "HTTP/1.1 101 Switching Protocols\r\n\
                        Upgrade: websocket\r\n\
                        Connection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                        Sec-WebSocket-Protocol: chat\r\n\
                        \r\n";
        assert_eq!(str::from_utf8(&out).unwrap(), expected);
    }

    #[test]
    fn every_malformed_handshake_gets_its_status() {
        use HandshakeError as E;
        let table: Vec<(Head, HandshakeError, u16)> = vec![
            (without("Host"), E::Host, 400),
            (with("host", "other.example.com"), E::Host, 400),
            (without("Upgrade"), E::Upgrade, 426),
            (replaced("Upgrade", "h2c"), E::Upgrade, 426),
            (replaced("Upgrade", "websockets"), E::Upgrade, 426),
            (replaced("Upgrade", ""), E::Upgrade, 426),
            (without("Connection"), E::Connection, 400),
            (replaced("Connection", "keep-alive"), E::Connection, 400),
            (replaced("Connection", "not-upgrade"), E::Connection, 400),
            (without("Sec-WebSocket-Version"), E::Version, 400),
            (with("sec-websocket-version", "13"), E::Version, 400),
            (
                replaced("Sec-WebSocket-Version", "8"),
                E::VersionUnknown,
                426,
            ),
            (
                replaced("Sec-WebSocket-Version", "013"),
                E::VersionUnknown,
                426,
            ),
            (
                replaced("Sec-WebSocket-Version", "13, 8"),
                E::VersionUnknown,
                426,
            ),
            (
                replaced("Sec-WebSocket-Version", ""),
                E::VersionUnknown,
                426,
            ),
            (without("Sec-WebSocket-Key"), E::Key, 400),
            (
                with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                E::Key,
                400,
            ),
            (replaced("Sec-WebSocket-Key", ""), E::Key, 400),
            (
                replaced("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j"),
                E::Key,
                400,
            ),
            (with("Content-Length", "1"), E::Body, 400),
            (with("Transfer-Encoding", "chunked"), E::Body, 400),
            (with("Sec-WebSocket-Protocol", ""), E::Protocols, 400),
            (with("Sec-WebSocket-Protocol", " , ,"), E::Protocols, 400),
            (with("Sec-WebSocket-Protocol", "a b"), E::Protocols, 400),
            (with("Sec-WebSocket-Protocol", "a, b, a"), E::Protocols, 400),
            (
                with("Sec-WebSocket-Protocol", "ch\u{e4}t"),
                E::Protocols,
                400,
            ),
            (with("Sec-WebSocket-Extensions", ""), E::Extensions, 400),
            (with("Sec-WebSocket-Extensions", ", ,"), E::Extensions, 400),
            (with("Sec-WebSocket-Extensions", "a;"), E::Extensions, 400),
            (with("Sec-WebSocket-Extensions", "a b"), E::Extensions, 400),
            (
                with("Sec-WebSocket-Extensions", "a; b=\"c"),
                E::Extensions,
                400,
            ),
        ];
        for (head, error, status) in table {
            assert_eq!(check(&head).err(), Some(error), "{head:?}");
            assert_eq!(error.status(), status, "{head:?}");
        }
        let methods = ["POST", "get", "CONNECT", ""];
        for method in methods {
            let refused = Upgrade::check(method, Version::HTTP_11, &head()).err();
            assert_eq!(refused, Some(E::Method), "{method}");
        }
        for version in [
            Version::HTTP_09,
            Version::HTTP_10,
            Version::HTTP_2,
            Version::HTTP_3,
        ] {
            let refused = Upgrade::check("GET", version, &head()).err();
            assert_eq!(refused, Some(E::VersionOfHttp), "{version:?}");
        }
        assert_eq!(
            (
                E::Method.status().as_u16(),
                E::VersionOfHttp.status().as_u16()
            ),
            (405, 400)
        );
    }

    #[test]
    fn what_the_rfc_leaves_open_is_taken() {
        let table = [
            replaced("Connection", "keep-alive, Upgrade"), // Firefox
            with("Connection", "keep-alive"),              // the same in two lines
            replaced("Connection", "UPGRADE"),
            replaced("Upgrade", "WebSocket"),
            replaced("Upgrade", "h2c, websocket"),
            without("Origin"), // not a browser
            with("Content-Length", "0"),
            with("Sec-WebSocket-Protocol", "a,,b"),
            with(
                "Sec-WebSocket-Extensions",
                "x-unknown; a; b=c; d=\"e\", another",
            ),
        ];
        for head in table {
            assert!(check(&head).is_ok(), "{head:?}");
        }
    }

    #[test]
    fn a_thousand_headers_hide_nothing_wherever_they_stand() {
        // E2: a head cut at a maximum number of fields lost its Upgrade.
        let filler = std::iter::repeat_n(("X-Filler", "x"), 1000);
        let last: Head = filler.clone().chain(head()).collect();
        let first: Head = head().into_iter().chain(filler).collect();
        assert!(check(&last).is_ok());
        assert!(check(&first).is_ok());
    }

    #[test]
    fn hostile_list_headers_take_linear_time() {
        // E3: what breaks backtracking parsers. Quadratic work over 256 KiB would show here as
        // minutes.
        let size = 256 << 10;
        let lines = [
            ",".repeat(size),
            " ".repeat(size),
            "\"".repeat(size),
            "\\".repeat(size),
            ";".repeat(size),
            format!("a; b=\"{}", "\\\"".repeat(size / 2)),
            format!("a{}", "; b".repeat(size / 3)),
            "a,".repeat(size / 2),
            format!("constructor; __proto__, __proto__={}", "a".repeat(size)),
        ];
        for line in &lines {
            for name in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"] {
                let mut head = head();
                head.retain(|(n, _)| *n != "Origin");
                let head: Vec<_> = head.into_iter().chain([(name, line.as_str())]).collect();
                if let Ok(upgrade) = Upgrade::check("GET", Version::HTTP_11, &head) {
                    let policy = Policy {
                        deflate: Some(DeflatePolicy::default()),
                        ..<_>::default()
                    };
                    assert_eq!(upgrade.agree(&policy).deflate(), None);
                }
            }
        }
    }

    #[test]
    fn the_server_prefers_and_the_client_offers() {
        let mut head = with("Sec-WebSocket-Protocol", "a, b");
        head.push(("Sec-WebSocket-Protocol", "c"));
        let upgrade = check(&head).unwrap();
        assert_eq!(upgrade.protocols().collect::<Vec<_>>(), ["a", "b", "c"]);
        let agreed = |ours: &[&str]| {
            let protocols = ours.iter().map(|p| p.to_string()).collect();
            let policy = Policy {
                protocols,
                ..Policy::default()
            };
            upgrade.agree(&policy).protocol().map(str::to_owned)
        };
        assert_eq!(agreed(&["c", "a"]).as_deref(), Some("c"));
        assert_eq!(agreed(&["x", "b"]).as_deref(), Some("b"));
        assert_eq!(agreed(&["A"]), None); // subprotocols are case-sensitive
        assert_eq!(agreed(&[]), None);
    }

    #[test]
    fn the_first_offer_that_can_be_met_is_answered() {
        let offers = "x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8, \
                      permessage-deflate; server_max_window_bits=10, permessage-deflate";
        let head = with("Sec-WebSocket-Extensions", offers);
        let policy = Policy {
            deflate: Some(DeflatePolicy::default()),
            ..Policy::default()
        };
        let agreed = check(&head).unwrap().agree(&policy);
        assert_eq!(agreed.deflate().unwrap().server_max_window_bits, 10);
        assert_eq!(
            agreed.response().headers()["sec-websocket-extensions"],
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
             server_max_window_bits=10"
        );
        assert_eq!(
            check(&head).unwrap().agree(&Policy::default()).deflate(),
            None
        );
    }

    #[test]
    fn both_forms_of_the_answer_say_the_same() {
        let mut head = with("Sec-WebSocket-Protocol", "chat");
        head.push((
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        ));
        let policy = Policy {
            protocols: vec!["chat".to_owned()],
            deflate: Some(DeflatePolicy {
                client_max_window_bits: 11,
                ..<_>::default()
            }),
        };
        let agreed = check(&head).unwrap().agree(&policy);
        let mut out = Vec::new();
        agreed.write_response(&mut out, [("x-extra", &b"1\r\nset-cookie: 2"[..])]);
        let text = String::from_utf8(out).unwrap();
        let mut lines = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
        assert_eq!(lines.next(), Some("HTTP/1.1 101 Switching Protocols"));
        let written: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let response = agreed.response();
        assert_eq!(response.status(), 101);
        for (name, value) in response.headers() {
            assert!(
                Headers::values(&written, name.as_str()).eq([value.as_bytes()]),
                "{name}"
            );
        }
        assert_eq!(written.len(), response.headers().len() + 1);
        assert_eq!(written.last(), Some(&("x-extra", "1  set-cookie: 2")));
    }

    #[test]
    fn an_extended_connect_needs_no_key_and_is_answered_with_200() {
        let head = [
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat"),
        ];
        let connect = |method, version, protocol| {
            Upgrade::check_connect(method, version, protocol, &head).map(|_| ())
        };
        let upgrade =
            Upgrade::check_connect("CONNECT", Version::HTTP_2, Some("websocket"), &head).unwrap();
        assert!(upgrade.accept().is_none());
        let policy = Policy {
            protocols: vec!["chat".to_owned()],
            ..Policy::default()
        };
        let response = upgrade.agree(&policy).response();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().len(), 1);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");

        let (h2, h11) = (Version::HTTP_2, Version::HTTP_11);
        let unknown = HandshakeError::PseudoProtocol;
        assert_eq!(connect("CONNECT", h2, None), Err(unknown));
        assert_eq!(connect("CONNECT", h2, Some("connect-udp")), Err(unknown));
        assert_eq!(unknown.status(), 501);
        assert_eq!(
            connect("GET", h2, Some("websocket")),
            Err(HandshakeError::Method)
        );
        let version = HandshakeError::VersionOfHttp;
        assert_eq!(connect("CONNECT", h11, Some("websocket")), Err(version));
        let no_version = Upgrade::check_connect("CONNECT", h2, Some("websocket"), &head[1..]);
        assert_eq!(no_version.err(), Some(HandshakeError::Version));
    }
}
