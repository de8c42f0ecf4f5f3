//! Requests for the sessions of other nodes, which a balancer that knows nothing of sessions brought here.
//!
//! The id of a session that polls ends on the mark of its node, and nodes tell one another where they
//! are reached. A request whose session is another node's is handed to it as it came, and its answer is
//! the answer; a WebSocket that is to take over from polling is joined to one of ours to that node. It is
//! handed on once: a node that gets such a request and has no such session says so.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Buf, Bytes};
use eio_transport::Sid;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version, header, request::Parts,
};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::upgrade::OnUpgrade;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use sio_cluster::Door;

use crate::entropy;

/// A node of the cluster answers its neighbours at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// On a request that was handed on.
static HANDED_ON: HeaderName = HeaderName::from_static("sio-handed-on");

/// What is between two parties of HTTP alone (RFC 9110 §7.6.1).
static HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

type Passed = UnsyncBoxBody<Bytes, io::Error>;

/// The other nodes, as far as requests can be handed to them.
pub(crate) struct Neighbours {
    /// Of this node.
    mark: Box<str>,
    /// Hosts and ports, by mark.
    doors: Mutex<HashMap<Box<str>, Arc<str>>>,
    client: Client<HttpConnector, Passed>,
}

impl Neighbours {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        Self {
            mark: entropy::id().mark().into(),
            doors: Mutex::default(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// What the others are told, of a node that is reached at `address`.
    pub(crate) fn door(&self, address: &str) -> Door {
        Door {
            mark: self.mark.as_ref().into(),
            address: address.into(),
        }
    }

    /// An id of a session here.
    pub(crate) fn mark(&self, sid: Sid) -> Sid {
        sid.marked(&self.mark).unwrap_or(sid)
    }

    pub(crate) fn set<'a>(&self, doors: impl Iterator<Item = &'a Door>) {
        let doors = doors.map(|door| (door.mark.as_str().into(), door.address.as_str().into()));
        *self.doors.lock().unwrap_or_else(PoisonError::into_inner) = doors.collect();
    }

    /// Where a request is handed to that asks for a session which is not here.
    pub(crate) fn door_of(&self, sid: &Sid, fields: &HeaderMap) -> Option<Arc<str>> {
        if fields.contains_key(&HANDED_ON) {
            return None;
        }
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        doors.get(sid.mark()).cloned()
    }

    /// Hands a request to the node at `door`, and returns what that answers, with a body of `limit` bytes
    /// at most. `upgrade` is there for a request that wants to leave HTTP.
    pub(crate) async fn hand_on<B>(
        &self,
        door: &str,
        parts: &Parts,
        upgrade: Option<OnUpgrade>,
        body: B,
        limit: usize,
    ) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let mut request = Request::new(passed(body));
        *request.uri_mut() = Uri::builder()
            .scheme("http")
            .authority(door)
            .path_and_query(target)
            .build()?;
        *request.method_mut() = parts.method.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = parts.headers.clone();
        let fields = request.headers_mut();
        strip(fields);
        if upgrade.is_some() {
            fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        } else {
            fields.remove(header::UPGRADE);
        }
        // Whose page it is, is judged by the host that the client asked for.
        if let (false, Some(host)) = (fields.contains_key(header::HOST), parts.uri.authority()) {
            fields.insert(header::HOST, HeaderValue::from_str(host.as_str())?);
        }
        fields.insert(&HANDED_ON, HeaderValue::from_str(&self.mark)?);

        let mut answer = self.client.request(request).await?;
        if let (Some(ours), 101) = (upgrade, answer.status().as_u16()) {
            tokio::spawn(join(ours, hyper::upgrade::on(&mut answer)));
            return Ok(answer.map(|_| Full::default()));
        }
        let (mut head, body) = answer.into_parts();
        strip(&mut head.headers);
        head.version = parts.version;
        let body = Limited::new(body, limit).collect().await?.to_bytes();
        Ok(Response::from_parts(head, Full::new(body)))
    }
}

/// Takes away what is for this connection alone: what always is, and what `Connection` says is. What an
/// upgrade is to is left.
fn strip(fields: &mut HeaderMap) {
    let options = fields.get_all(header::CONNECTION);
    let options = options.iter().filter_map(|options| options.to_str().ok());
    let names = options.flat_map(|options| options.split(','));
    let names = names.filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok());
    let nominated: Vec<_> = names.filter(|name| !is_end_to_end(name)).collect();
    for name in HOP_BY_HOP.iter().chain(&nominated) {
        fields.remove(name);
    }
}

/// What `Connection` must not name. A client that does would take away what the proxy before us has said of it.
fn is_end_to_end(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "forwarded" || name.starts_with("x-forwarded-") || name == "host" || name == "upgrade"
}

/// A body as every client of every kind of body can send it.
fn passed<B>(body: B) -> Passed
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    body.map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
        .map_err(|_| io::Error::other("the client's request broke off"))
        .boxed_unsync()
}

/// Carries bytes both ways until one side ends.
async fn join(client: OnUpgrade, node: OnUpgrade) {
    let (Ok(client), Ok(node)) = tokio::join!(client, node) else {
        return;
    };
    let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
    let _ = tokio::io::copy_bidirectional(&mut client, &mut node).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        strip(&mut map);
        let mut left: Vec<_> = map.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    // RFC 9110 §7.6.1.
    #[test]
    fn what_connection_names_is_not_handed_on() {
        let left = stripped(&[
            ("connection", "keep-alive, X-Hop"),
            ("connection", "x-other,, not a name"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("cookie", "io=1"),
        ]);
        assert_eq!(left, ["cookie"]);
    }

    #[test]
    fn sec_a_client_cannot_take_away_what_a_proxy_says_of_it() {
        let left = stripped(&[
            ("connection", "X-Forwarded-For, forwarded, Host, Upgrade"),
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=192.0.2.1"),
            ("host", "chat.example"),
            ("upgrade", "websocket"),
        ]);
        assert_eq!(left, ["forwarded", "host", "upgrade", "x-forwarded-for"]);
    }
}
