//! What can be wrong with a handshake, and the status that says so.

use http::{HeaderValue, StatusCode, header};

/// Why a request may not become a WebSocket. The client is at fault in every case.
///
/// ```
/// use http::Version;
/// use ws_handshake::Upgrade;
///
/// let headers = [("Host", "a"), ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "8")];
/// let error = Upgrade::check("GET", Version::HTTP_11, &headers).unwrap_err();
/// assert_eq!(error.status(), 426);
/// assert_eq!(error.response().headers()["sec-websocket-version"], "13");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// the request has a body, whose bytes could be taken for frames
    #[error("the request has a body, whose bytes could be taken for frames")]
    Body,

    /// the connection header does not hold the token upgrade
    #[error("the connection header does not hold the token upgrade")]
    Connection,

    /// the sec-websocket-extensions header breaks its grammar
    #[error("the sec-websocket-extensions header breaks its grammar")]
    Extensions,

    /// the host header is missing or stands there twice
    #[error("the host header is missing or stands there twice")]
    Host,

    /// the sec-websocket-key header is not one base64 value of sixteen bytes
    #[error("the sec-websocket-key header is not one base64 value of sixteen bytes")]
    Key,

    /// the method is not the one that opens a websocket in this version of http
    #[error("the method is not the one that opens a websocket in this version of http")]
    Method,

    /// the sec-websocket-protocol header is not a list of different tokens
    #[error("the sec-websocket-protocol header is not a list of different tokens")]
    Protocols,

    /// the :protocol pseudo-header of the extended connect is not websocket
    #[error("the :protocol pseudo-header of the extended connect is not websocket")]
    PseudoProtocol,

    /// the upgrade header does not hold the token websocket
    #[error("the upgrade header does not hold the token websocket")]
    Upgrade,

    /// the sec-websocket-version header is missing or stands there twice
    #[error("the sec-websocket-version header is missing or stands there twice")]
    Version,

    /// the version of http is not the one that this check is for
    #[error("the version of http is not the one that this check is for")]
    VersionOfHttp,

    /// the client speaks another version of websocket than 13
    #[error("the client speaks another version of websocket than 13")]
    VersionUnknown,
}

impl HandshakeError {
    /// The status to refuse with.
    ///
    /// 405 for the method, 426 where another protocol or version would be welcome (RFC 9110
    /// §15.5.22, RFC 6455 §4.4), 501 for an unknown `:protocol` (RFC 9220 §3), 400 for the rest.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::PseudoProtocol => StatusCode::NOT_IMPLEMENTED,
            Self::Upgrade | Self::VersionUnknown => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The header fields that the status asks for, in lower case.
    ///
    /// A slice of pairs, and so itself [`Headers`](crate::Headers).
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("allow", "GET")],
            Self::Upgrade => &[
                ("upgrade", "websocket"),
                ("connection", "upgrade"),
                VERSION_WE_SPEAK,
            ],
            // §4.4: the client learns which version to come back with. RFC 9110 §15.5.22 wants
            // the protocol named in every answer of this status.
            Self::VersionUnknown => &[
                VERSION_WE_SPEAK,
                ("upgrade", "websocket"),
                ("connection", "upgrade"),
            ],
            _ => &[],
        }
    }

    /// The refusal as a whole, for those who answer with `http` types.
    pub fn response(&self) -> http::Response<()> {
        let mut response = http::Response::new(());
        *response.status_mut() = self.status();
        for &(name, value) in self.headers() {
            let name = header::HeaderName::from_static(name);
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

const VERSION_WE_SPEAK: (&str, &str) = ("sec-websocket-version", "13");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_version_names_the_version_we_speak() {
        let response = HandshakeError::VersionUnknown.response();
        assert_eq!(response.status(), 426);
        assert_eq!(response.headers()["sec-websocket-version"], "13");
        assert_eq!(response.headers()["upgrade"], "websocket");
    }

    #[test]
    fn a_refusal_of_the_method_names_the_methods_allowed() {
        let response = HandshakeError::Method.response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &HeaderValue::from_static("GET"))
        );
    }
}
