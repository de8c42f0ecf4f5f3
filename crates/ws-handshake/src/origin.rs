//! Whether the page that a browser speaks for may open a connection, RFC 6455 §10.2.
//!
//! Browsers send cookies with every WebSocket, from whatever page it was opened, and CORS does not
//! stop them. What stops them is a server that looks at `Origin`. The check is the same for every
//! transport: run it on each request, polling or upgrade.

use std::fmt;

use http::StatusCode;

use crate::headers::{Headers, Single};
use crate::token::is_word;

/// Which origins may connect. A request without `Origin` comes from no browser page, or from a page
/// of this very host, and passes.
///
/// ```
/// use ws_handshake::{OriginError, OriginPattern, OriginPolicy};
///
/// let policy = OriginPolicy::SameHostOr(vec![OriginPattern::new("https://example.com")?]);
/// let check = |origin| policy.check(&[("Host", "localhost:3000"), ("Origin", origin)]);
/// assert_eq!(check("http://localhost:3000"), Ok(()));
/// assert_eq!(check("https://example.com"), Ok(()));
/// assert_eq!(check("https://elsewhere.example"), Err(OriginError::Foreign));
/// # Ok::<(), ws_handshake::PatternError>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum OriginPolicy {
    /// Every origin, also `null`. Only for a server that trusts nothing a browser adds by itself,
    /// such as cookies, client certificates or the client's address.
    Any,
    /// These, and not even the host's own pages unless listed: what holds against DNS rebinding,
    /// where a foreign name points to our address and `Host` agrees with `Origin`.
    Listed(Vec<OriginPattern>),
    /// The pages of this host: `Origin` and `Host` name the same host and port. The default,
    /// because it is what a page and its server need and nothing else.
    #[default]
    SameHost,
    /// The pages of this host, and these.
    SameHostOr(Vec<OriginPattern>),
}

/// Why the origin is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// the origin is neither this host nor on the list
    #[error("the origin is neither this host nor on the list")]
    Foreign,

    /// the origin header is not scheme://host or scheme://host:port
    #[error("the origin header is not scheme://host or scheme://host:port")]
    Malformed,

    /// the origin is null, as that of a sandboxed page or a local file
    #[error("the origin is null, as that of a sandboxed page or a local file")]
    Null,

    /// the origin header stands there twice
    #[error("the origin header stands there twice")]
    Repeated,
}

impl OriginError {
    /// The status to refuse with: 403 in every case (RFC 6455 §4.2.2 step 4).
    pub fn status(&self) -> StatusCode {
        StatusCode::FORBIDDEN
    }
}

impl OriginPolicy {
    /// Judges the `Origin` of a request, by its `Host` where the policy says so.
    ///
    /// Over HTTP/2 give the `:authority` as `host`.
    ///
    /// # Errors
    ///
    /// The reason for the refusal; the value itself is in the caller's headers.
    pub fn check<H: Headers + ?Sized>(&self, headers: &H) -> Result<(), OriginError> {
        let (same_host, listed) = match self {
            Self::Any => return Ok(()),
            Self::Listed(listed) => (false, listed.as_slice()),
            Self::SameHost => (true, &[][..]),
            Self::SameHostOr(listed) => (true, listed.as_slice()),
        };
        // Both in one walk: a browser's request has a dozen fields and more.
        let (mut origin, mut host) = (Single::default(), Single::default());
        for (name, value) in headers.fields() {
            match name.len() {
                4 if is_word(name.as_bytes(), b"host") => host.add(value),
                6 if is_word(name.as_bytes(), b"origin") => origin.add(value),
                _ => {}
            }
        }
        let origin = match origin {
            Single::Missing => return Ok(()),
            Single::Repeated => return Err(OriginError::Repeated),
            Single::Once(b"null") => return Err(OriginError::Null),
            Single::Once(value) => str::from_utf8(value).map_err(|_| OriginError::Malformed)?,
        };
        let origin = Origin::parse(origin).ok_or(OriginError::Malformed)?;
        let allowed = same_host && is_host_of(host, &origin)
            || listed.iter().any(|pattern| pattern.matches(&origin));
        if allowed {
            Ok(())
        } else {
            Err(OriginError::Foreign)
        }
    }
}

/// An origin to allow: `https://example.com`, `http://localhost:3000`, `capacitor://localhost`; or
/// all subdomains of a host at any depth, but not the host itself: `https://*.example.com`.
///
/// Scheme and host are compared without regard to ASCII case, and the port must be equal; 80 and
/// 443 are understood where `http` and `https` (or `ws` and `wss`) leave it out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OriginPattern {
    scheme: String,
    /// With the leading dot if `subdomains`.
    host: String,
    subdomains: bool,
    port: Option<u16>,
}

/// A pattern that is not `scheme://host`, `scheme://host:port` or the same with `*.` before the
/// host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the pattern is not scheme://host or scheme://host:port, with at most a leading *. as wildcard"
)]
pub struct PatternError;

