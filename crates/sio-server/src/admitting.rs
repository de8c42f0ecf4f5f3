//! Requests for a new session: who may, whether there is room, and the answer that opens it.

use std::{mem, sync::Arc};

use eio_transport::{ErrorCode, Form, Opening, Sid, Transport, payload::Payload};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header, request::Parts};
use http_body_util::Full;

use crate::{
    answering::{Answer, JSON, emptied, refuse, text_answer},
    counters::Limit,
    deciding::Wish,
    entropy,
    error::Refuse,
    facts::Facts,
    front::{self, Front},
    gate::Admission,
    hooks::{add_headers, decide},
    polling,
    service::Service,
    session,
    upgrading::{accept, refuse_upgrade},
};

impl Service {
    /// Opens a session, if nobody has to be asked and there is room: `None` if not, and then it is
    /// [waited for](Self::open).
    pub(crate) fn open_at_once(&self, wish: Wish, parts: &mut Parts) -> Option<Answer> {
        if !self.hub.gate.hooks.is_empty() {
            return None;
        }
        if let Err(refusal) = wish.opening.check_revision(&self.hub.engine) {
            return Some(self.refuse(parts, refusal, wish.form));
        }
        let admission = Admission::at_once(&self.hub)?;
        Some(self.admit(wish, admission, None, parts))
    }

    /// The same, with whatever has to be waited for.
    pub(crate) async fn open(self, wish: Wish, mut parts: Parts) -> Answer {
        let view = match self.may_open(&parts).await {
            Ok(view) => view,
            Err(refusal) => {
                let refused = refuse_with(&refusal, wish.form);
                let code = Some(ErrorCode::Forbidden);
                self.tell(&parts, &refused, code, &refusal.message, "allow_request");
                return refused;
            }
        };
        if let Err(refusal) = wish.opening.check_revision(&self.hub.engine) {
            return self.refuse(&parts, refusal, wish.form);
        }
        let client = match self.hub.gate.addresses {
            Some(_) => self.hub.gate.client(&parts.headers, self.peer(&parts)),
            None => None, // Nobody will look at it.
        };
        match Admission::ask(&self.hub, client).await {
            Ok(admission) => self.admit(wish, admission, view.as_ref(), &mut parts),
            Err(limit) => {
                self.tally().hit(limit);
                let (status, message, context) = no_room(limit);
                let refused = come_later(status, message);
                self.tell(&parts, &refused, None, message, context);
                refused
            }
        }
    }

    /// Opens a session for which there is room. `view` is the request as hooks see it.
    fn admit(
        &self,
        wish: Wish,
        admission: Admission,
        view: Option<&Request<()>>,
        parts: &mut Parts,
    ) -> Answer {
        let Wish {
            opening,
            callback,
            form,
        } = wish;
        let Some(sid) = self.hub.new_sid(view) else {
            let code = ErrorCode::BadRequest;
            let refused = refuse(code, form);
            self.tell(
                parts,
                &refused,
                Some(code),
                code.message(),
                "ID_GENERATION_ERROR",
            );
            return refused;
        };
        let mut answer = match opening.transport {
            Transport::Polling => self.open_polling(opening, callback, admission, sid, parts),
            Transport::WebSocket => self.open_websocket(opening, admission, sid, parts),
        };
        let hook = self.hub.gate.hooks.initial_headers.as_ref();
        add_headers(hook, answer.headers_mut(), view);
        answer
    }

    /// Asks the application whether a request may open a connection, and returns it as hooks see it.
    async fn may_open(&self, parts: &Parts) -> Result<Option<Request<()>>, Refuse> {
        let gate = &self.hub.gate;
        let peer = self.peer(parts);
        let view = gate.hooks.view(parts, || gate.client(&parts.headers, peer));
        if let (Some(allow), Some(view)) = (&gate.hooks.allow, &view) {
            let patience = self.hub.engine.connect_timeout;
            decide(&**allow, view.clone(), patience).await?;
        }
        Ok(view)
    }

    fn open_polling(
        &self,
        opening: Opening,
        callback: Option<u64>,
        admission: Admission,
        sid: Sid,
        parts: &mut Parts,
    ) -> Answer {
        let facts = self.facts(parts);
        let conn = session::open_polling(admission, self.shard, sid, opening, facts);
        session::spawn(Arc::clone(&conn));
        let upgrades = self.hub.engine.upgrades(Transport::Polling);
        let mut payload = Payload::new(opening.revision, 0);
        payload.push_open(&conn.sid, upgrades, &self.hub.engine);
        if let Some(initial) = &self.hub.initial {
            payload.push(&initial.translated(opening.dialect()));
        }
        let (kind, payload) = polling::dress(payload.into_bytes().into(), callback);
        let mut answer = text_answer(emptied(mem::take(&mut parts.headers)), kind, payload);
        if let Some(cookie) = &self.hub.gate.cookie {
            let cookie = cookie.value(&conn.sid);
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        answer
    }

    fn open_websocket(
        &self,
        opening: Opening,
        admission: Admission,
        sid: Sid,
        parts: &mut Parts,
    ) -> Answer {
        // As it came: its fields are taken for the answer's.
        let facts = self.facts(parts);
        let compression = self.hub.compression.as_ref();
        let (answer, upgrade, codec) = match accept(parts, compression, self.shard.into()) {
            Ok(accepted) => accepted,
            Err(error) => return refuse_upgrade(&error),
        };
        self.hub.crews.spawn(Front::Upgrade(front::Upgrade {
            upgrade,
            shard: self.shard,
            sid,
            opening,
            codec,
            admitted: Some((admission, facts)),
        }));
        answer
    }

    fn facts(&self, parts: &Parts) -> Facts {
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let secure = self.secure || parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        Facts::new(self.peer(parts), secure, target, headers)
    }
}

/// What the application had against a request.
fn refuse_with(refusal: &Refuse, form: Form) -> Answer {
    let mut answer = refuse(ErrorCode::Forbidden, form);
    let error = serde_json::json!({ "code": 4, "message": refusal.message });
    *answer.body_mut() = Full::new(error.to_string().into());
    answer
}

/// What is said for want of room: the status, the message, and the setting that it is about.
fn no_room(limit: Limit) -> (StatusCode, &'static str, &'static str) {
    let (yours, ours) = (
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    );
    match limit {
        Limit::AddressConnections => (yours, "Too many connections", "per_ip.max_connections"),
        Limit::AddressRate => (yours, "Too many requests", "per_ip.max_handshake_rate"),
        Limit::Memory => (ours, "Out of memory", "memory_budget"),
        Limit::OpeningRate => (ours, "Too many requests", "max_opening_rate"),
        _ => (ours, "Too many connections", "max_connections"),
    }
}

/// A client that there is no room for now, and that should not come back at the same moment as all others.
fn come_later(status: StatusCode, message: &str) -> Answer {
    let body = format!(r#"{{"code":3,"message":"{message}"}}"#);
    let mut answer = text_answer(HeaderMap::new(), JSON, body.into());
    *answer.status_mut() = status;
    let [dice] = entropy::bytes();
    let later = HeaderValue::from(1 + u16::from(dice % 10));
    answer.headers_mut().insert(header::RETRY_AFTER, later);
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}
