//! What an event service comes to: while it is asked, and after its head went out without it.

use crate::middleware::refuse;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::carried_refusal::CarriedRefusal;
use crate::{
    answer::Reply,
    body::{
        attach::StreamMarker,
        decorated::{DecorateOptions, Decorated},
        guard::{CatchPanic, Panicked},
        source::{Beat, PollSource, Source, SourceOutput},
    },
    error::BoxError,
    event::{boundary::Boundary, chunk::Chunk, encode::LastRetry},
    negotiate::{headers, refusal::Refusal},
    settings::{StreamSettings, heartbeat::Heartbeat},
    streams::resources::Detach,
};

/// The future of an event service's answer. Sealed: it is what [`Sse`](crate::Sse) makes of a service and a request.
pub trait AnswerFuture: sealed::Sealed {
    /// What its events come from.
    type Source: Source;
    /// The body of an answer that is a response.
    type Body: Body<Error: Into<BoxError>>;

    /// The answer.
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<EventResult<Self>>;
}

/// Events or a response, or a refusal.
pub type EventResult<F> = Result<Reply<<F as AnswerFuture>::Source, <F as AnswerFuture>::Body>, Refusal>;

pin_project! {
    /// An event service that has not answered yet. In a box of its own, since it moves from the response's future into
    /// the body when the commit deadline comes before its answer.
    #[derive(Debug)]
    pub struct PendingAnswer<F> {
        #[pin]
        future: F,
        #[pin]
        commit: Option<Sleep>,
        commit_after: Option<Duration>,
        method: Method,
        splice: DecorateOptions,
    }
}

impl<F: AnswerFuture> PendingAnswer<F> {
    pub(crate) fn new(future: F, method: Method, commit_after: Option<Duration>, splice: DecorateOptions) -> Self {
        Self { future, commit: None, commit_after, method, splice }
    }

