//! What stands in front of every request, whatever its transport and whichever road it came by.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
};

use http::HeaderMap;
use ws_handshake::Headers;

use crate::{
    clock,
    config::Config,
    cookie::SetCookie,
    cors::{PageError, Pages},
    error::StartError,
    hooks::Hooks,
    hub::Hub,
    notice::{Notice, quoted},
    proxies::Proxies,
};

pub(crate) struct Gate {
    pub(crate) pages: Pages,
    pub(crate) hooks: Hooks,
    pub(crate) cookie: Option<SetCookie>,
    proxies: Proxies,
    max_connections: usize,
    /// Pages that were refused.
    refused: Notice,
}

impl Gate {
    pub(crate) fn new(config: &Config, hooks: Hooks) -> Result<Self, StartError> {
        Ok(Self {
            pages: Pages::new(&config.cors)?,
            hooks,
            cookie: config.cookie.as_ref().map(SetCookie::new).transpose()?,
            max_connections: config.max_connections.unwrap_or_else(descriptors),
            proxies: config.proxies.clone(),
            refused: Notice::new(clock::now()),
        })
    }

    /// Whether the page that makes a request may. `authority` is whom the request is for, where
    /// there is no `Host`.
    pub(crate) fn check_page<H: Headers + ?Sized>(
        &self,
        headers: &H,
        peer: Option<SocketAddr>,
        authority: Option<&str>,
    ) -> Result<(), PageError> {
        let host = self.host(headers, peer, authority);
        self.pages.check(headers, host)
    }

    /// Tells whoever runs the server which page was refused, and what would let it in.
    pub(crate) fn log_refused_page<H: Headers + ?Sized>(
        &self,
        error: PageError,
        headers: &H,
        peer: Option<SocketAddr>,
        authority: Option<&str>,
    ) {
        let Some(suppressed) = self.refused.ask(clock::now()) else {
            return;
        };
        let host = self
            .host(headers, peer, authority)
            .or_else(|| headers.values("host").next());
        let origin = headers.values("origin").next().unwrap_or(b"");
        let (origin, host) = (quoted(origin), quoted(host.unwrap_or(b"")));
        tracing::warn!(
            origin,
            host,
            suppressed,
            "a page was refused: {error}. To let it in set \
             config.cors = Cors::Origins(vec![\"{origin}\".into()]); if a proxy in front changes \
             Host, name it in config.proxies"
        );
    }

    /// The address of the client that makes a request.
    pub(crate) fn client(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Option<IpAddr> {
        let forwarded: Vec<_> = headers
            .get_all("x-forwarded-for")
            .iter()
            .map(http::HeaderValue::as_bytes)
            .collect();
        self.proxies.client(peer, forwarded.into_iter())
    }

    /// Whom the request is for, where that is not what `Host` says.
    fn host<'h, H: Headers + ?Sized>(
        &self,
        headers: &'h H,
        peer: Option<SocketAddr>,
        authority: Option<&'h str>,
    ) -> Option<&'h [u8]> {
        let authority = authority.map(str::as_bytes);
        if !self.proxies.trusts(peer.map(|peer| peer.ip())) {
            return authority;
        }
        // The proxy that is farthest from us stands first, and knows what the client asked for.
        let named = headers.values("x-forwarded-host").next();
        let first = |list: &'h [u8]| list.split(|byte| *byte == b',').next();
        let named = named.and_then(first).map(<[u8]>::trim_ascii);
        named.filter(|name| !name.is_empty()).or(authority)
    }
}

/// Room for one connection, kept until it has gone.
///
/// [`Config::max_connections`] is what there is room for.
pub(crate) struct Admission(Option<Arc<Hub>>);

impl Admission {
    /// `None` if the server is full.
    pub(crate) fn ask(hub: &Arc<Hub>) -> Option<Self> {
        let before = hub.drivers.fetch_add(1, Ordering::Relaxed);
        let admission = Self(Some(Arc::clone(hub)));
        // If not, the drop takes it back.
        (before < hub.gate.max_connections).then_some(admission)
    }

    pub(crate) fn hub(&self) -> &Hub {
        self.0
            .as_ref()
            .expect("because it is there until it is passed on")
    }

    /// Leaves it to the connection's task to give the room back.
    pub(crate) fn pass_on(mut self) -> Arc<Hub> {
        self.0
            .take()
            .expect("because it is there until it is passed on")
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(hub) = &self.0 {
            hub.drivers.fetch_sub(1, Ordering::Release);
        }
    }
}

/// How many connections there may be by the number of descriptors that the process may have.
fn descriptors() -> usize {
    /// For listeners, files, and requests that have no session.
    const OTHERS: usize = 128;
    #[cfg(unix)]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let limit = None::<u64>;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.map_or(usize::MAX, |limit| limit.saturating_sub(OTHERS).max(1))
}
