//! What a request wants: the checks of the protocol, in the order in which they are made.
//!
//! 1. Is the transport known and enabled? Is JSONP, if it is asked for?
//! 2. Has the `Origin` header only legal characters?
//! 3. With a session id: is it known, is the transport the session's (an Upgrade request may
//!    differ), is the revision the session's?
//! 4. Without: is it a GET, and if it names WebSocket, an Upgrade request?
//! 5. Then the application may refuse ([`ErrorCode::Forbidden`]), which is not decided here, and
//!    the revision must be served ([`Opening::check_revision`]).

use crate::config::{Config, Revision, Transport};
use crate::error::ErrorCode;
use crate::parcel::Dialect;
use crate::query::{Claim, Query};

/// The method of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// Any other.
    Other,
}

/// Whether a request asks to leave HTTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// An ordinary request.
    Plain,
    /// An Upgrade request (or an extended CONNECT) for a WebSocket.
    Upgrade,
}

/// Whether the `Origin` header could be a header value at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Absent, or made of legal characters.
    Legal,
    /// It holds characters that no header may hold.
    Illegal,
}

/// The parts of a request on which the route depends, besides its query.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Plain or Upgrade.
    pub form: Form,
    /// The state of the `Origin` header.
    pub origin: Origin,
}

/// What the server knows of the session that a request names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    /// The transport in use.
    pub transport: Transport,
    /// The revision with which it was opened.
    pub revision: Revision,
}

/// What to do with a request that passed the checks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Route {
    /// Open a session, after the application agreed and [`Opening::check_revision`] passed.
    Open(Opening),
    /// A GET that waits for packets: [`Session::handle_poll`](crate::Session::handle_poll).
    Poll,
    /// A POST that brings packets: [`Session::handle_post`](crate::Session::handle_post).
    Post,
    /// A WebSocket for a session that exists:
    /// [`Session::handle_probe`](crate::Session::handle_probe).
    Probe,
    /// An Upgrade request that names polling: accept it, then close it with an empty close
    /// frame, as the reference implementation does.
    Hang,
    /// A method that polling does not have: answer 500 with an empty body, as the reference
    /// implementation does.
    Unanswerable,
}

/// A session about to be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opening {
    /// The transport over which it opens.
    pub transport: Transport,
    /// The revision that the client speaks.
    pub revision: Revision,
    /// Whether the client takes text only: it said `b64`, or polls by JSONP.
    pub base64: bool,
}

impl Opening {
    /// How the client wants its bytes.
    pub const fn dialect(self) -> Dialect {
        Dialect::new(self.revision, self.base64)
    }

    /// The last check, made after the application agreed.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnsupportedProtocolVersion`] for revision 3 unless it is allowed.
    pub fn check_revision(self, config: &Config) -> Result<(), Refusal> {
        match self.revision {
            Revision::V3 if !config.allow_eio3 => Err(Refusal::new(
                ErrorCode::UnsupportedProtocolVersion,
                Context::Protocol,
            )),
            _ => Ok(()),
        }
    }
}

/// Why a request is refused: the error for the client, and what it was about for the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{code}")]
pub struct Refusal {
    /// The error for the client.
    pub code: ErrorCode,
    /// What it was about.
    pub context: Context,
}

impl Refusal {
    const fn new(code: ErrorCode, context: Context) -> Self {
        Self { code, context }
    }
}

/// What a refusal was about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Context {
    /// The transport is unknown or disabled.
    Transport,
    /// The `Origin` header is illegal.
    InvalidOrigin,
    /// The client polls by JSONP, which is not enabled.
    Jsonp,
    /// The session id is unknown.
    Sid,
    /// A plain request names another transport than the session's.
    TransportMismatch,
    /// A request names another revision than the session's.
    ProtocolMismatch,
    /// A handshake was not a GET.
    Method,
    /// A handshake names WebSocket but is no Upgrade request.
    TransportHandshakeError,
    /// The revision is not served.
    Protocol,
}

impl Context {
    /// The name that the reference implementation gives to it, if it gives one.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::InvalidOrigin => Some("INVALID_ORIGIN"),
            Self::TransportMismatch => Some("TRANSPORT_MISMATCH"),
            Self::ProtocolMismatch => Some("PROTOCOL_MISMATCH"),
            Self::TransportHandshakeError => Some("TRANSPORT_HANDSHAKE_ERROR"),
            Self::Jsonp | Self::Transport | Self::Sid | Self::Method | Self::Protocol => None,
        }
    }
}

