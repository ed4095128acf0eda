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

use super::carried_refusal::Said;
use crate::{
    answer::Reply,
    body::{
        attach::Mark,
        decorated::{Decorated, Splice},
        guard::{Guarded, Panicked},
        source::{Beat, Pull, Pulled, Source},
    },
    error::BoxError,
    event::{boundary::Place, chunk::Chunk, encode::LastRetry},
    negotiate::{head as headers, refusal::Refusal},
    settings::{StreamSettings, heartbeat::Heartbeat},
    streams::resources::Holds,
};

/// The future of an event service's answer. Sealed: it is what [`Sse`](crate::Sse) makes of a service and a request.
pub trait EventFuture: sealed::Sealed {
    /// What its events come from.
    type Source: Source;
    /// The body of an answer that is a response.
    type Body: Body<Error: Into<BoxError>>;

    /// The answer.
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<Self>>;
}

/// Events or a response, or a refusal.
pub type Answer<F> = Result<Reply<<F as EventFuture>::Source, <F as EventFuture>::Body>, Refusal>;

pin_project! {
    /// An event service that has not answered yet. In a box of its own, since it moves from the response's future into
    /// the body when the commit deadline comes before its answer.
    #[derive(Debug)]
    pub struct Waiting<F> {
        #[pin]
        future: F,
        #[pin]
        commit: Option<Sleep>,
        commit_after: Option<Duration>,
        method: Method,
        splice: Splice,
    }
}

impl<F: EventFuture> Waiting<F> {
    pub(crate) fn new(future: F, method: Method, commit_after: Option<Duration>, splice: Splice) -> Self {
        Self { future, commit: None, commit_after, method, splice }
    }

    /// The answer. `None`: the commit deadline came first, and the head has to go out without one.
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer<F>>> {
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
    pub enum FromService<F>
    where
        F: EventFuture,
    {
        // It has not answered, and the head is out.
        Late { #[pin] waiting: Guarded<Pin<Box<Waiting<F>>>> },
        // It answered events.
        Events { #[pin] source: F::Source },
        // It answered a response that is an event stream. In a box, so that events do not pay for its size.
        Response { source: Pin<Box<Decorated<F::Body>>> },
    }
}

impl<F: EventFuture> Source for FromService<F> {}

impl<F: EventFuture> Pull for FromService<F> {
    fn poll_pull(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Pulled> {
        let waiting = match self.as_mut().project() {
            FromProj::Late { waiting } => waiting,
            FromProj::Events { source } => return source.poll_pull(cx),
            FromProj::Response { source } => return source.as_mut().poll_pull(cx),
        };
        let polled = waiting.run(|waiting| {
            let this = waiting.get_mut().as_mut().project();
            this.future.poll_answer(cx).map(|answer| (answer, this.method.clone(), *this.splice))
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready((answer, method, splice))) => Poll::Ready(self.late_answer(answer, &method, splice)),
            Err(Panicked) => Poll::Ready(Pulled::Panicked),
        }
    }

    fn place(&self) -> Place {
        match self {
            Self::Late { .. } => Place::Between,
            Self::Events { source } => source.place(),
            Self::Response { source } => source.place(),
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

    fn come_to_rest(self: Pin<&mut Self>) {
        match self.project() {
            FromProj::Late { .. } => {}
            FromProj::Events { source } => source.come_to_rest(),
            FromProj::Response { source } => source.as_mut().come_to_rest(),
        }
    }

    fn holds(self: Pin<&mut Self>) -> Option<Box<dyn Holds>> {
        match self.project() {
            FromProj::Events { source } => source.holds(),
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

impl<F: EventFuture> FromService<F> {
    /// The head went out before this answer: what is left of it.
    fn late_answer(mut self: Pin<&mut Self>, mut answer: Answer<F>, method: &Method, splice: Splice) -> Pulled {
        if let Some((last, source)) = said_late(&mut answer, method, splice.last_retry) {
            return Pulled::Refused(last, source);
        }
        match answer {
            Ok(Reply::Events(events)) => {
                let (source, settings, _) = events.into_parts();
                self.set(Self::Events { source });
                Pulled::Answered(Box::new(settings), None)
            }
            Ok(Reply::Response(mut response)) if is_stream(&response) => {
                let mut settings = response.extensions_mut().remove::<StreamSettings>().unwrap_or_default();
                let stream = match response.extensions_mut().remove::<Mark>() {
                    Some(Mark::Stream(marked)) => Some(Box::new(marked)),
                    // It is over at once, and begins with a prelude.
                    Some(Mark::Whole) => {
                        settings = settings.heartbeat(Heartbeat::off());
                        None
                    }
                    None => None,
                };
                let source = Box::pin(Decorated::new(response.into_body(), splice.with(&settings)));
                self.set(Self::Response { source });
                Pulled::Answered(Box::new(settings), stream)
            }
            Ok(Reply::Response(response)) => {
                let why = headers::is_event_stream(response.status(), response.headers()).then_some(LATE_CODING);
                Pulled::Refused(refuse::late_status(response.status()), why.map(BoxError::from))
            }
            Err(refusal) => Pulled::Refused(refusal.last(method, splice.last_retry), refusal.into_source()),
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
    let said: Said = response.extensions_mut().remove()?;
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
