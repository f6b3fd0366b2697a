//! The HTTP API: one table of routes, in Prometheus' shapes.
//!
//! A handler takes the shared [`Api`] and the request's [`Params`] and gives a response or an [`ApiError`]; what errors look like
//! on the wire is `error.rs`' business alone. Paths that are not the API's are the web page's.

pub mod agent;
pub mod error;
pub mod json;
pub mod params;
pub mod runner;

mod containers;
mod live;
mod query;
mod series;
mod servers;
mod status;
mod top;
mod write;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, any, get, post};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

use crate::api::error::{ApiError, ErrorType};
use crate::api::params::Params;
use crate::api::runner::Runner;
use crate::app::metrics::Metrics;
use crate::docker::Containers;
use crate::live::Live;
use crate::remote_write::Receiver;
use crate::scrape::Targets;
use crate::servers::States;
use crate::web::assets;
use crate::web::hosts::Hosts;
use crate::web_config::WebConfig;

/// A query form larger than this is refused.
const MAX_FORM_BYTES: usize = 1 << 20;
/// A compressed remote-write body larger than this is refused; senders use some 100 kB.
const MAX_WRITE_BYTES: usize = 32 << 20;
/// A body that has not arrived by then is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The rest of a body that is refused is read for so long at most.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Room made for a body at once, whatever its length is said to be.
const FIRST_BYTES: usize = 1 << 20;

/// What the handlers share.
#[derive(Debug)]
pub struct Api {
    /// The store.
    pub db: Arc<tsdb::Db>,
    /// Runs queries.
    pub runner: Runner,
    /// What is scraped and collected, with its state.
    pub targets: Arc<Targets>,
    /// Takes remote write.
    pub receiver: Arc<Receiver>,
    /// Masthead's own metrics.
    pub metrics: Arc<Metrics>,
    /// For `/metrics/node`: a collector of its own, so that a reader never disturbs the tick.
    pub host: Mutex<collect::HostCollector>,
    /// Readings for live pages.
    pub live: Arc<Live>,
    /// The containers; `None` when the configuration turns them off.
    pub containers: Option<Arc<Containers>>,
    /// The registered servers, with their state.
    pub servers: Arc<States>,
    /// What the status pages say.
    pub about: About,
}

/// Facts that do not change while the process runs.
#[derive(Debug, Clone)]
pub struct About {
    /// When the process started.
    pub start_ms: i64,
    /// The name of this machine.
    pub hostname: String,
    /// The configuration in force, secrets hidden.
    pub config_yaml: String,
    /// Flags by name with their values.
    pub flags: Vec<(String, String)>,
    /// Retention in words, as `15d or 5GiB`.
    pub retention: String,
    /// The working directory.
    pub cwd: String,
    /// Distance of the local ticks.
    pub interval_ms: i64,
    /// Damaged files that the start went around.
    pub damaged_files: usize,
}

type Shared = State<Arc<Api>>;
type Answer = Result<Response<Body>, ApiError>;

/// A route that reads: GET, HEAD, and POST with a form.
fn read<F, Fut>(handler: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Arc<Api>, Params) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let posted = handler.clone();
    get(move |State(api): Shared, request: Request| async move {
        handler(api, Params::new(request.uri().query(), None)).await
    })
    .post(move |State(api): Shared, request: Request| async move {
        let query = request.uri().query().map(str::to_owned);
        let kind = request.headers().get(header::CONTENT_TYPE).cloned();
        let body = read_body(request, MAX_FORM_BYTES).await?;
        check_form(kind.as_ref(), &body)?;
        posted(api, Params::new(query.as_deref(), Some(&body))).await
    })
}

/// A route that upstream has for GET alone.
fn look<F, Fut>(handler: F) -> MethodRouter<Arc<Api>>
where
    F: Fn(Arc<Api>, Params) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    get(move |State(api): Shared, request: Request| async move {
        handler(api, Params::new(request.uri().query(), None)).await
    })
}

