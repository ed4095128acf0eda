//! The pending answer of an event service, and the source of its stream.

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

use super::{carried_refusal::CarriedRefusal, refuse};
use crate::{
    answer::Reply,
    body::{
        attach::StreamMarker,
        catch_panic::{CatchPanic, Panicked},
        decorated::{DecorateOptions, Decorated},
        source::{Beat, PollSource, Source, SourceOutput},
    },
    error::BoxError,
    event::{boundary::Boundary, chunk::Chunk, encode::LastRetry},
    negotiate::{headers, refusal::Refusal},
    settings::{StreamSettings, heartbeat::Heartbeat},
    streams::resources::Detach,
};

/// A future of an event service's answer. Sealed: [`Sse`](crate::Sse) creates it from a service and a request.
pub trait AnswerFuture: sealed::Sealed {
    /// The source of the events.
    type Source: Source;
    /// The body of the response.
    type Body: Body<Error: Into<BoxError>>;

    /// Polls for the answer.
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<EventResult<Self>>;
}

/// The answer of an event service: events, a response, or a refusal.
pub type EventResult<F> = Result<Reply<<F as AnswerFuture>::Source, <F as AnswerFuture>::Body>, Refusal>;

pin_project! {
    /// An event service that has not answered yet.
    ///
    /// The pending answer is boxed, since it moves from the response's future into the body when the commit deadline passes.
    #[derive(Debug)]
    pub struct PendingAnswer<F> {
        #[pin]
        future: F,
        #[pin]
        commit: Option<Sleep>,
        commit_after: Option<Duration>,
        method: Method,
        options: DecorateOptions,
    }
}

impl<F: AnswerFuture> PendingAnswer<F> {
    pub(crate) fn new(future: F, method: Method, commit_after: Option<Duration>, options: DecorateOptions) -> Self {
        Self { future, commit: None, commit_after, method, options }
    }

