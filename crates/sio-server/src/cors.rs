//! The `Access-Control-*` headers.

use http::{HeaderMap, HeaderValue, Method, header};

use crate::config::Cors;

impl Cors {
    /// Whether this request is a preflight, to be answered with 204 and nothing else.
    pub(crate) fn is_preflight(&self, method: &Method) -> bool {
        method == Method::OPTIONS && *self != Self::SameOrigin
    }

    /// Adds what a page of `origin` has to see.
    pub(crate) fn apply(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        match self {
            Self::SameOrigin => {}
            Self::Any => {
                let any = HeaderValue::from_static("*");
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
            }
            Self::Origins(allowed) => {
                answer.insert(header::VARY, HeaderValue::from_static("Origin"));
                let known = origin.filter(|origin| {
                    allowed
                        .iter()
                        .any(|allowed| allowed.as_bytes() == origin.as_bytes())
                });
                if let Some(origin) = known {
                    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                    let yes = HeaderValue::from_static("true");
                    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
                }
            }
        }
    }

    /// Adds what the answer to a preflight says beyond that.
    pub(crate) fn apply_preflight(&self, asked: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let methods = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(asked) = asked {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
    }
}
