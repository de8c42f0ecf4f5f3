//! What the server chose, and the answer that says so, RFC 6455 §4.2.2.

use std::io::Write as _;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use crate::accept::AcceptKey;
use crate::deflate::{DeflateAnswer, DeflateParams, DeflatePolicy};
use crate::token::is_token;

/// What a server is ready to agree to. The default agrees to no subprotocol and no extension.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The subprotocols we speak, the one we like best first. What is no token is never chosen.
    pub protocols: Vec<String>,
    /// On which terms we compress; `None` for not at all, because a window costs memory that not
    /// every server wants to spend.
    pub deflate: Option<DeflatePolicy>,
}

/// What a request and a policy have in common.
#[derive(Clone, Copy, Debug)]
pub struct Agreed<'p> {
    accept: Option<AcceptKey>,
    protocol: Option<&'p str>,
    deflate: Option<DeflateAnswer>,
}

impl<'p> Agreed<'p> {
    pub(crate) fn new(
        accept: Option<AcceptKey>,
        protocol: Option<&'p str>,
        deflate: Option<DeflateAnswer>,
    ) -> Self {
        Self {
            accept,
            protocol: protocol.filter(|p| is_token(p)),
            deflate,
        }
    }

    /// The subprotocol, if the client offered one of ours.
    #[inline]
    pub fn protocol(&self) -> Option<&'p str> {
        self.protocol
    }

    /// The terms of permessage-deflate, if it was offered and is welcome.
    #[inline]
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.deflate.map(|answer| answer.params())
    }

    /// Appends the whole answer of HTTP/1.1, the empty line included, with `extra` fields before
    /// it.
    ///
    /// A carriage return, line feed or NUL in an extra value is written as a space (RFC 9110 §5.5),
    /// so that no value can end the head. Fields whose name is not a token are left out.
    pub fn write_response<'h>(
        &self,
        out: &mut Vec<u8>,
        extra: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        );
        if let Some(accept) = &self.accept {
            // What we have made ourselves needs no looking at.
            out.extend_from_slice(b"Sec-WebSocket-Accept: ");
            out.extend_from_slice(accept.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if let Some(protocol) = self.protocol {
            write_field(out, "Sec-WebSocket-Protocol", protocol.as_bytes());
        }
        if let Some(deflate) = &self.deflate {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "Sec-WebSocket-Extensions: {deflate}\r\n");
        }
        for (name, value) in extra {
            if is_token(name) {
                write_field(out, name, value);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The answer in `http` types: 101 for HTTP/1.1, 200 for HTTP/2 (RFC 8441 §5.1).
    pub fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status();
        self.insert_into(response.headers_mut());
        response
    }

    /// Its status.
    #[inline]
    pub fn status(&self) -> StatusCode {
        match self.accept {
            Some(_) => StatusCode::SWITCHING_PROTOCOLS,
            None => StatusCode::OK,
        }
    }

    /// Its fields, for whoever has a map for them already.
    pub fn insert_into(&self, headers: &mut HeaderMap) {
        if let Some(accept) = &self.accept {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, value(accept.as_bytes()));
        }
        if let Some(protocol) = self.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(protocol.as_bytes()));
        }
        if let Some(deflate) = &self.deflate {
            headers.insert(
                header::SEC_WEBSOCKET_EXTENSIONS,
                value(deflate.to_string().as_bytes()),
            );
        }
    }
}

/// One line of a head.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value);
    for byte in &mut out[start..] {
        if matches!(byte, b'\r' | b'\n' | b'\0') {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).expect("because tokens, base64 and the answer are visible ASCII")
}