    /// Polls for the answer. Returns `None` if the commit deadline has passed: the head must be sent without one.
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<EventResult<F>>> {
        let mut this = self.project();
        if let Poll::Ready(answer) = this.future.poll_answer(cx) {
            return Poll::Ready(Some(answer));
        }
        // Created after the first poll: a service that answers at once needs no timer.
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
    /// The source of an event service's stream.
    #[project = ServiceSourceProj]
    pub enum ServiceSource<F>
    where
        F: AnswerFuture,
    {
        // The head is out, the answer is pending.
        Pending { #[pin] pending: CatchPanic<Pin<Box<PendingAnswer<F>>>> },
        // The answer is events.
        Events { #[pin] source: F::Source },
        // The answer is a response with an event stream. It is boxed, so that events do not pay for its size.
        Response { source: Pin<Box<Decorated<F::Body>>> },
    }
}

impl<F: AnswerFuture> Source for ServiceSource<F> {}

impl<F: AnswerFuture> PollSource for ServiceSource<F> {
    #[inline]
    fn poll_output(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SourceOutput> {
        match self.as_mut().project() {
            ServiceSourceProj::Pending { .. } => self.poll_pending(cx),
            ServiceSourceProj::Events { source } => source.poll_output(cx),
            ServiceSourceProj::Response { source } => source.as_mut().poll_output(cx),
        }
    }

    fn boundary(&self) -> Boundary {
        match self {
            Self::Pending { .. } => Boundary::BetweenEvents,
            Self::Events { source } => source.boundary(),
            Self::Response { source } => source.boundary(),
        }
    }

    fn is_sealed(&self) -> bool {
        match self {
            Self::Response { source } => source.is_sealed(),
            Self::Pending { .. } | Self::Events { .. } => false,
        }
    }

    fn beat(self: Pin<&mut Self>, beat: Beat) -> Option<Bytes> {
        match self.project() {
            ServiceSourceProj::Pending { .. } => Some(beat.bytes),
            ServiceSourceProj::Events { source } => source.beat(beat),
            ServiceSourceProj::Response { source } => source.as_mut().beat(beat),
        }
    }

    fn stop_at_boundary(self: Pin<&mut Self>) {
        match self.project() {
            ServiceSourceProj::Pending { .. } => {}
            ServiceSourceProj::Events { source } => source.stop_at_boundary(),
            ServiceSourceProj::Response { source } => source.as_mut().stop_at_boundary(),
        }
    }

    fn detach_handle(self: Pin<&mut Self>) -> Option<Box<dyn Detach>> {
        match self.project() {
            ServiceSourceProj::Events { source } => source.detach_handle(),
            ServiceSourceProj::Pending { .. } | ServiceSourceProj::Response { .. } => None,
        }
    }

    fn release(self: Pin<&mut Self>) {
        match self.project() {
            ServiceSourceProj::Pending { pending } => pending.release(),
            ServiceSourceProj::Events { source } => source.release(),
            ServiceSourceProj::Response { source } => source.as_mut().release(),
        }
    }
}

impl<F: AnswerFuture> ServiceSource<F> {
    /// Polls for the answer that comes after the head.
    fn poll_pending(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SourceOutput> {
        let ServiceSourceProj::Pending { pending } = self.as_mut().project() else { return Poll::Pending };
        let polled = pending.run(|pending| {
            let this = pending.get_mut().as_mut().project();
            this.future.poll_answer(cx).map(|answer| (answer, this.method.clone(), *this.options))
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready((answer, method, options))) => Poll::Ready(self.accept_late(answer, &method, options)),
            Err(Panicked) => Poll::Ready(SourceOutput::Panicked),
        }
    }

    /// Continues with an answer that comes after the head: its status and headers are lost.
    fn accept_late(
        mut self: Pin<&mut Self>,
        mut answer: EventResult<F>,
        method: &Method,
        options: DecorateOptions,
    ) -> SourceOutput {
        if let Some((last, source)) = take_refusal(&mut answer, method, options.last_retry) {
            return SourceOutput::Refused(last, source);
        }
        match answer {
            Ok(Reply::Events(events)) => {
                let (source, settings, _) = events.into_parts();
                self.set(Self::Events { source });
                SourceOutput::Attached(Box::new(settings), None)
            }
            Ok(Reply::Response(mut response)) if can_follow(&response) => {
                let mut settings = response.extensions_mut().remove::<StreamSettings>().unwrap_or_default();
                let stream = match response.extensions_mut().remove::<StreamMarker>() {
                    Some(StreamMarker::Stream(marked)) => Some(Box::new(marked)),
                    // It ends at once, and begins with its own prelude.
                    Some(StreamMarker::Whole) => {
                        settings = settings.heartbeat(Heartbeat::off());
                        None
                    }
                    None => None,
                };
                let source = Box::pin(Decorated::new(response.into_body(), options.with(&settings)));
                self.set(Self::Response { source });
                SourceOutput::Attached(Box::new(settings), stream)
            }
            Ok(Reply::Response(response)) => {
                let error = headers::is_event_stream(response.status(), response.headers()).then_some(LATE_CODING);
                SourceOutput::Refused(refuse::late_status(response.status()), error.map(BoxError::from))
            }
            Err(refusal) => SourceOutput::Refused(refusal.last(method, options.last_retry), refusal.into_source()),
        }
    }
}

/// Takes the refusal that an answer carries, as the last bytes of the stream and the source of the refusal.
fn take_refusal<S, B>(
    answer: &mut Result<Reply<S, B>, Refusal>,
    method: &Method,
    form: LastRetry,
) -> Option<(Chunk, Option<BoxError>)> {
    let Ok(Reply::Response(response)) = answer else { return None };
    let refusal: CarriedRefusal = response.extensions_mut().remove()?;
    Some((refusal.last(response.status(), method, form), refusal.into_source()))
}

/// Returns whether a response can follow a head that was sent before: it is an event stream, neither coded nor partial.
fn can_follow<B>(response: &Response<B>) -> bool {
    let (status, headers) = (response.status(), response.headers());
    headers::is_event_stream(status, headers) && headers::takes_bytes(status, headers)
}

/// The error of an event stream that cannot follow a head that was sent before.
const LATE_CODING: &str = "coded or partial event stream answered after the response head was sent";

pub(crate) mod sealed {
    #[expect(unnameable_types, reason = "sealed")]
    pub trait Sealed {}
}