/// Decides what a request wants. `known` is what the server holds under [`Query::sid`].
///
/// ```
/// use eio_transport::{Config, Form, Method, Origin, Query, Request, Route, route};
///
/// let config = Config::default();
/// let get = Request { method: Method::Get, form: Form::Plain, origin: Origin::Legal };
/// let query = Query::parse(Some("EIO=4&transport=polling"));
/// let Ok(Route::Open(opening)) = route(get, &query, None, &config) else { panic!() };
/// assert!(opening.check_revision(&config).is_ok());
/// // A session that nobody knows:
/// let query = Query::parse(Some("EIO=4&transport=polling&sid=BwcHBwcHBwcHBwcHBwcH"));
/// let refusal = route(get, &query, None, &config).unwrap_err();
/// assert_eq!((refusal.code.code(), refusal.code.status()), (1, 400));
/// ```
///
/// # Errors
///
/// The first check that fails, in the order given in the module's documentation.
pub fn route(
    request: Request,
    query: &Query<'_>,
    known: Option<Known>,
    config: &Config,
) -> Result<Route, Refusal> {
    let refuse = |code, context| Err(Refusal::new(code, context));
    let transport = query.transport.as_deref().and_then(Transport::parse);
    let Some(transport) = transport.filter(|transport| config.transports.contains(*transport))
    else {
        return refuse(ErrorCode::UnknownTransport, Context::Transport);
    };
    if query.jsonp.is_some() && transport == Transport::Polling && !config.allow_jsonp {
        return refuse(ErrorCode::BadRequest, Context::Jsonp);
    }
    if request.origin == Origin::Illegal {
        return refuse(ErrorCode::BadRequest, Context::InvalidOrigin);
    }
    if query.session == Claim::New {
        if request.method != Method::Get {
            return refuse(ErrorCode::BadHandshakeMethod, Context::Method);
        }
        return match (transport, request.form) {
            (Transport::WebSocket, Form::Plain) => {
                refuse(ErrorCode::BadRequest, Context::TransportHandshakeError)
            }
            (Transport::Polling, Form::Upgrade) => Ok(Route::Hang),
            _ => Ok(Route::Open(Opening {
                transport,
                revision: query.revision,
                base64: query.takes_text_only(),
            })),
        };
    }
    let Some(known) = known else {
        return refuse(ErrorCode::UnknownSid, Context::Sid);
    };
    if request.form == Form::Plain && known.transport != transport {
        return refuse(ErrorCode::BadRequest, Context::TransportMismatch);
    }
    if known.revision != query.revision {
        return refuse(ErrorCode::BadRequest, Context::ProtocolMismatch);
    }
    Ok(match (request.form, transport, request.method) {
        (Form::Upgrade, Transport::WebSocket, _) => Route::Probe,
        (Form::Upgrade, Transport::Polling, _) => Route::Hang,
        // A plain request to a WebSocket session reaches no handler of requests in the reference
        // implementation either.
        (Form::Plain, Transport::WebSocket, _) => {
            return refuse(ErrorCode::BadRequest, Context::TransportHandshakeError);
        }
        (Form::Plain, Transport::Polling, Method::Get) => Route::Poll,
        (Form::Plain, Transport::Polling, Method::Post) => Route::Post,
        (Form::Plain, Transport::Polling, Method::Other) => Route::Unanswerable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Transports;

    const SID: &str = "ABCDEFGHIJKLMNOPQRST";

    fn ask(
        method: Method,
        form: Form,
        query: &str,
        known: Option<Known>,
    ) -> Result<Route, Refusal> {
        let request = Request {
            method,
            form,
            origin: Origin::Legal,
        };
        route(
            request,
            &Query::parse(Some(query)),
            known,
            &Config::default(),
        )
    }

    fn known(transport: Transport) -> Option<Known> {
        Some(Known {
            transport,
            revision: Revision::V4,
        })
    }

    fn refused(code: ErrorCode, context: Context) -> Result<Route, Refusal> {
        Err(Refusal { code, context })
    }

    #[test]
    fn a_handshake_opens_over_either_transport() {
        for (form, query, transport) in [
            (Form::Plain, "EIO=4&transport=polling", Transport::Polling),
            (
                Form::Upgrade,
                "EIO=4&transport=websocket",
                Transport::WebSocket,
            ),
            (
                Form::Plain,
                "EIO=4&transport=polling&sid=",
                Transport::Polling,
            ),
        ] {
            let opening = Opening {
                transport,
                revision: Revision::V4,
                base64: false,
            };
            assert_eq!(
                ask(Method::Get, form, query, None),
                Ok(Route::Open(opening))
            );
            assert_eq!(opening.check_revision(&Config::default()), Ok(()));
        }
    }

    #[test]
    fn revision_3_is_refused_last_and_unless_allowed() {
        let query = "EIO=5&transport=polling";
        let Ok(Route::Open(opening)) = ask(Method::Get, Form::Plain, query, None) else {
            panic!("the revision is the last check");
        };
        let refusal = opening.check_revision(&Config::default()).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::UnsupportedProtocolVersion);
        let config = Config {
            allow_eio3: true,
            ..Config::default()
        };
        assert_eq!(opening.check_revision(&config), Ok(()));
    }

    #[test]
    fn a_session_is_polled_posted_to_and_probed() {
        let polling = format!("EIO=4&transport=polling&sid={SID}");
        let websocket = format!("EIO=4&transport=websocket&sid={SID}");
        let session = known(Transport::Polling);
        for (method, form, query, route) in [
            (Method::Get, Form::Plain, &polling, Route::Poll),
            (Method::Post, Form::Plain, &polling, Route::Post),
            (Method::Other, Form::Plain, &polling, Route::Unanswerable),
            (Method::Get, Form::Upgrade, &websocket, Route::Probe),
            (Method::Get, Form::Upgrade, &polling, Route::Hang),
        ] {
            assert_eq!(ask(method, form, query, session), Ok(route));
        }
    }

    #[test]
    fn an_upgrade_request_for_polling_is_hung_up() {
        let query = "EIO=4&transport=polling";
        assert_eq!(
            ask(Method::Get, Form::Upgrade, query, None),
            Ok(Route::Hang)
        );
    }

    #[test]
    fn the_first_check_that_fails_is_the_answer() {
        let polling = format!("EIO=4&transport=polling&sid={SID}");
        let websocket = format!("EIO=4&transport=websocket&sid={SID}");
        let old = format!("EIO=3&transport=polling&sid={SID}");
        let unknown = (ErrorCode::UnknownTransport, Context::Transport);
        let sid = (ErrorCode::UnknownSid, Context::Sid);
        let mismatch = (ErrorCode::BadRequest, Context::TransportMismatch);
        for (method, form, query, session, (code, context)) in [
            (Method::Get, Form::Plain, "", None, unknown),
            (
                Method::Post,
                Form::Plain,
                "transport=webtransport&EIO=4",
                None,
                unknown,
            ),
            (
                Method::Get,
                Form::Plain,
                "transport=__proto__&sid=x",
                None,
                unknown,
            ),
            (
                Method::Post,
                Form::Plain,
                "transport=polling&sid=x",
                None,
                sid,
            ),
            (Method::Get, Form::Upgrade, &*websocket, None, sid),
            (
                Method::Get,
                Form::Plain,
                &*websocket,
                known(Transport::Polling),
                mismatch,
            ),
            (
                Method::Get,
                Form::Plain,
                &*polling,
                known(Transport::WebSocket),
                mismatch,
            ),
            (
                Method::Get,
                Form::Plain,
                &*old,
                known(Transport::Polling),
                (ErrorCode::BadRequest, Context::ProtocolMismatch),
            ),
            (
                Method::Post,
                Form::Plain,
                "transport=polling&EIO=4",
                None,
                (ErrorCode::BadHandshakeMethod, Context::Method),
            ),
            (
                Method::Get,
                Form::Plain,
                "transport=websocket&EIO=4",
                None,
                (ErrorCode::BadRequest, Context::TransportHandshakeError),
            ),
        ] {
            assert_eq!(
                ask(method, form, query, session),
                refused(code, context),
                "{query}"
            );
        }
    }

    #[test]
    fn jsonp_is_refused_unless_allowed() {
        let query = "EIO=4&transport=polling&j=0";
        assert_eq!(
            ask(Method::Get, Form::Plain, query, None),
            refused(ErrorCode::BadRequest, Context::Jsonp)
        );
        let config = Config {
            allow_jsonp: true,
            ..Config::default()
        };
        let request = Request {
            method: Method::Get,
            form: Form::Plain,
            origin: Origin::Legal,
        };
        let opening = Opening {
            transport: Transport::Polling,
            revision: Revision::V4,
            base64: true,
        };
        assert_eq!(
            route(request, &Query::parse(Some(query)), None, &config),
            Ok(Route::Open(opening))
        );
    }

    #[test]
    fn an_illegal_origin_is_refused_after_the_transport_and_before_the_sid() {
        let request = Request {
            method: Method::Get,
            form: Form::Plain,
            origin: Origin::Illegal,
        };
        for (query, code) in [
            ("transport=x&sid=x", ErrorCode::UnknownTransport),
            ("transport=polling&sid=x", ErrorCode::BadRequest),
        ] {
            let result = route(
                request,
                &Query::parse(Some(query)),
                None,
                &Config::default(),
            );
            assert_eq!(result.unwrap_err().code, code);
        }
    }

    #[test]
    fn a_disabled_transport_is_unknown() {
        let config = Config {
            transports: Transports::WEBSOCKET,
            ..Config::default()
        };
        let request = Request {
            method: Method::Get,
            form: Form::Plain,
            origin: Origin::Legal,
        };
        let query = Query::parse(Some("EIO=4&transport=polling"));
        let refusal = route(request, &query, None, &config).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::UnknownTransport);
    }
}