    /// The answer. `None`: the commit deadline came first, and the head has to go out without one.
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<EventResult<F>>> {
        let mut this = self.project();
        if let Poll::Ready(answer) = this.future.poll_answer(cx) {
            return Poll::Ready(Some(answer));
        }
        // A service that answers at once never needs the timer.
        if let (None, Some(after)) = (this.commit.as_ref().get_ref(), *this.commit_after) {
            this.commit.set(Some(sleep(after)));
        }
        match this.commit.as_pin_mut() {
            Some(timer) => timer.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    }
}

pin_project! {
    /// Where the bytes of an event service's stream come from.
    #[project = FromProj]
    pub enum ServiceSource<F>
    where
        F: AnswerFuture,
    {
        // It has not answered, and the head is out.
        Late { #[pin] waiting: CatchPanic<Pin<Box<PendingAnswer<F>>>> },
        // It answered events.
        Events { #[pin] source: F::Source },
        // It answered a response that is an event stream. In a box, so that events do not pay for its size.
        Response { source: Pin<Box<Decorated<F::Body>>> },
    }
}

impl<F: AnswerFuture> Source for ServiceSource<F> {}

impl<F: AnswerFuture> PollSource for ServiceSource<F> {
    fn poll_output(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SourceOutput> {
        let waiting = match self.as_mut().project() {
            FromProj::Late { waiting } => waiting,
            FromProj::Events { source } => return source.poll_output(cx),
            FromProj::Response { source } => return source.as_mut().poll_output(cx),
        };
        let polled = waiting.run(|waiting| {
            let this = waiting.get_mut().as_mut().project();
            this.future.poll_answer(cx).map(|answer| (answer, this.method.clone(), *this.splice))
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready((answer, method, splice))) => Poll::Ready(self.late_answer(answer, &method, splice)),
            Err(Panicked) => Poll::Ready(SourceOutput::Panicked),
        }
    }

    fn boundary(&self) -> Boundary {
        match self {
            Self::Late { .. } => Boundary::BetweenEvents,
            Self::Events { source } => source.boundary(),
            Self::Response { source } => source.boundary(),
        }
    }

    fn is_sealed(&self) -> bool {
        match self {
            Self::Response { source } => source.is_sealed(),
            Self::Late { .. } | Self::Events { .. } => false,
        }
    }

    fn beat(self: Pin<&mut Self>, beat: Beat) -> Option<Bytes> {
        match self.project() {
            FromProj::Late { .. } => Some(beat.bytes),
            FromProj::Events { source } => source.beat(beat),
            FromProj::Response { source } => source.as_mut().beat(beat),
        }
    }

    fn stop_at_boundary(self: Pin<&mut Self>) {
        match self.project() {
            FromProj::Late { .. } => {}
            FromProj::Events { source } => source.stop_at_boundary(),
            FromProj::Response { source } => source.as_mut().stop_at_boundary(),
        }
    }

    fn detach_handle(self: Pin<&mut Self>) -> Option<Box<dyn Detach>> {
        match self.project() {
            FromProj::Events { source } => source.detach_handle(),
            FromProj::Late { .. } | FromProj::Response { .. } => None,
        }
    }

    fn release(self: Pin<&mut Self>) {
        match self.project() {
            FromProj::Late { waiting } => waiting.release(),
            FromProj::Events { source } => source.release(),
            FromProj::Response { source } => source.as_mut().release(),
        }
    }
}

impl<F: AnswerFuture> ServiceSource<F> {
    /// The head went out before this answer: what is left of it.
    fn late_answer(
        mut self: Pin<&mut Self>,
        mut answer: EventResult<F>,
        method: &Method,
        splice: DecorateOptions,
    ) -> SourceOutput {
        if let Some((last, source)) = said_late(&mut answer, method, splice.last_retry) {
            return SourceOutput::Refused(last, source);
        }
        match answer {
            Ok(Reply::Events(events)) => {
                let (source, settings, _) = events.into_parts();
                self.set(Self::Events { source });
                SourceOutput::Attached(Box::new(settings), None)
            }
            Ok(Reply::Response(mut response)) if is_stream(&response) => {
                let mut settings = response.extensions_mut().remove::<StreamSettings>().unwrap_or_default();
                let stream = match response.extensions_mut().remove::<StreamMarker>() {
                    Some(StreamMarker::Stream(marked)) => Some(Box::new(marked)),
                    // It is over at once, and begins with a prelude.
                    Some(StreamMarker::Whole) => {
                        settings = settings.heartbeat(Heartbeat::off());
                        None
                    }
                    None => None,
                };
                let source = Box::pin(Decorated::new(response.into_body(), splice.with(&settings)));
                self.set(Self::Response { source });
                SourceOutput::Attached(Box::new(settings), stream)
            }
            Ok(Reply::Response(response)) => {
                let why = headers::is_event_stream(response.status(), response.headers()).then_some(LATE_CODING);
                SourceOutput::Refused(refuse::late_status(response.status()), why.map(BoxError::from))
            }
            Err(refusal) => SourceOutput::Refused(refusal.last(method, splice.last_retry), refusal.into_source()),
        }
    }
}

/// Takes out what is left of a response that stands for a refusal: the last bytes, and the source.
fn said_late<S, B>(
    answer: &mut Result<Reply<S, B>, Refusal>,
    method: &Method,
    form: LastRetry,
) -> Option<(Chunk, Option<BoxError>)> {
    let Ok(Reply::Response(response)) = answer else { return None };
    let said: CarriedRefusal = response.extensions_mut().remove()?;
    Some((said.last(response.status(), method, form), said.into_source()))
}

/// Returns whether a response can follow a head that is out: as an event stream without a coding.
fn is_stream<B>(response: &Response<B>) -> bool {
    let (status, headers) = (response.status(), response.headers());
    headers::is_event_stream(status, headers) && headers::takes_bytes(status, headers)
}

/// Why an event stream cannot follow a head that is out.
const LATE_CODING: &str = "the event stream is in a coding, or a part of one, and its head went out before";

pub(crate) mod sealed {
    #[expect(unnameable_types, reason = "sealed")]
    pub trait Sealed {}
}
