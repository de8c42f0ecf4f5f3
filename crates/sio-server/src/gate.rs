//! What stands in front of every request, whatever its transport and whichever road it came by.

use std::{net::SocketAddr, time::Instant};

use ws_handshake::Headers;

use crate::{
    config::Config,
    cors::{PageError, Pages},
    error::StartError,
    notice::{Notice, quoted},
    proxies::Proxies,
};

pub(crate) struct Gate {
    pub(crate) pages: Pages,
    proxies: Proxies,
    /// Pages that were refused.
    refused: Notice,
}

impl Gate {
    pub(crate) fn new(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            pages: Pages::new(&config.cors)?,
            proxies: config.proxies.clone(),
            refused: Notice::new(Instant::now()),
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
        let Some(suppressed) = self.refused.ask(Instant::now()) else {
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