/// All routes, with authentication, the cross-site guard, compression and our own counters around them.
pub fn router(api: Arc<Api>, access: Access) -> Router {
    let counted = Arc::clone(&api.metrics);
    let routes = Router::new()
        .route("/api/v1/query", read(query::instant))
        .route("/api/v1/query_range", read(query::range))
        .route("/api/v1/query_exemplars", read(query::exemplars))
        .route("/api/v1/format_query", read(query::format))
        .route("/api/v1/series", read(series::series))
        .route("/api/v1/labels", read(series::names))
        .route("/api/v1/label/{name}/values", get(label_values))
        .route("/api/v1/metadata", look(status::metadata))
        .route("/api/v1/targets", look(status::targets))
        .route("/api/v1/targets/metadata", look(status::targets_metadata))
        .route("/api/v1/rules", look(status::rules))
        .route("/api/v1/alerts", look(status::alerts))
        .route("/api/v1/alertmanagers", look(status::alertmanagers))
        .route("/api/v1/status/buildinfo", look(status::buildinfo))
        .route("/api/v1/status/runtimeinfo", look(status::runtimeinfo))
        .route("/api/v1/status/flags", look(status::flags))
        .route("/api/v1/status/config", look(status::config))
        .route("/api/v1/status/tsdb", look(status::tsdb))
        .route("/api/v1/status/walreplay", look(status::walreplay))
        .route("/api/v1/notifications", look(status::notifications))
        .route(
            "/api/v1/write",
            post(write::write).layer(middleware::from_fn(same_site)),
        )
        .route("/api/masthead/v1/live", look(live::live))
        .route("/api/masthead/v1/top", look(top::top))
        .route("/api/masthead/v1/containers", look(containers::containers))
        .route("/api/masthead/v1/servers", look(servers::servers))
        .route("/api/masthead/v1/events", look(containers::events))
        .route("/-/healthy", get(|| async { "Masthead is Healthy.\n" }))
        .route("/-/ready", get(|| async { "Masthead is Ready.\n" }))
        .route("/metrics", get(status::own_metrics))
        .route("/metrics/node", get(status::node_metrics))
        .route("/metrics/containers", get(containers::metrics))
        // Not the page: whoever asks for these is a program, and a page with code 200 would mislead it.
        .route("/api", any(unknown))
        .route("/api/{*rest}", any(unknown))
        .route("/-/{*rest}", any(unknown))
        .route("/metrics/{*rest}", any(unknown))
        .route("/federate", any(unknown))
        .fallback(assets::serve)
        .method_not_allowed_fallback(wrong_method);
    guarded(routes, access)
        .layer(middleware::from_fn_with_state(counted, count))
        .with_state(api)
}

/// Who may ask a listener, and by which names.
#[derive(Debug, Clone)]
pub struct Access {
    /// Users and the headers of every answer.
    pub web_config: Option<Arc<WebConfig>>,
    /// Names that are answered to.
    pub hosts: Hosts,
}

impl Access {
    /// Names are looked at only where neither a password nor something in front of us keeps other sites' pages out.
    #[must_use]
    pub fn new(
        web_config: Option<Arc<WebConfig>>,
        insecure: bool,
        hostname: &str,
        allowed: &[String],
    ) -> Self {
        let guarded = insecure || web_config.as_ref().is_some_and(|web| web.has_users());
        let hosts = if guarded {
            Hosts::Any
        } else {
            Hosts::of(hostname, allowed)
        };
        Self { web_config, hosts }
    }
}

/// Routes behind what every listener of ours has: names it answers to, a password where there are users, fixed headers,
/// compression.
fn guarded<S: Clone + Send + Sync + 'static>(routes: Router<S>, access: Access) -> Router<S> {
    routes
        .layer(CompressionLayer::new().gzip(true))
        .layer(middleware::from_fn(headers))
        .layer(middleware::from_fn_with_state(
            Gate::new(access.web_config),
            authenticate,
        ))
        .layer(middleware::from_fn_with_state(Arc::new(access.hosts), own_name))
}