impl OriginPattern {
    /// Reads a pattern. A wildcard anywhere but as the first whole label is refused, and so are a
    /// path, a user and `null`.
    ///
    /// # Errors
    ///
    /// [`PatternError`] if it is not of the form above.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let (scheme, rest) = pattern.split_once("://").ok_or(PatternError)?;
        let subdomains = rest.starts_with("*.");
        let plain = format!("{scheme}://{}", if subdomains { &rest[2..] } else { rest });
        let origin = Origin::parse(&plain).ok_or(PatternError)?;
        Ok(Self {
            scheme: origin.scheme.to_owned(),
            host: format!("{}{}", if subdomains { "." } else { "" }, origin.host),
            subdomains,
            port: origin.port,
        })
    }

    fn matches(&self, origin: &Origin<'_>) -> bool {
        let host = if self.subdomains {
            // The dot is part of what is compared: evil-example.com does not end with
            // .example.com. And something must stand before it.
            match origin.host.len().checked_sub(self.host.len()) {
                None | Some(0) => return false,
                Some(start) => match origin.host.get(start..) {
                    None => return false,
                    Some(tail) => tail,
                },
            }
        } else {
            origin.host
        };
        origin.scheme.eq_ignore_ascii_case(&self.scheme)
            && host.eq_ignore_ascii_case(&self.host)
            && origin.port == self.port
    }
}

impl std::str::FromStr for OriginPattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        Self::new(pattern)
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme,
            if self.subdomains { "*" } else { "" },
            self.host
        )?;
        match self.port {
            Some(port) if default_port(&self.scheme) != Some(port) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// A serialized origin, RFC 6454 §6.2: nothing before the host and nothing after the port.
struct Origin<'a> {
    scheme: &'a str,
    /// Host and port as they stand there.
    authority: &'a str,
    host: &'a str,
    /// With the default of the scheme filled in.
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let authority = rest.strip_prefix("//")?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(legal) {
            return None;
        }
        let (host, port) = split_authority(authority)?;
        Some(Self {
            scheme,
            authority,
            host,
            port: port.or_else(|| default_port(scheme)),
        })
    }
}

/// Whether `Host` names the host and port of this origin. Behind a proxy that ends TLS we do not
/// know our own scheme, so a port left out is the default of the *origin's* scheme.
fn is_host_of(host: Single<'_>, origin: &Origin<'_>) -> bool {
    let Single::Once(value) = host else {
        return false;
    };
    // What reads the same names the same; this is nearly every request.
    if value == origin.authority.as_bytes() {
        return true;
    }
    let Some((host, port)) = str::from_utf8(value).ok().and_then(split_authority) else {
        return false;
    };
    host.eq_ignore_ascii_case(origin.host)
        && port.or_else(|| default_port(origin.scheme)) == origin.port
}

