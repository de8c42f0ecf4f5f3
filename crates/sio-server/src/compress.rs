//! Answers to polls, compressed as the client allows, [RFC 9110
//! §8.4.1](https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1).

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderMap, HeaderValue, header};

/// A body above this is compressed on another thread: it takes a millisecond and more.
const LARGE: usize = 64 << 10;

/// What a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Deflate,
    Gzip,
}

impl Coding {
    /// The best of those that `Accept-Encoding` names (RFC 9110 §12.5.3), gzip before deflate, as
    /// browsers have had trouble with the latter.
    pub(crate) fn accepted(request: &HeaderMap) -> Option<Self> {
        let mut best = None;
        for value in request.get_all(header::ACCEPT_ENCODING) {
            // As browsers begin: there is no better to be found.
            if value.as_bytes().starts_with(b"gzip,") {
                return Some(Self::Gzip);
            }
            for element in value.to_str().unwrap_or("").split(',') {
                let (coding, weight) = element.split_once(';').unwrap_or((element, ""));
                let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
                // `*` and what cannot be read mean nothing: to send it as it is, is always right.
                if !weight.parse().is_ok_and(|weight: f32| weight > 0.0) {
                    continue;
                }
                match coding.trim() {
                    gzip if gzip.eq_ignore_ascii_case("gzip") => return Some(Self::Gzip),
                    deflate if deflate.eq_ignore_ascii_case("deflate") => {
                        best = Some(Self::Deflate)
                    }
                    _ => {}
                }
            }
        }
        best
    }

    /// Compresses a body. `None` if that did not make it shorter.
    pub(crate) async fn encode(self, body: &Bytes) -> Option<Bytes> {
        let encoded = if body.len() > LARGE {
            let body = body.clone();
            let encode = tokio::task::spawn_blocking(move || self.encode_now(&body));
            encode.await.ok()?
        } else {
            self.encode_now(body)
        };
        // Writing to a Vec cannot fail.
        encoded.ok().filter(|encoded| encoded.len() < body.len())
    }

    fn encode_now(self, body: &[u8]) -> io::Result<Bytes> {
        let out = Vec::with_capacity(body.len() / 2);
        // The fastest level: the others win a few per cent and cost several times as much.
        let level = Compression::fast();
        match self {
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, level);
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, level);
                encoder.write_all(body)?;
                encoder.finish()
            }
        }
        .map(Bytes::from)
    }

    /// The value of `Content-Encoding`.
    pub(crate) fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Deflate => "deflate",
            Self::Gzip => "gzip",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_and_gzip_comes_first() {
        for (accepted, coding) in [
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("deflate, gzip;q=0.5", Some(Coding::Gzip)),
            ("GZIP", Some(Coding::Gzip)),
            ("deflate", Some(Coding::Deflate)),
            ("gzip;q=0, deflate", Some(Coding::Deflate)),
            ("gzip; q=0.000", None),
            ("gzip;q=x", None),
            ("gzip;level=9", Some(Coding::Gzip)),
            ("br", None),
            ("*", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(accepted);
            let request = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
            assert_eq!(Coding::accepted(&request), coding, "{accepted}");
        }
        assert_eq!(Coding::accepted(&HeaderMap::new()), None);
    }
}
