//! Responses from [`Events`] without a layer.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Response;

use super::{
    body::{BodyKind, SseBody},
    event_service::{AnswerFuture, EventResult, ServiceSource, sealed},
};
use crate::{
    answer::Events,
    body::{attach::StreamMarker, never::Never, running::Running, source::Source, state::State},
    negotiate::headers,
    streams::{attached::ClientProfile, control::StreamControl},
};

/// The [`AnswerFuture`] of a stream that no event service answered. It has no values: only its associated types are used.
#[derive(Debug)]
pub struct Standalone<S>(Never, PhantomData<S>);

impl<S> sealed::Sealed for Standalone<S> {}

impl<S: Source> AnswerFuture for Standalone<S> {
    type Source = S;
    type Body = Never;

    fn poll_answer(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<EventResult<Self>> {
        match self.0 {}
    }
}

/// Converts events into a complete response, for handlers and frameworks that take nothing else.
///
/// A layer around the handler adds its settings, below the stream's own, and its limits, checks and observers. Without a layer
/// the defaults apply.
impl<S: Source> From<Events<S>> for Response<SseBody<Standalone<S>, Never>> {
    fn from(events: Events<S>) -> Self {
        let (source, settings, headers) = events.into_parts();
        let control = Arc::new(StreamControl::new());
        let mut response = headers::stream_head(headers);
        response.extensions_mut().insert(StreamMarker::of(&control, None));
        let state = State::new(Arc::new(settings), control, ClientProfile::default());
        let running = Box::pin(Running::new(ServiceSource::Events { source }, state));
        response.map(|()| SseBody::new(BodyKind::Events { running }))
    }
}
