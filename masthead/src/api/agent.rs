//! The routes of `masthead agent`: this machine's metrics as exporters serve them, and a page that says where they are.

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
<li><a href=\"/metrics\">/metrics</a>, also <a href=\"/metrics/node\">/metrics/node</a>: the host, with node_exporter's names</li>\n\
<li><a href=\"/metrics/containers\">/metrics/containers</a>: the containers, with cAdvisor's names</li>\n</ul>\n</body></html>\n";

/// All routes, behind the same guards as those of `up`.
pub fn router(api: Arc<AgentApi>, access: Access) -> Router {
    let routes = Router::new()
        .route("/", get(page))
        // Scrape configurations for node_exporter expect the host here.
        .route("/metrics", get(node))
        .route("/metrics/node", get(node))
        .route("/metrics/containers", get(containers))
        .route("/-/healthy", get(|| async { "Masthead agent is Healthy.\n" }))
        .route("/-/ready", get(|| async { "Masthead agent is Ready.\n" }))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method);
    guarded(routes, access).with_state(api)
}

async fn page() -> Response<Body> {
    let mut response = Response::new(Body::from(PAGE));
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