/// Refuses what was asked under a name that is not ours.
async fn own_name(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response<Body> {
    let header = request.headers().get(header::HOST);
    let host = match header.map(HeaderValue::to_str) {
        Some(Ok(host)) => Some(host),
        // No name of ours has other characters than these.
        Some(Err(_)) => Some("?"),
        None => request.uri().authority().map(axum::http::uri::Authority::as_str),
    };
    if hosts.allow(host) {
        return next.run(request).await;
    }
    let text = format!(
        "this server was asked for as {:?}, which is no name of this machine; so that pages of other sites cannot read it, \
         it answers without a password only to addresses, localhost and its own name. If this name is yours (a reverse proxy), \
         start it with --allow-host NAME, or give --web-config with basic_auth_users",
        host.unwrap_or_default()
    );
    ApiError::new(ErrorType::Forbidden, text).into_response()
}

async fn label_values(
    State(api): Shared,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let Path(name) = path.map_err(|e| {
        ApiError::new(
            ErrorType::BadData,
            format!("invalid label name in the path: {}", e.body_text()),
        )
    })?;
    series::values(api, name, Params::new(request.uri().query(), None)).await
}

async fn unknown(request: Request) -> ApiError {
    let path = request.uri().path();
    ApiError::new(
        ErrorType::NotFound,
        format!(
            "there is no {path}; the API's paths are Prometheus' under /api/v1/, and Masthead's own under /api/masthead/v1/"
        ),
    )
}

async fn wrong_method(request: Request) -> ApiError {
    let text = format!("{} is not allowed on {}", request.method(), request.uri().path());
    ApiError::new(ErrorType::MethodNotAllowed, text)
}

/// Refuses a body that is not a form: to read it as one would find no parameters and blame the query.
fn check_form(kind: Option<&HeaderValue>, body: &[u8]) -> Result<(), ApiError> {
    let Some(kind) = kind.filter(|_| !body.is_empty()) else {
        return Ok(());
    };
    let kind = String::from_utf8_lossy(kind.as_bytes());
    let word = kind.split(';').next().unwrap_or("").trim();
    if word.is_empty() || word.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorType::UnsupportedMediaType,
        format!(
            "a body of type {word} is not read here; send the parameters as application/x-www-form-urlencoded"
        ),
    ))
}

/// The whole body, up to a limit of bytes and of time.
async fn read_body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let headers = request.headers();
    let said = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    let waits = headers.contains_key(header::EXPECT);
    let mut body = request.into_body();
    let collected = if said > limit {
        Ok(None)
    } else {
        tokio::time::timeout(BODY_TIMEOUT, collect(&mut body, said, limit))
            .await
            .map_err(|_| {
                let text = format!(
                    "the request body did not arrive within {} s",
                    BODY_TIMEOUT.as_secs()
                );
                ApiError::new(ErrorType::Timeout, text)
            })?
    };
    match collected {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => {
            // A client that asked first sends nothing; any other reads the answer only once its body is gone.
            if !waits {
                drain(&mut body, limit.saturating_mul(8)).await;
            }
            let text = format!("the request body is larger than {limit} bytes; send less in one request");
            Err(ApiError::new(ErrorType::TooLarge, text))
        }
        Err(e) => Err(ApiError::new(
            ErrorType::BadData,
            format!("reading the request body: {e}"),
        )),
    }
}

/// The frames of a body as one piece; `None` when they are more than the limit.
async fn collect(body: &mut Body, said: usize, limit: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut taken = Vec::with_capacity(said.min(FIRST_BYTES));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if taken.len().saturating_add(data.len()) > limit {
            return Ok(None);
        }
        taken.extend_from_slice(&data);
    }
    Ok(Some(taken.into()))
}

