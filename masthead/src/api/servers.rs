//! Masthead's own API about the registered servers: how each is, and since when.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use serde_json::{Value, json};

use crate::api::Api;
use crate::api::containers::seconds;
use crate::api::error::ApiError;
use crate::api::params::Params;
use crate::api::status::success;
use crate::servers::{Kind, State};

/// `GET /api/masthead/v1/servers`
pub(super) async fn servers(api: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    let rows: Vec<Value> = api
        .servers
        .snapshot()
        .into_iter()
        .map(|server| {
            let (state, reason) = match server.state {
                State::Connecting => ("connecting", Value::Null),
                State::Up => ("up", Value::Null),
                State::Down(reason) => ("down", reason.into()),
            };
            json!({
                "name": server.name,
                "address": server.address,
                "runtime": server.kind.map(Kind::as_str),
                "state": state,
                "reason": reason,
                "since": seconds(server.since_ms),
            })
        })
        .collect();
    Ok(success(&json!({ "servers": rows })))
}
