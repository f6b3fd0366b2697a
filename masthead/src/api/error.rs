//! The one place that turns errors into HTTP: status codes exist here alone.
//!
//! Prometheus' API answers `{"status":"error","errorType":"...","error":"..."}` with a code that depends on the type;
//! clients (Grafana among them) read all three, so types, codes and wording are upstream's.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use model::{CancelReason, QueryError};
use promql::engine::EvalError;

/// Upstream's error types, with the code each is sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// The request is wrong: 400.
    BadData,
    /// The query is well formed and cannot be evaluated: 422.
    Execution,
    /// The client went away: 499.
    Canceled,
    /// The query took longer than it may: 503.
    Timeout,
    /// Our fault: 500.
    Internal,
    /// Not ready yet or going down: 503.
    Unavailable,
    /// No such thing: 404.
    NotFound,
    /// Method not allowed on this path: 405.
    MethodNotAllowed,
    /// The body is larger than allowed: 413.
    TooLarge,
    /// The body's type is not understood: 415.
    UnsupportedMediaType,
    /// Refused: a cross-site request that would change something: 403.
    Forbidden,
}

impl ErrorType {
    fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadData => (StatusCode::BAD_REQUEST, "bad_data"),
            Self::Execution => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            // 499 is nginx' "client closed request", which upstream uses too.
            Self::Canceled => (
                StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
                "canceled",
            ),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "bad_data"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "bad_data"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_data"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        }
    }
}

/// An error on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Decides the code.
    pub kind: ErrorType,
    /// What was attempted, why it failed, what to do.
    pub message: String,
}

impl ApiError {
    /// An error of a kind.
    #[must_use]
    pub fn new(kind: ErrorType, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// `invalid parameter "step": ...`, as upstream words it.
    #[must_use]
    pub fn parameter(name: &str, message: impl std::fmt::Display) -> Self {
        Self::new(
            ErrorType::BadData,
            format!("invalid parameter \"{name}\": {message}"),
        )
    }
}

impl From<EvalError> for ApiError {
    fn from(error: EvalError) -> Self {
        let kind = match &error {
            EvalError::Execution { .. } | EvalError::Unsupported { .. } | EvalError::Limit(_) => {
                ErrorType::Execution
            }
            EvalError::Cancelled(reason) => return cancelled(*reason),
            EvalError::Storage(storage) => return storage.clone().into(),
        };
        Self::new(kind, error.to_string())
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Storage { .. } => Self::new(ErrorType::Internal, error.to_string()),
            QueryError::Limit(_) => Self::new(ErrorType::Execution, error.to_string()),
            QueryError::Cancelled(reason) => cancelled(*reason),
        }
    }
}

fn cancelled(reason: CancelReason) -> ApiError {
    match reason {
        CancelReason::HungUp => {
            ApiError::new(ErrorType::Canceled, "query was canceled in expression evaluation")
        }
        CancelReason::TimedOut => ApiError::new(
            ErrorType::Timeout,
            "query timed out in expression evaluation; ask for a shorter range or a larger step, or raise --query-timeout",
        ),
        CancelReason::Shutdown => ApiError::new(ErrorType::Unavailable, "the server is shutting down"),
    }
}

impl axum::response::IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let (code, word) = self.kind.parts();
        let body =
            serde_json::json!({ "status": "error", "errorType": word, "error": self.message }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = code;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// An answer without a body: remote write's 204.
#[must_use]
pub fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// 304: the browser's copy of an asset is current.
#[must_use]
pub fn not_modified() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// 401 with the challenge that makes browsers ask for a password.
#[must_use]
pub fn unauthorized() -> Response<Body> {
    let mut response = Response::new(Body::from("Unauthorized\n"));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"masthead\""),
    );
    response
}

/// The code of a response as a label value.
#[must_use]
pub fn code_label(response: &Response<Body>) -> u16 {
    response.status().as_u16()
}
