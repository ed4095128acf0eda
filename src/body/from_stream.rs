//! A stream of events as a source.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::{
    coalesce::Coalesce,
    guard::{CatchPanic, Panicked},
    source::{PollSource, Source, SourceOutput},
};
use crate::{error::BoxError, event::Event};

pin_project! {
    /// A stream of [`Event`]s, or of results of them, as [`Events`](crate::Events) has it.
    #[derive(Debug)]
    pub struct StreamSource<S> {
        #[pin]
        stream: CatchPanic<S>,
        ready: Coalesce,
        // How it ended, while events from before that are still to be sent.
        end: Option<SourceOutput>,
    }
}

/// What a stream of events may give: an [`Event`], or a `Result` of one whose error ends the stream. Sealed.
pub trait IntoEvent: sealed::IntoResult {}

impl IntoEvent for Event {}
impl<E: Into<BoxError>> IntoEvent for Result<Event, E> {}

mod sealed {
    use crate::{error::BoxError, event::Event};

    #[expect(unnameable_types, reason = "sealed")]
    pub trait IntoResult {
        /// The event, where it is.
        fn event(&self) -> Option<&Event>;

        fn into_result(self) -> Result<Event, BoxError>;
    }

    impl IntoResult for Event {
        fn event(&self) -> Option<&Event> {
            Some(self)
        }

        fn into_result(self) -> Result<Event, BoxError> {
            Ok(self)
        }
    }

    impl<E: Into<BoxError>> IntoResult for Result<Event, E> {
        fn event(&self) -> Option<&Event> {
            self.as_ref().ok()
        }

        fn into_result(self) -> Result<Event, BoxError> {
            self.map_err(Into::into)
        }
    }
}

impl<S> StreamSource<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream: CatchPanic::new(stream), ready: Coalesce::default(), end: None }
    }
}

impl<S> Source for StreamSource<S>
where
    S: Stream,
    S::Item: IntoEvent,
{
}

impl<S> PollSource for StreamSource<S>
where
    S: Stream,
    S::Item: IntoEvent,
{
    fn poll_output(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SourceOutput> {
        let mut this = self.project();
        // The frame under way stands outside of the user's code, so that a panic in it loses no event from before.
        if this.end.is_none() && !this.ready.is_full() {
            let ready = &mut *this.ready;
            *this.end = match this.stream.as_mut().run(|stream| fill(stream, ready, cx)) {
                Ok(end) => end,
                Err(Panicked) => Some(SourceOutput::Panicked),
            };
        }
        // First what came before the end. Now the end.
        if let Some(chunk) = this.ready.take() {
            return Poll::Ready(SourceOutput::Chunk(chunk));
        }
        match this.end.take() {
            Some(end) => Poll::Ready(end),
            None => Poll::Pending,
        }
    }

    fn release(self: Pin<&mut Self>) {
        let this = self.project();
        this.stream.release();
        *this.ready = Coalesce::default();
    }
}

/// Polls until the frame is full, nothing is ready, or the stream is over: then says how.
fn fill<S>(mut stream: Pin<&mut S>, ready: &mut Coalesce, cx: &mut Context<'_>) -> Option<SourceOutput>
where
    S: Stream,
    S::Item: IntoEvent,
{
    use sealed::IntoResult as _;

    loop {
        let polled = stream.as_mut().poll_next(cx);
        // Most events are copied from where they are: to move one first would cost as much as to copy it.
        if matches!(&polled, Poll::Ready(Some(item)) if item.event().is_some_and(|event| ready.copy(event))) {
            continue;
        }
        match polled {
            Poll::Pending => return None,
            Poll::Ready(None) => return Some(SourceOutput::Finished),
            Poll::Ready(Some(item)) => match item.into_result() {
                Ok(event) => {
                    if ready.push(event) {
                        return None;
                    }
                }
                Err(error) => return Some(SourceOutput::Failed(error)),
            },
        }
    }
}
