//! The cookie with the session's id, by which a load balancer keeps a client that polls on the server
//! that knows it, [RFC 6265 §4.1](https://www.rfc-editor.org/rfc/rfc6265#section-4.1).

use std::{fmt::Write as _, time::Duration};

use eio_transport::Sid;
use http::HeaderValue;

use crate::error::StartError;

/// A cookie on the answer to the handshake of a client that polls.
///
/// ```
/// use sio_server::{Config, Cookie, SameSite};
///
/// let mut cookie = Cookie::new("io");
/// cookie.secure = true;
/// cookie.same_site = SameSite::Strict;
/// let mut config = Config::default();
/// config.cookie = Some(cookie);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cookie {
    /// The cookie's name; Node's default is `io`.
    pub name: String,
    /// Below which path it is sent. Default `/`: the load balancer may look for it anywhere.
    pub path: String,
    /// To which hosts it is sent, subdomains included. Default none: to ours alone.
    pub domain: Option<String>,
    /// How long it lives. Default none: until the browser is closed.
    pub max_age: Option<Duration>,
    /// Whether scripts cannot read it. Default yes: who knows the id can speak for the client.
    pub http_only: bool,
    /// Whether it is sent over TLS only. Default no, since it is of no use then without TLS.
    pub secure: bool,
    /// Which pages' requests it goes with. Default [`SameSite::Lax`].
    pub same_site: SameSite,
    /// Whether it is kept apart for each site that embeds ours (CHIPS). Default no.
    pub partitioned: bool,
}

/// Which pages' requests a cookie goes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// Those of the same site, and links from elsewhere.
    #[default]
    Lax,
    /// Anybody's; browsers take this with [`Cookie::secure`] only.
    None,
    /// Those of the same site.
    Strict,
}

impl Cookie {
    /// A cookie of that name: `Path=/; HttpOnly; SameSite=Lax`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: "/".into(),
            domain: None,
            max_age: None,
            http_only: true,
            secure: false,
            same_site: SameSite::default(),
            partitioned: false,
        }
    }
}

/// What stands around the id in `Set-Cookie`.
pub(crate) struct SetCookie {
    before: String,
    after: String,
}

impl SetCookie {
    pub(crate) fn new(cookie: &Cookie) -> Result<Self, StartError> {
        // §4.1.1: a name is a token; an attribute has no control character and no semicolon.
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let is_attribute = |b: u8| (b' '..=b'~').contains(&b) && b != b';';
        let Cookie { name, path, .. } = cookie;
        let domain = cookie.domain.as_deref().unwrap_or("");
        let legal = !name.is_empty()
            && name.bytes().all(is_token)
            && path.bytes().chain(domain.bytes()).all(is_attribute);
        if !legal {
            return Err(StartError::Cookie(name.clone()));
        }
        let mut after = String::new();
        if let Some(age) = cookie.max_age {
            // Writing to a String cannot fail.
            let _ = write!(after, "; Max-Age={}", age.as_secs());
        }
        for (attribute, value) in [("Domain", domain), ("Path", path)] {
            if !value.is_empty() {
                let _ = write!(after, "; {attribute}={value}");
            }
        }
        for (attribute, set) in [
            ("; HttpOnly", cookie.http_only),
            ("; Secure", cookie.secure),
            ("; Partitioned", cookie.partitioned),
        ] {
            if set {
                after += attribute;
            }
        }
        after += match cookie.same_site {
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
            SameSite::Strict => "; SameSite=Strict",
        };
        let before = format!("{name}=");
        Ok(Self { before, after })
    }

    /// The value of the header for one session.
    pub(crate) fn value(&self, sid: &Sid) -> HeaderValue {
        let text = format!("{}{}{}", self.before, sid.as_str(), self.after);
        HeaderValue::try_from(text).expect("because new looked at every character")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(cookie: &Cookie) -> String {
        let sid = Sid::parse("ABCDEFGHIJKLMNOPQRST").unwrap();
        let value = SetCookie::new(cookie).unwrap().value(&sid);
        value.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_attributes_are_those_that_were_set() {
        let mut cookie = Cookie::new("io");
        let id = "io=ABCDEFGHIJKLMNOPQRST";
        assert_eq!(
            value(&cookie),
            format!("{id}; Path=/; HttpOnly; SameSite=Lax")
        );
        cookie.path = "/live/".into();
        cookie.domain = Some("example.com".into());
        cookie.max_age = Some(Duration::from_secs(3600));
        cookie.secure = true;
        cookie.http_only = false;
        cookie.partitioned = true;
        cookie.same_site = SameSite::None;
        assert_eq!(
            value(&cookie),
            format!(
                "{id}; Max-Age=3600; Domain=example.com; Path=/live/; Secure; Partitioned; \
                 SameSite=None"
            )
        );
    }

    #[test]
    fn sec_e24_what_would_break_the_header_is_refused_before_the_server_starts() {
        for name in ["", "a b", "a;b", "a=b", "a\r\nSet-Cookie: b", "ä"] {
            let refused = SetCookie::new(&Cookie::new(name));
            assert!(matches!(refused, Err(StartError::Cookie(_))), "{name:?}");
        }
        for text in ["/;a", "/\r\n", "/\0", "/ä"] {
            let mut cookie = Cookie::new("io");
            cookie.path = text.into();
            assert!(SetCookie::new(&cookie).is_err(), "{text:?}");
            cookie.path = "/".into();
            cookie.domain = Some(text.into());
            assert!(SetCookie::new(&cookie).is_err(), "{text:?}");
        }
    }
}
