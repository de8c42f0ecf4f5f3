//! The head of a request, as hyper has read it: what of it matters to a request of ours.

use eio_transport::Form;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use hyper::ext::Protocol;

use crate::{
    answering::{Answer, status},
    counters::Limit,
    polling,
};

/// The longest target of a request, in bytes.
pub(crate) const MAX_TARGET: usize = 8 << 10;
/// The most header fields of a request, and the most bytes of their names and values together.
const MAX_FIELDS: usize = 64;
const MAX_FIELD_BYTES: usize = 16 << 10;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which of the fields that matter to a request of ours are there at all: most are not, and to look for
/// each of them costs more than to look at all that came, once.
#[derive(Default)]
pub(crate) struct Present {
    /// `Accept-Encoding`.
    pub(crate) coding: bool,
    /// `Content-Encoding`.
    pub(crate) encoded: bool,
    /// Whether `Content-Type`, the first of them, is that of bytes.
    pub(crate) octets: Option<bool>,
    /// `Origin` or `Sec-Fetch-Site`, which the check of the page is about.
    pub(crate) page: bool,
    pub(crate) upgrade: bool,
    /// The names and values of all fields.
    bytes: usize,
}

impl Present {
    pub(crate) fn among(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        for (name, value) in headers {
            present.bytes += name.as_str().len() + value.len();
            match *name {
                header::ACCEPT_ENCODING => present.coding = true,
                header::CONTENT_ENCODING => present.encoded = true,
                header::CONTENT_TYPE => {
                    present
                        .octets
                        .get_or_insert_with(|| polling::is_octets(value));
                }
                header::ORIGIN => present.page = true,
                header::UPGRADE => present.upgrade = true,
                _ => present.page |= *name == SEC_FETCH_SITE,
            }
        }
        present
    }
}

/// The answer to a request whose head is more than anybody needs, on whichever road it came.
pub(crate) fn over_limit(parts: &Parts, present: &Present) -> Option<(Limit, Answer)> {
    let target = parts.uri.path_and_query();
    let target = target.map_or(0, |target| target.as_str().len());
    let bytes = present.bytes;
    let (limit, over) = if target > MAX_TARGET {
        (Limit::Target, StatusCode::URI_TOO_LONG)
    } else if parts.headers.len() > MAX_FIELDS || bytes > MAX_FIELD_BYTES {
        (Limit::Head, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else {
        return None;
    };
    let mut answer = status(over);
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    Some((limit, answer))
}

/// Whether a request asks to leave HTTP.
pub(crate) fn form(parts: &Parts) -> Form {
    if is_extended_connect(parts) {
        return Form::Upgrade;
    }
    match parts.headers.contains_key(header::UPGRADE) {
        true => form_with_upgrade(&parts.headers),
        false => Form::Plain,
    }
}

/// The same for a request in which there is `Upgrade`.
pub(crate) fn form_with_upgrade(headers: &HeaderMap) -> Form {
    let is_upgrade = |token: &[u8]| token.eq_ignore_ascii_case(b"upgrade");
    let mut connection = headers.get_all(header::CONNECTION).iter();
    let asks = connection.any(|value| {
        let mut tokens = value.as_bytes().split(|byte| *byte == b',');
        // Nearly always it stands alone.
        is_upgrade(value.as_bytes()) || tokens.any(|token| is_upgrade(token.trim_ascii()))
    });
    if asks { Form::Upgrade } else { Form::Plain }
}

/// Whether this is what HTTP/2 has for an Upgrade request, RFC 8441 §4.
pub(crate) fn is_extended_connect(parts: &Parts) -> bool {
    parts.method == Method::CONNECT && parts.extensions.get::<Protocol>().is_some()
}
