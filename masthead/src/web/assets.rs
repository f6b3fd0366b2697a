//! The page, embedded into the binary by `build.rs`: `ui/dist` where it was built, else one page that says it was left out.
//!
//! Files whose names carry a hash of their content may be kept for ever; `index.html` is asked for again each time.
//! The build also made `.gz` files beside the large ones; they go out as they are to clients that take gzip.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, Response, header};
use axum::response::IntoResponse;
use rust_embed::RustEmbed;

use crate::api::error::{ApiError, ErrorType, not_modified};

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/page"]
struct Files;

/// What the file names' ends mean; a row is added when the build makes a new kind of file.
const TYPES: [(&str, &str); 9] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("json", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("woff2", "font/woff2"),
];

/// Answers every path that is not the API's: a file, or the page itself for the page's own routes (`/explore`).
pub(crate) async fn serve(request: Request) -> Response<Body> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let text = format!("{} is not allowed on {}", request.method(), request.uri().path());
        return ApiError::new(ErrorType::MethodNotAllowed, text).into_response();
    }
    let path = request.uri().path().trim_start_matches('/');
    let is_file = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    match file(path, request.headers()) {
        Some(response) => response,
        None if is_file => {
            ApiError::new(ErrorType::NotFound, format!("there is no page or file /{path}")).into_response()
        }
        None => file("index.html", request.headers()).unwrap_or_else(|| {
            ApiError::new(ErrorType::NotFound, "the page is not part of this build").into_response()
        }),
    }
}

fn file(path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let plain = Files::get(path)?;
    let hash = plain
        .metadata
        .sha256_hash()
        .iter()
        .take(12)
        .map(|b| format!("{b:02x}"))
        .collect::<String>();
    let etag = format!("\"{hash}\"");
    let asked = |name| {
        headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok())
            .unwrap_or("")
    };
    if asked(header::IF_NONE_MATCH).contains(&etag) {
        return Some(not_modified());
    }
    let packed = asked(header::ACCEPT_ENCODING)
        .contains("gzip")
        .then(|| Files::get(&format!("{path}.gz")))
        .flatten();
    let mut out = HeaderMap::new();
    if packed.is_some() {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let end = path.rsplit('.').next().unwrap_or("");
    let kind = TYPES
        .iter()
        .find(|(e, _)| *e == end)
        .map_or("application/octet-stream", |(_, kind)| kind);
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    out.insert(header::ETAG, HeaderValue::from_str(&etag).ok()?);
    let keep = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    let mut response = Response::new(Body::from(packed.unwrap_or(plain).data.into_owned()));
    *response.headers_mut() = out;
    Some(response)
}
