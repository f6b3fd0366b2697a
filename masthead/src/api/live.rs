//! `GET /api/masthead/v1/live`: readings as server-sent events, one a second, as long as the client stays.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use hyper::body::Frame;

use crate::api::Api;
use crate::api::error::{ApiError, ErrorType};
use crate::api::params::Params;
use crate::live::{ListenError, Listener};

/// Opens the stream.
pub(super) async fn live(api: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    let listener = api.live.listen().map_err(|e| {
        let kind = match e {
            ListenError::TooMany | ListenError::Stopping => ErrorType::Unavailable,
            ListenError::Thread(_) => ErrorType::Internal,
        };
        ApiError::new(kind, e.to_string())
    })?;
    let mut response = Response::new(Body::new(Events::new(listener)));
    for (name, value) in [
        // Compression leaves this type alone: an event shall leave when it is there.
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Tells nginx and its like not to wait for more.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

type Waiting = Pin<Box<dyn Future<Output = (Listener, Option<Arc<str>>)> + Send>>;

/// The body: asks for the next reading when the one before has been taken, so that a slow client skips some.
struct Events {
    waiting: Option<Waiting>,
}

fn wait(mut listener: Listener) -> Waiting {
    Box::pin(async move {
        let reading = listener.next().await;
        (listener, reading)
    })
}

impl Events {
    fn new(listener: Listener) -> Self {
        Self {
            waiting: Some(wait(listener)),
        }
    }
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(waiting) = &mut self.waiting else {
            return Poll::Ready(None);
        };
        let (listener, reading) = ready!(waiting.as_mut().poll(cx));
        let Some(reading) = reading else {
            self.waiting = None;
            return Poll::Ready(None);
        };
        self.waiting = Some(wait(listener));
        // JSON on one line: a line break would end the field.
        let event = format!("event: reading\ndata: {reading}\n\n");
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}
