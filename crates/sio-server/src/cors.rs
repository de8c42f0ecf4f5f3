//! Whose pages may talk to the server: the check of `Origin`, on every transport, and the
//! `Access-Control-*` headers that go with it.
//!
//! Browsers send cookies with a WebSocket from whatever page it was opened, and CORS does not stop
//! them: it only keeps a page from reading an answer. What stops them is a server that looks at
//! `Origin` and refuses ([RFC 6455 §10.2](https://www.rfc-editor.org/rfc/rfc6455#section-10.2)). So
//! one setting says both.

use http::{HeaderMap, HeaderValue, Method, header};
use ws_handshake::{Headers, OriginError, OriginPattern, OriginPolicy};

use crate::error::StartError;

/// Whose pages may connect, by polling or WebSocket, and read our answers.
///
/// A request without `Origin` comes from a program, or from a page of this very host, and passes;
/// unless the browser says by `Sec-Fetch-Site` that a page of somebody else makes it. A page that is
/// refused gets 403 with error 4, and the log says what to allow. Behind a proxy that changes
/// `Host`, see [`Config::proxies`](crate::Config::proxies).
///
/// Origins are written as browsers send them, `https://example.com`, `http://localhost:5173`,
/// `capacitor://localhost`; `https://*.example.com` stands for all subdomains, but not for
/// `https://example.com`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cors {
    /// Any page, also sandboxed ones and local files, without credentials:
    /// `Access-Control-Allow-Origin: *`. Browsers send cookies with a WebSocket all the same: do not
    /// take a cookie for a proof then.
    Any,
    /// Pages of these origins, with credentials, and not even our own unless listed. What holds
    /// against DNS rebinding, where a foreign name points to our address.
    Only(Vec<String>),
    /// Our own pages, and those of these origins, with credentials.
    Origins(Vec<String>),
    /// Only our own pages: `Origin` and `Host` name the same host and port. The default, because it
    /// is what a page and its server need and nothing else.
    #[default]
    SameOrigin,
}

/// [`Cors`], ready to be asked.
pub(crate) struct Pages {
    policy: OriginPolicy,
    headers: AllowOrigin,
}

/// What `Access-Control-Allow-Origin` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AllowOrigin {
    Any,
    None,
    /// The page that asks, if it may.
    Page,
}

/// Why a page is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PageError {
    #[error("{0}")]
    Origin(#[from] OriginError),
    #[error("the browser says that the page is of another site, and not of which")]
    Site,
}

impl Pages {
    pub(crate) fn new(cors: &Cors) -> Result<Self, StartError> {
        let patterns = |origins: &[String]| {
            let read = |origin: &String| {
                OriginPattern::new(origin).map_err(|error| StartError::Origin {
                    origin: origin.clone(),
                    error,
                })
            };
            origins.iter().map(read).collect::<Result<_, _>>()
        };
        let (policy, headers) = match cors {
            Cors::Any => (OriginPolicy::Any, AllowOrigin::Any),
            Cors::Only(origins) => (OriginPolicy::Listed(patterns(origins)?), AllowOrigin::Page),
            Cors::Origins(origins) => {
                let policy = OriginPolicy::SameHostOr(patterns(origins)?);
                (policy, AllowOrigin::Page)
            }
            Cors::SameOrigin => (OriginPolicy::SameHost, AllowOrigin::None),
        };
        Ok(Self { policy, headers })
    }

    /// Whether the page that makes a request may. `host` is whom the request is for, where that is
    /// not what `Host` says.
    pub(crate) fn check<H: Headers + ?Sized>(
        &self,
        headers: &H,
        host: Option<&[u8]>,
    ) -> Result<(), PageError> {
        self.policy.check(&Asked { headers, host })?;
        // A script or an image of another site is asked for without `Origin`, but with cookies.
        let mut sites = headers.values("sec-fetch-site");
        let foreign = |site: &[u8]| site == b"cross-site" || site == b"same-site";
        if self.policy != OriginPolicy::Any
            && sites.next().is_some_and(foreign)
            && headers.values("origin").next().is_none()
        {
            return Err(PageError::Site);
        }
        Ok(())
    }

