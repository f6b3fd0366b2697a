//! `POST /api/v1/write`: remote write v1. The work is `remote_write`'s; here its outcome gets its HTTP shape.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, header};

use crate::api::error::{ApiError, ErrorType, no_content};
use crate::api::{Api, MAX_WRITE_BYTES, read_body};
use crate::remote_write::ReceiveError;

fn header_text(request: &Request, name: &header::HeaderName) -> Option<String> {
    Some(request.headers().get(name)?.to_str().ok()?.to_owned())
}

pub(super) async fn write(State(api): State<Arc<Api>>, request: Request) -> Result<Response<Body>, ApiError> {
    let encoding = header_text(&request, &header::CONTENT_ENCODING);
    let content_type = header_text(&request, &header::CONTENT_TYPE);
    let body = read_body(request, MAX_WRITE_BYTES).await?;
    let receiver = Arc::clone(&api.receiver);
    // Decoding and the log's write are blocking work.
    let received = tokio::task::spawn_blocking(move || {
        receiver.receive(&body, encoding.as_deref(), content_type.as_deref())
    })
    .await
    .map_err(|e| ApiError::new(ErrorType::Internal, format!("the receiver ended early: {e}")))?;
    match received {
        Ok(_) => Ok(no_content()),
        Err(e) => {
            let kind = match &e {
                ReceiveError::BadRequest(_) | ReceiveError::OutOfOrder(_) => ErrorType::BadData,
                ReceiveError::TooLarge(_) => ErrorType::TooLarge,
                ReceiveError::UnsupportedMediaType(_) => ErrorType::UnsupportedMediaType,
                // A 5xx tells the sender to try again.
                ReceiveError::StoreFailed(_) => ErrorType::Unavailable,
            };
            Err(ApiError::new(kind, e.to_string()))
        }
    }
}
