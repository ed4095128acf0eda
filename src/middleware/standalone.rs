//! Events as a whole response, for those who take nothing else.

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
    streams::{attached::Client, control::StreamControl},
};

/// The answer of no service: a stream that was made without one.
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

/// A whole response, for handlers and frameworks that take nothing else. A layer outside that meets it gives it what the
/// layer has, below the stream's own settings; without one the defaults hold.
impl<S: Source> From<Events<S>> for Response<SseBody<Standalone<S>, Never>> {
    fn from(events: Events<S>) -> Self {
        let (source, settings, headers) = events.into_parts();
        let record = Arc::new(StreamControl::new());
        let mut response = headers::stream_head(headers);
        response.extensions_mut().insert(StreamMarker::of(&record, None));
        let state = State::new(Arc::new(settings), record, Client::default());
        let running = Box::pin(Running::new(ServiceSource::Events { source }, state));
        response.map(|()| SseBody::new(BodyKind::Events { running }))
    }
}
