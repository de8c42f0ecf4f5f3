//! Pages that the server itself answers with, from memory: a first try needs no web framework.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::service::Fallback;

/// What is answered at which path.
#[derive(Default)]
pub(crate) struct Pages(BTreeMap<String, Bytes>);

impl Pages {
    pub(crate) fn insert(&mut self, path: String, content: Bytes) {
        self.0.insert(path, content);
    }

    /// These pages first, then whatever else there is.
    pub(crate) fn before(self, fallback: Option<Fallback>) -> Option<Fallback> {
        if self.0.is_empty() {
            return fallback;
        }
        let pages = Arc::new(self.0);
        Some(Box::new(move |request: Request<()>| {
            let path = request.uri().path();
            let asks = matches!(*request.method(), Method::GET | Method::HEAD);
            if let Some(content) = pages.get(path).filter(|_| asks) {
                let mut response = Response::new(content.clone());
                let kind = HeaderValue::from_static(kind(path));
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                return Box::pin(async { response });
            }
            match &fallback {
                Some(fallback) => fallback(request),
                None => Box::pin(async {
                    let mut missing = Response::new(Bytes::new());
                    *missing.status_mut() = StatusCode::NOT_FOUND;
                    missing
                }),
            }
        }))
    }
}

/// What is at a path, by its ending.
fn kind(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "text/html; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_comes_before_the_fallback_and_is_not_posted_to() {
        let mut pages = Pages::default();
        pages.insert("/".into(), "page".into());
        pages.insert("/a/b.js".into(), "script".into());
        let fallback: Fallback = Box::new(|_| Box::pin(async { Response::new("other".into()) }));
        let answers = pages.before(Some(fallback)).expect("there are pages");
        let ask = |method: Method, path: &str| {
            let request = Request::builder().method(method).uri(path).body(());
            answers(request.expect("a request"))
        };

        let page = ask(Method::GET, "/").await;
        assert_eq!(page.body(), "page");
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        let script = ask(Method::GET, "/a/b.js?v=1").await;
        assert_eq!(script.body(), "script");
        assert_eq!(
            script.headers()["content-type"],
            "text/javascript; charset=utf-8"
        );
        assert_eq!(ask(Method::POST, "/").await.body(), "other");
        assert_eq!(ask(Method::GET, "/a").await.body(), "other");
    }
}
