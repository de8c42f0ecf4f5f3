//! What stands in front of every request, whatever its transport and whichever road it came by.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
};

use eio_transport::Sid;
use http::HeaderMap;
use ws_handshake::Headers;

use crate::{
    addresses::{Address, Addresses},
    brake::{Brake, Slot},
    clock,
    config::Config,
    cookie::SetCookie,
    cors::{PageError, Pages},
    counters::Limit,
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
    pub(crate) brake: Brake,
    /// What single addresses do, if that is limited.
    pub(crate) addresses: Option<Addresses>,
    /// Pages that were refused.
    refused: Notice,
    /// Connections that were closed because too much was buffered.
    pub(crate) shed: Notice,
}

impl Gate {
    pub(crate) fn new(config: &Config, hooks: Hooks) -> Result<Self, StartError> {
        let now = clock::now();
        Ok(Self {
            brake: Brake::new(config.max_opening_rate, now),
            addresses: Addresses::new(&config.per_ip, now),
            shed: Notice::new(now),
            pages: Pages::new(&config.cors)?,
            hooks,
            cookie: config.cookie.as_ref().map(SetCookie::new).transpose()?,
            max_connections: config.max_connections.unwrap_or_else(descriptors),
            proxies: config.proxies.clone(),
            refused: Notice::new(now),
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
pub(crate) struct Admission {
    hub: Option<Arc<Hub>>,
    /// Whose connection it is, if that is limited.
    address: Option<Address>,
    /// How often all connections had been closed when it was given.
    closes: usize,
}

impl Admission {
    /// Room that is there now, for whoever it is; `None` if there is none, or it has to be
    /// [asked](Self::ask) for.
    pub(crate) fn at_once(hub: &Arc<Hub>) -> Option<Self> {
        if hub.ledger.is_tight() || hub.gate.addresses.is_some() {
            return None;
        }
        let admission = Self::count(hub)?;
        hub.gate.brake.pass(clock::now).then_some(admission)
    }

    /// Room for a client, waited for where too many come at once.
    ///
    /// # Errors
    ///
    /// The limit that was reached.
    pub(crate) async fn ask(hub: &Arc<Hub>, client: Option<IpAddr>) -> Result<Self, Limit> {
        let now = clock::now();
        if hub.ledger.is_tight() {
            return Err(Limit::Memory);
        }
        let mut admission = Self::count(hub).ok_or(Limit::Connections)?;
        if let (Some(addresses), Some(client)) = (&hub.gate.addresses, client) {
            admission.address = Some(addresses.enter(client, now)?);
        }
        match hub.gate.brake.ask(now) {
            Slot::Now => {}
            Slot::In(wait) => tokio::time::sleep(wait).await,
            Slot::None => return Err(Limit::OpeningRate),
        }
        Ok(admission)
    }

    /// One of [`Config::max_connections`].
    fn count(hub: &Arc<Hub>) -> Option<Self> {
        let before = hub.drivers.fetch_add(1, Ordering::Relaxed);
        let admission = Self {
            hub: Some(Arc::clone(hub)),
            address: None,
            closes: hub.closes.load(Ordering::SeqCst),
        };
        // If not, the drop takes it back.
        let is_open = !hub.is_shut.load(Ordering::SeqCst);
        (before < hub.gate.max_connections && is_open).then_some(admission)
    }

    pub(crate) fn hub(&self) -> &Hub {
        self.hub
            .as_ref()
            .expect("because it is there until it is passed on")
    }

    /// How often all connections had been closed when it was given.
    pub(crate) fn closes(&self) -> usize {
        self.closes
    }

    /// Leaves it to the task of the connection `sid` to [give the room back](give_back).
    pub(crate) fn pass_on(mut self, sid: &Sid) -> Arc<Hub> {
        let hub = self
            .hub
            .take()
            .expect("because it is there until it is passed on");
        if let (Some(addresses), Some(address)) = (&hub.gate.addresses, self.address) {
            addresses.settle(*sid, address);
        }
        hub
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(hub) = &self.hub {
            if let (Some(addresses), Some(address)) = (&hub.gate.addresses, self.address) {
                addresses.leave(address);
            }
            hub.drivers.fetch_sub(1, Ordering::Release);
        }
    }
}

/// The task of a connection has gone.
pub(crate) fn give_back(hub: &Hub, sid: &Sid) {
    if let Some(addresses) = &hub.gate.addresses {
        addresses.end(sid);
    }
    hub.drivers.fetch_sub(1, Ordering::Release);
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
