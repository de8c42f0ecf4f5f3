//! The browser client, served from the npm package's `dist` folder as Node serves it.

use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::debug::{self, DebugMode};

/// What may be asked for below the server's path. Nothing else is ever looked up in the folder.
const NAMES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
];

/// What somebody reads who expects the client here, as with Node.
const NO_FOLDER: &str = "the browser client is not served here: Config::client_files names its folder, `dist` of the \
                         npm package socket.io-client; or take it from a CDN";

/// Whether `name` is one of the client's files.
pub(crate) fn is_client_file(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Answers with a file: 304 if the browser has it, 404 if the folder has not. In debug mode the client
/// shows in the console what failed.
pub(crate) async fn serve(
    folder: Option<&Path>,
    name: &str,
    request: &HeaderMap,
    mode: DebugMode,
) -> Response<Full<Bytes>> {
    let Some(folder) = folder else {
        let mut response = not_found();
        *response.body_mut() = Full::from(NO_FOLDER);
        return response;
    };
    let path = folder.join(name);
    let Ok(Ok(mut content)) = tokio::task::spawn_blocking(move || std::fs::read(path)).await else {
        return not_found();
    };
    // A module has no name that could be reached from behind it.
    if mode.is_on() && name.ends_with(".js") && !name.contains(".esm.") {
        content.extend_from_slice(debug::SCRIPT.as_bytes());
    }
    let tag = tag(&content);
    let mut response = Response::new(Full::default());
    let known = request.get_all(header::IF_NONE_MATCH).iter().any(|tags| {
        tags.to_str().is_ok_and(|tags| {
            tags.split(',').any(|known| {
                let known = known.trim();
                known == "*" || known.trim_start_matches("W/").as_bytes() == tag.as_bytes()
            })
        })
    });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Full::new(content.into());
        let kind = if name.ends_with(".map") {
            "application/json"
        } else {
            "application/javascript"
        };
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=0"),
    );
    headers.insert(header::ETAG, tag);
    response
}

/// A strong validator of the content.
fn tag(content: &[u8]) -> HeaderValue {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    hasher.write(content);
    let text = format!("\"{:x}-{:016x}\"", content.len(), hasher.finish());
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

fn not_found() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
