//! axum handlers answer events, and see where the client left off (feature `axum`).
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, extract::State, routing::get};
//! use tower_sse::{Event, Events, LastEventId, Source, SseLayer};
//!
//! async fn prices(State(step): State<u32>, last: Option<LastEventId>) -> Events<impl Source> {
//!     let mut price = last.and_then(|last| last.to_str()?.parse().ok()).unwrap_or(100);
//!     Events::every(Duration::from_secs(1), move || {
//!         price += step;
//!         async move { Event::new(price.to_string()).with_id(u64::from(price)) }
//!     })
//! }
//!
//! // The layer gives the handlers' streams what it has; without it they have the defaults.
//! let app: Router = Router::new()
//!     .route("/prices", get(prices))
//!     .layer(SseLayer::decorate().heartbeat(Duration::from_secs(10)))
//!     .with_state(5);
//! ```
//!
//! A handler can be an event service too: `SseLayer::new(handler.with_state(state))`.
//!
//! A [`Refusal`] of a handler is answered by the layer around it as the method of the request asks, and its observers get the
//! refusal with its source; see [`refusal`](crate::refusal).

use std::convert::Infallible;

use axum_core::{
    body::Body,
    extract::OptionalFromRequestParts,
    response::{IntoResponse, Response},
};
use http::request::Parts;

use crate::{
    answer::Events,
    body::source::Source,
    negotiate::{last_event_id::LastEventId, refusal::Refusal},
};

impl<S> IntoResponse for Events<S>
where
    S: Source + Send + 'static,
{
    fn into_response(self) -> Response {
        Response::from(self).map(Body::new)
    }
}

/// The answer to a GET request, or to the method of [`Refusal::for_method`], since a handler's answer does not know its request.
/// A layer around the handler makes it the answer to the method of the request, and reports it to its observers.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        Response::from(self).map(Body::from)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(&*parts))
    }
}
