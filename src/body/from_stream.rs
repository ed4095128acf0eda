//! Provides the source of events from a stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::{
    catch_panic::{CatchPanic, Panicked},
    coalesce::Coalesce,
    source::{PollSource, Source, SourceOutput},
};
use crate::{error::BoxError, event::Event};

pin_project! {
    /// A source of events from a stream of [`Event`]s, or of results of them; made by [`Events::new`](crate::Events::new).
    #[derive(Debug)]
    pub struct StreamSource<S> {
        #[pin]
        stream: CatchPanic<S>,
        ready: Coalesce,
        // The end of the stream, while events from before it are still to be sent.
        end: Option<SourceOutput>,
    }
}

/// An item of a stream of events: an [`Event`], or a `Result` of one whose error ends the stream. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "write `.map(Event::new)` for a stream of text",
    note = "the items of a stream of events are `Event`, or `Result<Event, E>` with `E: Into<BoxError>`"
)]
pub trait IntoEvent: sealed::IntoResult {}

impl IntoEvent for Event {}
impl<E: Into<BoxError>> IntoEvent for Result<Event, E> {}

mod sealed {
    use crate::{error::BoxError, event::Event};

    #[expect(unnameable_types, reason = "sealed")]
    pub trait IntoResult {
        /// Returns the event, or `None` for an error.
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
        // The frame is kept outside of the user's stream, so that a panic there loses no event from before.
        if this.end.is_none() && !this.ready.is_full() {
            let ready = &mut *this.ready;
            *this.end = match this.stream.as_mut().run(|stream| fill(stream, ready, cx)) {
                Ok(end) => end,
                Err(Panicked) => Some(SourceOutput::Panicked),
            };
        }
        // First the events from before the end, then the end.
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

/// Polls until the frame is full, nothing is ready, or the stream has ended. Returns its end.
fn fill<S>(mut stream: Pin<&mut S>, ready: &mut Coalesce, cx: &mut Context<'_>) -> Option<SourceOutput>
where
    S: Stream,
    S::Item: IntoEvent,
{
    use sealed::IntoResult as _;

    loop {
        let polled = stream.as_mut().poll_next(cx);
        // Most events are copied in place: a move before the copy would cost as much as the copy.
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
