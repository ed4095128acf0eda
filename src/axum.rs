//! Conversions for handlers of axum (feature `axum`).

use std::convert::Infallible;

use axum_core::{
    body::Body,
    extract::OptionalFromRequestParts,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::request::Parts;

use crate::{
    answer::{Events, Reply},
    body::source::Source,
    error::BoxError,
    negotiate::{last_event_id::LastEventId, refusal::Refusal},
};

/// A response with the stream's own settings and the defaults. See [`docs::axum`](crate::docs::axum).
impl<S> IntoResponse for Events<S>
where
    S: Source + Send + 'static,
{
    fn into_response(self) -> Response {
        Response::from(self).map(Body::new)
    }
}

/// The events as a response, or the response itself. See [`docs::axum`](crate::docs::axum).
impl<S, B> IntoResponse for Reply<S, B>
where
    S: Source + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    fn into_response(self) -> Response {
        match self {
            Self::Events(events) => events.into_response(),
            Self::Response(response) => response.map(Body::new),
        }
    }
}

/// The response to a GET request, or to the method of [`Refusal::for_method`], since the response of a handler does not know its
/// request. A layer around the handler adapts it to the method of the request, and reports it to its observers.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        Response::from(self).map(Body::from)
    }
}

/// Extracts `Option<LastEventId>`. There is no extractor without the `Option`: the first request of each client has no id.
impl<S: Sync> OptionalFromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(&*parts))
    }
}