    /// Whether this request is a preflight, to be answered with 204 and nothing else.
    pub(crate) fn is_preflight(&self, method: &Method) -> bool {
        method == Method::OPTIONS && self.headers != AllowOrigin::None
    }

    /// Whether answers say nothing to pages.
    pub(crate) fn is_silent(&self) -> bool {
        self.headers == AllowOrigin::None
    }

    /// Adds what a page of `origin`, which may connect, has to see.
    pub(crate) fn apply(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        match (self.headers, origin) {
            (AllowOrigin::None, _) => {}
            (AllowOrigin::Any, _) => {
                let any = HeaderValue::from_static("*");
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
            }
            (AllowOrigin::Page, origin) => {
                answer.append(header::VARY, HeaderValue::from_static("Origin"));
                if let Some(origin) = origin {
                    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                    let yes = HeaderValue::from_static("true");
                    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
                }
            }
        }
    }

    /// Adds what the answer to a preflight says beyond that.
    pub(crate) fn apply_preflight(&self, asked: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let methods = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(asked) = asked {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
    }
}

/// The headers of a request, with what its `Host` should be.
struct Asked<'a, H: ?Sized> {
    headers: &'a H,
    host: Option<&'a [u8]>,
}

impl<H: Headers + ?Sized> Headers for Asked<'_, H> {
    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let host = self.host.map(|host| ("host", host));
        let replaced = host.is_some();
        let fields = self.headers.fields();
        host.into_iter()
            .chain(fields.filter(move |(name, _)| !(replaced && name.eq_ignore_ascii_case("host"))))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let host = self.host.filter(|_| name == "host");
        let replaced = host.is_some();
        host.into_iter()
            .chain(self.headers.values(name).filter(move |_| !replaced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(cors: Cors) -> Pages {
        Pages::new(&cors).unwrap()
    }

    #[test]
    fn the_host_that_a_proxy_names_stands_for_ours() {
        let pages = pages(Cors::SameOrigin);
        let headers = [("Host", "10.0.0.7:3000"), ("Origin", "https://example.com")];
        assert!(pages.check(&headers, None).is_err());
        assert_eq!(pages.check(&headers, Some(b"example.com")), Ok(()));
        assert_eq!(pages.check(&headers, Some(b"EXAMPLE.com:443")), Ok(()));
        assert!(pages.check(&headers, Some(b"example.com:8443")).is_err());
    }

    #[test]
    fn a_page_of_another_site_is_known_without_its_origin() {
        let site = |site| [("Host", "a"), ("Sec-Fetch-Site", site)];
        for (cors, verdict) in [
            (Cors::SameOrigin, Err(PageError::Site)),
            (Cors::Origins(vec!["http://b".into()]), Err(PageError::Site)),
            (Cors::Any, Ok(())),
        ] {
            let pages = pages(cors);
            assert_eq!(pages.check(&site("cross-site"), None), verdict);
            assert_eq!(pages.check(&site("same-site"), None), verdict);
            assert_eq!(pages.check(&site("same-origin"), None), Ok(()));
            assert_eq!(pages.check(&site("none"), None), Ok(()));
        }
        // With the origin there, the origin decides.
        let listed = pages(Cors::Origins(vec!["http://b".into()]));
        let headers = [
            ("Host", "a"),
            ("Origin", "http://b"),
            ("Sec-Fetch-Site", "cross-site"),
        ];
        assert_eq!(listed.check(&headers, None), Ok(()));
    }

    #[test]
    fn what_is_no_origin_is_refused_before_the_server_starts() {
        for wrong in [
            "example.com",
            "*",
            "https://example.com/",
            "https://*",
            "null",
            "",
        ] {
            let cors = Cors::Origins(vec![wrong.into()]);
            let error = Pages::new(&cors).err().expect(wrong);
            assert!(matches!(error, StartError::Origin { .. }), "{wrong}");
        }
    }
}
