//! The routes of `masthead agent`: this machine's metrics as exporters serve them, and a page that says where they are.
//!
//! [`Shown`] decides whose place the agent takes: that of node_exporter or that of cAdvisor, whose `/metrics` scrape
//! configurations expect.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, header};
use axum::routing::get;

use crate::api::containers::metrics_of;
use crate::api::error::ApiError;
use crate::api::status::{host_text, read_metrics};
use crate::api::{Access, guarded, unknown, wrong_method};
use crate::docker::Containers;

/// What `/metrics` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shown {
    /// The host, as node_exporter's does.
    #[default]
    Host,
    /// The containers, as cAdvisor's does; `/healthz` answers as cAdvisor's does too, without a password.
    Containers,
}

/// What the handlers share.
#[derive(Debug)]
pub struct AgentApi {
    /// Reads the host when it is asked for.
    pub host: Mutex<collect::HostCollector>,
    /// Reads the containers when they are asked for; `None` when the configuration turns them off.
    pub containers: Option<Arc<Containers>>,
}

const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Masthead agent</title></head><body>\n\
<h1>Masthead agent</h1>\n<p>Metrics of this machine, read when they are asked for. Nothing is stored here.</p>\n<ul>\n\
<li><a href=\"/metrics/node\">/metrics/node</a>: the host, with node_exporter's names</li>\n\
<li><a href=\"/metrics/containers\">/metrics/containers</a>: the containers, with cAdvisor's names</li>\n\
<li><a href=\"/metrics\">/metrics</a>: the same as SHOWN</li>\n</ul>\n</body></html>\n";

/// All routes, behind the same guards as those of `up`.
pub fn router(api: Arc<AgentApi>, access: Access, shown: Shown) -> Router {
    let (metrics, place) = match shown {
        Shown::Host => (get(node), "/metrics/node"),
        Shown::Containers => (get(containers), "/metrics/containers"),
    };
    let page = PAGE.replace("SHOWN", place);
    let routes = Router::new()
        .route("/", get(move || async { html(page) }))
        // Scrape configurations for node_exporter and for cAdvisor expect theirs here.
        .route("/metrics", metrics)
        .route("/metrics/node", get(node))
        .route("/metrics/containers", get(containers))
        .route("/-/healthy", get(|| async { "Masthead agent is Healthy.\n" }))
        .route("/-/ready", get(|| async { "Masthead agent is Ready.\n" }))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method);
    let routes = guarded(routes, access).with_state(api);
    match shown {
        Shown::Host => routes,
        // A container's health check has no password; there is nothing to be learned here.
        Shown::Containers => routes.route("/healthz", get(|| async { "ok" })),
    }
}

fn html(page: String) -> Response<Body> {
    let mut response = Response::new(Body::from(page));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}

async fn node(State(api): State<Arc<AgentApi>>) -> Result<Response<Body>, ApiError> {
    read_metrics(move || host_text(&api.host)).await
}

async fn containers(State(api): State<Arc<AgentApi>>) -> Result<Response<Body>, ApiError> {
    metrics_of(api.containers.clone()).await
}