/// Takes what is still coming and throws it away, within limits; who sends more is cut off.
async fn drain(body: &mut Body, most: usize) {
    let mut left = most;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    // Over time or not: the answer is the same.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, reading).await;
}

/// Answers with a JSON text.
fn json_response(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Refuses what a browser sends on behalf of another site, on routes that change something.
async fn same_site(request: Request, next: Next) -> Response<Body> {
    if request.method() != Method::GET && is_cross_site(request.headers()) {
        let text = "a page of another site sent this request and it would change data; it was refused. \
                    Programs that write should not send an Origin header of another host";
        return ApiError::new(ErrorType::Forbidden, text).into_response();
    }
    next.run(request).await
}

fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    if matches!(
        text(header::HeaderName::from_static("sec-fetch-site")),
        Some("cross-site" | "same-site")
    ) {
        return true;
    }
    let Some(origin) = text(header::ORIGIN) else {
        return false;
    };
    let origin_host = origin.split_once("://").map_or(origin, |(_, host)| host);
    text(header::HOST).is_none_or(|host| !origin_host.eq_ignore_ascii_case(host))
}

/// Headers of every answer: what the page may load, and that nobody may frame or sniff it.
async fn headers(request: Request, next: Next) -> Response<Body> {
    const FIXED: [(&str, &str); 4] = [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in FIXED {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Who may enter, and one place at the lock: passwords are tried one at a time, so that whoever tries many takes the blocking
/// threads from nobody's queries.
#[derive(Debug, Clone)]
struct Gate {
    web: Option<Arc<WebConfig>>,
    trying: Arc<Semaphore>,
}

impl Gate {
    fn new(web: Option<Arc<WebConfig>>) -> Self {
        Self {
            web,
            trying: Arc::new(Semaphore::new(1)),
        }
    }
}

/// Asks for a password where the web configuration has users, and adds the headers it wants on every answer.
async fn authenticate(State(gate): State<Gate>, request: Request, next: Next) -> Response<Body> {
    let Some(web) = &gate.web else {
        return next.run(request).await;
    };
    let header = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned);
    let mut response = if !web.has_users() || authorized(web, &gate.trying, header).await {
        next.run(request).await
    } else {
        error::unauthorized()
    };
    for (name, value) in web.headers() {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

async fn authorized(web: &Arc<WebConfig>, trying: &Semaphore, header: Option<String>) -> bool {
    if let Some(known) = web.remembered(header.as_deref()) {
        return known;
    }
    let Ok(_place) = trying.acquire().await else {
        return false;
    };
    let web = Arc::clone(web);
    // bcrypt takes tens of milliseconds by design: not on the threads that serve everybody.
    tokio::task::spawn_blocking(move || web.authorized(header.as_deref()))
        .await
        .unwrap_or(false)
}

/// Counts requests by route and code.
async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response<Body> {
    let route = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or_else(|| "page".to_owned(), |path| path.as_str().to_owned());
    let started = crate::clock::instant();
    let response = next.run(request).await;
    metrics.request(&route, error::code_label(&response), started.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&'static str, &str)], want: bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        assert_eq!(is_cross_site(&headers), want, "{pairs:?}");
    }

    #[test]
    fn requests_of_other_sites_are_known() {
        check(&[("host", "localhost:9090")], false);
        check(
            &[("host", "localhost:9090"), ("origin", "http://localhost:9090")],
            false,
        );
        check(
            &[("host", "localhost:9090"), ("origin", "http://evil.example")],
            true,
        );
        check(
            &[("host", "localhost:9090"), ("origin", "http://localhost:8080")],
            true,
        );
        check(&[("host", "a"), ("origin", "null")], true);
        check(&[("host", "a"), ("sec-fetch-site", "cross-site")], true);
        check(&[("host", "a"), ("sec-fetch-site", "same-origin")], false);
    }
}
