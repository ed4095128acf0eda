//! Events as a whole response, for those who take nothing else.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Response;

use super::{
    body::{Kind, SseBody},
    event_service::{Answer, EventFuture, FromService, sealed},
};
use crate::{
    answer::Events,
    body::{attach::Mark, never::Never, running::Running, source::Source, state::State},
    negotiate::head as headers,
    streams::{attached::Client, control::Record},
};

/// The answer of no service: a stream that was made without one.
#[derive(Debug)]
pub struct Answered<S>(Never, PhantomData<S>);

impl<S> sealed::Sealed for Answered<S> {}

impl<S: Source> EventFuture for Answered<S> {
    type Source = S;
    type Body = Never;

    fn poll_answer(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer<Self>> {
        match self.0 {}
    }
}

/// A whole response, for handlers and frameworks that take nothing else. A layer outside that meets it gives it what the
/// layer has, below the stream's own settings; without one the defaults hold.
impl<S: Source> From<Events<S>> for Response<SseBody<Answered<S>, Never>> {
    fn from(events: Events<S>) -> Self {
        let (source, settings, headers) = events.into_parts();
        let record = Arc::new(Record::new());
        let mut response = headers::stream_head(headers);
        response.extensions_mut().insert(Mark::of(&record, None));
        let state = State::new(Arc::new(settings), record, Client::default());
        let running = Box::pin(Running::new(FromService::Events { source }, state));
        response.map(|()| SseBody::new(Kind::Events { running }))
    }
}