/// `host` or `host:port`; an IPv6 address keeps its brackets.
fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_len = if authority.starts_with('[') {
        position(authority, b']')? + 1
    } else {
        position(authority, b':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(host_len);
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let well_formed = match host.strip_prefix('[') {
        None => !host.is_empty() && host.bytes().all(legal),
        Some(address) => address[..address.len() - 1]
            .parse::<std::net::Ipv6Addr>()
            .is_ok(),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        None => return None,
        // `parse` would also take a sign.
        Some(digits) if !digits.bytes().all(|b| b.is_ascii_digit()) => return None,
        Some(digits) => Some(digits.parse().ok()?),
    };
    well_formed.then_some((host, port))
}

/// Where a byte stands first. What is looked at here is too short for the searches of `str`.
fn position(text: &str, wanted: u8) -> Option<usize> {
    text.bytes().position(|byte| byte == wanted)
}

fn default_port(scheme: &str) -> Option<u16> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    match () {
        () if is("http") || is("ws") => Some(80),
        () if is("https") || is("wss") => Some(443),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(policy: &OriginPolicy, host: &str, origin: &str) -> Result<(), OriginError> {
        policy.check(&[("Host", host), ("Origin", origin)])
    }

    fn listed(patterns: &[&str]) -> Vec<OriginPattern> {
        patterns
            .iter()
            .map(|pattern| pattern.parse().unwrap())
            .collect()
    }

    #[test]
    fn only_the_pages_of_this_host_may_connect_by_default() {
        // E20: each of these was taken for the good host by somebody.
        let refused = [
            ("https://evil.example", OriginError::Foreign),
            ("https://good.example.evil.com", OriginError::Foreign),
            ("https://evilgood.example", OriginError::Foreign),
            ("https://sub.good.example", OriginError::Foreign),
            ("https://good.example.", OriginError::Foreign), // a browser's other origin
            ("https://good.example:8443", OriginError::Foreign),
            ("https://good.example:80", OriginError::Foreign),
            ("https://good.example:443:443", OriginError::Malformed),
            ("https://good.example:+443", OriginError::Malformed),
            ("https://good.example:65979", OriginError::Malformed), // 443 + 65536
            ("https://good.example/", OriginError::Malformed),
            ("https://good.example@evil.com", OriginError::Malformed),
            (
                "https://evil.com https://good.example",
                OriginError::Malformed,
            ),
            ("https://evil.com\\good.example", OriginError::Malformed),
            ("good.example", OriginError::Malformed),
            ("//good.example", OriginError::Malformed),
            ("://good.example", OriginError::Malformed),
            ("https:good.example", OriginError::Malformed),
            ("file://", OriginError::Malformed),
            ("", OriginError::Malformed),
            ("null", OriginError::Null),
        ];
        for (origin, error) in refused {
            let policy = OriginPolicy::default();
            assert_eq!(
                verdict(&policy, "good.example", origin),
                Err(error),
                "{origin}"
            );
        }
        let allowed = [
            ("good.example", "https://good.example"),
            ("good.example", "http://good.example"),
            ("good.example", "HTTPS://Good.Example"),
            ("good.example", "https://good.example:443"),
            ("GOOD.example:443", "https://good.example"),
            ("localhost:3000", "http://localhost:3000"),
            ("[::1]:3000", "http://[::1]:3000"),
            ("[::1]", "http://[::1]"),
        ];
        for (host, origin) in allowed {
            assert_eq!(
                verdict(&OriginPolicy::SameHost, host, origin),
                Ok(()),
                "{origin}"
            );
        }
    }

    #[test]
    fn a_request_without_origin_comes_from_no_foreign_page() {
        let head = [("Host", "good.example")];
        assert_eq!(OriginPolicy::SameHost.check(&head), Ok(()));
        assert_eq!(OriginPolicy::Listed(Vec::new()).check(&head), Ok(()));
    }

    #[test]
    fn two_origins_or_two_hosts_are_no_evidence() {
        let good = ("Origin", "https://good.example");
        let twice = [("Host", "good.example"), good, good];
        assert_eq!(
            OriginPolicy::SameHost.check(&twice),
            Err(OriginError::Repeated)
        );
        let hosts = [("Host", "good.example"), ("Host", "good.example"), good];
        assert_eq!(
            OriginPolicy::SameHost.check(&hosts),
            Err(OriginError::Foreign)
        );
    }

    #[test]
    fn a_list_allows_what_it_names_and_nothing_else() {
        let list = listed(&[
            "https://app.example",
            "http://localhost:3000",
            "capacitor://app",
        ]);
        let only = OriginPolicy::Listed(list.clone());
        for origin in [
            "https://app.example:443",
            "http://LOCALHOST:3000",
            "capacitor://app",
        ] {
            assert_eq!(verdict(&only, "api.example", origin), Ok(()), "{origin}");
        }
        for origin in [
            "http://app.example",
            "http://localhost",
            "https://api.example",
        ] {
            let foreign = Err(OriginError::Foreign);
            assert_eq!(verdict(&only, "api.example", origin), foreign, "{origin}");
        }
        let and_own = OriginPolicy::SameHostOr(list);
        assert_eq!(
            verdict(&and_own, "api.example", "https://api.example"),
            Ok(())
        );
        assert_eq!(
            verdict(&and_own, "api.example", "https://app.example"),
            Ok(())
        );
        assert!(verdict(&and_own, "api.example", "https://x.example").is_err());
        assert_eq!(verdict(&OriginPolicy::Any, "api.example", "null"), Ok(()));
    }

    #[test]
    fn a_wildcard_stands_for_whole_labels() {
        let policy = OriginPolicy::Listed(listed(&["https://*.app.example"]));
        for origin in [
            "https://a.app.example",
            "https://a.b.app.example",
            "https://A.APP.example",
        ] {
            assert_eq!(verdict(&policy, "x", origin), Ok(()), "{origin}");
        }
        for origin in [
            "https://app.example",
            "https://.app.example",
            "https://evil-app.example",
            "https://a.app.example.evil",
            "https://a.app.example:8443",
            "http://a.app.example",
        ] {
            assert!(verdict(&policy, "x", origin).is_err(), "{origin}");
        }
    }

    #[test]
    fn a_pattern_prints_as_it_was_written_or_is_refused() {
        for pattern in [
            "https://a.b",
            "https://*.a.b",
            "http://a:8080",
            "tauri://localhost",
        ] {
            assert_eq!(
                pattern.parse::<OriginPattern>().unwrap().to_string(),
                pattern
            );
        }
        for pattern in [
            "*",
            "null",
            "a.b",
            "https://a.*.b",
            "https://*",
            "https://a/",
            "https://*.",
            "https://u@a",
            "https://a*.b",
            "https://*.*.b",
        ] {
            assert_eq!(
                pattern.parse::<OriginPattern>(),
                Err(PatternError),
                "{pattern}"
            );
        }
    }
}
