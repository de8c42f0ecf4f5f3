//! What is to be done about a request of ours.

use std::sync::Arc;

use eio_transport::{Claim, ErrorCode, Form, Known, Opening, Origin, Query, Route, route};
use http::{HeaderValue, Method, StatusCode, header, request::Parts, uri::Authority};

use crate::{
    answering::{Answer, Page, refuse, status},
    compress::Coding,
    conn::Conn,
    counters::Limit,
    files,
    head::{Present, form, form_with_upgrade, is_extended_connect, over_limit},
    polling::{self, Kind},
    service::Service,
};

/// What is to be done.
pub(crate) enum Way {
    /// Nothing more.
    Answered(Answer),
    /// A file of the client's is sent.
    File(String),
    /// The node behind this door answers.
    HandOn(Arc<str>),
    Open(Wish),
    /// A GET of this session; by JSONP, if there is a callback; compressed from so many bytes on.
    Poll(Arc<Conn>, Option<u64>, Option<(Coding, usize)>),
    Post(Arc<Conn>, Kind),
}

/// A session that is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) opening: Opening,
    /// The number of the function to call, if the client polls by JSONP.
    pub(crate) callback: Option<u64>,
    pub(crate) form: Form,
}

impl From<Answer> for Way {
    fn from(answer: Answer) -> Self {
        Self::Answered(answer)
    }
}

impl Service {
    /// A request that is ours. `page` is what the answer's header fields are to say about it.
    #[inline]
    pub(crate) fn decide(&self, parts: &mut Parts, page: &mut Option<Page>) -> Way {
        let present = Present::among(&parts.headers);
        if let Some((limit, refused)) = over_limit(parts, &present) {
            self.tally().hit(limit);
            let context = limit.name();
            self.tell(parts, &refused, None, context, context);
            return refused.into();
        }
        let name = &parts.uri.path()[self.hub.config.path.len()..];
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        // A page of anybody may bring in a script, and no more than that is served.
        let client_file = is_read && files::is_client_file(name);
        let gate = &self.hub.gate;
        let peer = self.peer(parts);
        let authority = parts.uri.authority().map(Authority::as_str);
        let origin = present.page.then(|| parts.headers.get(header::ORIGIN));
        let origin = origin.flatten();
        let checked = match present.page {
            true => gate.check_page(&parts.headers, peer, authority),
            false => Ok(()),
        };
        if let (Err(error), false) = (checked, client_file) {
            gate.log_refused_page(error, &parts.headers, peer, authority);
            self.tally().hit(Limit::Origin);
            let refused = refuse(ErrorCode::Forbidden, form(parts));
            self.tell(
                parts,
                &refused,
                Some(ErrorCode::Forbidden),
                "Forbidden",
                "origin",
            );
            return refused.into();
        }
        let origin = origin.filter(|_| checked.is_ok());
        let hooks = &gate.hooks;
        let view = hooks.headers.as_ref();
        let view = view.and_then(|_| hooks.view(parts, || gate.client(&parts.headers, peer)));
        let dresses = hooks.headers.is_some() || !gate.pages.is_silent();
        *page = dresses.then(|| Page {
            hub: Arc::clone(&self.hub),
            view: view.map(Box::new),
            // A copy: one that shares hyper's buffer would keep it from being used again.
            origin: origin.and_then(|origin| HeaderValue::from_bytes(origin.as_bytes()).ok()),
        });
        if client_file {
            Way::File(name.to_owned())
        } else if gate.pages.is_preflight(&parts.method) {
            let mut answer = status(StatusCode::NO_CONTENT);
            let asked = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
            gate.pages.apply_preflight(asked, answer.headers_mut());
            answer.into()
        } else {
            self.dispatch(parts, &present, page)
        }
    }

    #[inline]
    fn dispatch(&self, parts: &mut Parts, present: &Present, page: &mut Option<Page>) -> Way {
        // Nearly none of those that come here asks to leave HTTP: no more is looked at then.
        let is_connect = is_extended_connect(parts);
        let form = match (is_connect, present.upgrade) {
            (true, _) => Form::Upgrade,
            (false, true) => form_with_upgrade(&parts.headers),
            (false, false) => Form::Plain,
        };
        let query = Query::parse(parts.uri.query());
        let conn = match query.session {
            Claim::Session(sid) => self.hub.session(&sid),
            _ => None,
        };
        if let (Claim::Session(sid), None, Some(neighbours)) =
            (&query.session, &conn, self.hub.neighbours())
            && let Some(door) = neighbours.door_of(sid, &parts.headers)
            && !is_connect
        {
            // The answer comes with header fields for its page.
            *page = None;
            return Way::HandOn(door);
        }
        let known = conn.as_ref().map(|conn| {
            let link = conn.lock();
            Known {
                transport: link.session.transport(),
                revision: link.session.revision(),
            }
        });
        let asked = eio_transport::Request {
            method: match parts.method {
                // What HTTP/1.1 asks by GET and `Upgrade`.
                _ if is_connect => eio_transport::Method::Get,
                Method::GET => eio_transport::Method::Get,
                Method::POST => eio_transport::Method::Post,
                _ => eio_transport::Method::Other,
            },
            form,
            // hyper lets no illegal header through.
            origin: Origin::Legal,
        };
        let route = match route(asked, &query, known, &self.hub.engine) {
            Ok(route) => route,
            Err(refusal) => return self.refuse(parts, refusal, form).into(),
        };
        match (route, conn) {
            (Route::Open(opening), _) => Way::Open(Wish {
                opening,
                callback: query.jsonp,
                form,
            }),
            (Route::Poll, Some(conn)) => {
                let threshold = self.hub.config.compress_above.filter(|_| present.coding);
                let coding = threshold
                    .and_then(|threshold| Some((Coding::accepted(&parts.headers)?, threshold)));
                Way::Poll(conn, query.jsonp, coding)
            }
            (Route::Post, Some(conn)) => {
                let octets = present.octets.unwrap_or(false);
                let kind = match present.encoded && polling::is_encoded(&parts.headers) {
                    true => Kind::Encoded,
                    false => Kind::of(octets, query.jsonp),
                };
                Way::Post(conn, kind)
            }
            (Route::Probe, Some(conn)) => {
                let dialect = query.dialect();
                self.probe(conn, dialect, parts).into()
            }
            (Route::Hang, _) => self.hang(parts).into(),
            _ => status(StatusCode::INTERNAL_SERVER_ERROR).into(),
        }
    }
}
