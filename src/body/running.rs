//! Provides the polling of a running stream.

use std::{
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Frame;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    error::BodyError,
    source::{PollSource, SourceOutput},
    state::{Phase, State},
    timer::Timer,
};
use crate::{event::chunk::Chunk, observe::Reason};

pin_project! {
    /// A running stream: its source, its one timer, and its state.
    #[derive(Debug)]
    pub struct Running<S> {
        #[pin]
        source: S,
        timer: Timer,
        state: State,
    }

    impl<S> PinnedDrop for Running<S> {
        fn drop(this: Pin<&mut Self>) {
            // Most streams end by a drop of their body.
            this.project().state.close_dropped();
        }
    }
}

/// The output of a poll: a frame, an error, or the end.
type Item = Option<Result<Frame<Bytes>, BodyError>>;

/// Breaks with an output, or continues after a change of the state that may have one.
type Step = ControlFlow<Item>;

impl<S> Running<S> {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state.phase, Phase::Done)
    }
}

impl<S: PollSource> Running<S> {
    pub(crate) fn new(source: S, mut state: State) -> Self {
        if source.is_sealed() {
            state.effective.seal();
        }
        Self { source, timer: Timer::default(), state }
    }

    pub(crate) fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Item> {
        loop {
            let this = self.as_mut().project();
            let step = match &mut this.state.phase {
                Phase::Done => Step::Break(None),
                Phase::Last(bytes) => {
                    let bytes = std::mem::take(&mut **bytes);
                    this.state.phase = Phase::Done;
                    data(bytes)
                }
                Phase::Aborting(abort) => match abort.take_last() {
                    Some(bytes) => data(bytes),
                    None => {
                        ready!(abort.poll_sent(cx));
                        Step::Break(this.state.take_error().map(|error| Err(BodyError::new(error))))
                    }
                },
                Phase::Prelude => match this.state.open() {
                    Some(bytes) => data(this.state.send(bytes, 0, 0, Instant::now())),
                    None => Step::Continue(()),
                },
                Phase::Open { .. } => {
                    let step = self.as_mut().poll_open(cx);
                    self.as_mut().after_poll(step.is_pending());
                    ready!(step)
                }
            };
            if let Step::Break(item) = step {
                return Poll::Ready(item);
            }
        }
    }

    fn poll_open(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step> {
        // First the causes to end, so that a busy stream ends too.
        if self.as_mut().poll_end(cx) {
            return Poll::Ready(Step::Continue(()));
        }
        // Then events.
        let this = self.as_mut().project();
        if matches!(&this.state.phase, Phase::Open { burst, .. } if burst.is_full()) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Poll::Ready(output) = this.source.poll_output(cx) {
            return Poll::Ready(self.handle_output(output));
        }
        // Then the heartbeat.
        let state = this.state;
        if state.wakeup.is_registered(cx.waker(), &state.control, this.timer, &state.deadlines) {
            state.control.mark_pending();
            return Poll::Pending;
        }
        // Ordering: each request after the registration wakes this task, so those from before are looked for now.
        state.wakeup.register(cx.waker(), &state.control);
        if state.is_poll_requested() {
            return Poll::Ready(Step::Continue(()));
        }
        self.poll_timer(cx)
    }

    /// Ends a burst with a pause, and releases the source of a stream that has ended.
    fn after_poll(self: Pin<&mut Self>, is_pending: bool) {
        let this = self.project();
        if is_pending {
            this.state.end_burst();
        } else if matches!(this.state.phase, Phase::Last(_) | Phase::Aborting(_) | Phase::Done) {
            this.source.release();
            this.timer.disarm();
        }
    }

    /// Ends the stream if there is a cause to. Within an event the source is to stop at its end, for which there is a grace
    /// period. Returns whether the stream has ended.
    fn poll_end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.project();
        let Some(cause) = this.state.poll_end(cx) else { return false };
        let boundary = this.source.boundary();
        if this.state.deadlines.is_in_grace() {
            this.state.end_early(cause.reason(), cause.into_error(), Chunk::NONE, boundary);
            return true;
        }
        if boundary.is_end_of_event() {
            this.state.end(&cause, boundary);
            return true;
        }
        this.source.stop_at_boundary();
        this.timer.disarm();
        this.state.deadlines.start_grace(cause);
        false
    }

    fn handle_output(self: Pin<&mut Self>, output: SourceOutput) -> Step {
        let mut this = self.project();
        let state = this.state;
        let boundary = this.source.boundary();
        let has_stopped = matches!(output, SourceOutput::Stopped);
        match output {
            SourceOutput::Chunk(chunk) => {
                state.register_detach(this.source.as_mut());
                return data(state.send(chunk.bytes, chunk.events, 0, Instant::now()));
            }
            SourceOutput::ChunkAt(chunk, at) => {
                state.register_detach(this.source.as_mut());
                return data(state.send(chunk.bytes, chunk.events, 0, at));
            }
            SourceOutput::Gap(gap, chunk) => {
                state.register_detach(this.source.as_mut());
                state.report_gap(&gap);
                return data(state.send(chunk.bytes, chunk.events, 0, Instant::now()));
            }
            SourceOutput::Attached(settings, stream) => {
                this.timer.disarm();
                if let Some(retry) = state.apply_answer(*settings, stream.as_deref()) {
                    return data(state.send(retry, 0, 0, Instant::now()));
                }
            }
            SourceOutput::Refused(last, source) => state.end_early(Reason::Refused, source, last, boundary),
            SourceOutput::Finished | SourceOutput::Stopped => match state.deadlines.grace().cloned() {
                // A stream that would be aborted, and finishes within the grace period, is complete.
                Some(cause) if has_stopped || !state.effective.aborts() => {
                    if boundary.is_end_of_event() {
                        state.end(&cause, boundary);
                    } else {
                        state.end_early(cause.reason(), cause.into_error(), Chunk::NONE, boundary);
                    }
                }
                _ => state.finish(Reason::Finished, None, Chunk::NONE),
            },
            SourceOutput::Ended(Reason::Lagged) => {
                let last = state.effective.last_bytes().reconnect();
                state.end_early(Reason::Lagged, None, last, boundary);
            }
            SourceOutput::Ended(reason) => state.finish(reason, None, Chunk::NONE),
            SourceOutput::Trailers(trailers) => {
                state.finish(Reason::Finished, None, Chunk::NONE);
                return Step::Break(Some(Ok(Frame::trailers(*trailers))));
            }
            SourceOutput::Failed(error) => state.fail(Reason::Failed, Some(error), boundary),
            SourceOutput::Panicked => state.fail(Reason::Panicked, None, boundary),
        }
        Step::Continue(())
    }

    /// Waits for the timer. Events do not re-arm it: when it fires, it is armed for what is left.
    fn poll_timer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step> {
        let mut this = self.project();
        let (state, timer) = (this.state, this.timer);
        while state.arm(timer) {
            ready!(timer.poll(&state.control, cx));
            let now = Instant::now();
            if state.deadlines.next().is_some_and(|at| at <= now) {
                return Poll::Ready(Step::Continue(()));
            }
            let Some(beat) = state.heartbeat_due(now) else { continue };
            if let Some(bytes) = this.source.as_mut().beat(beat) {
                // The timer is armed again when the stream next has nothing.
                state.wakeup.invalidate();
                return Poll::Ready(data(state.send(bytes, 0, 1, now)));
            }
            // A heartbeat that the source has no room for is left out until the next one.
            state.arm_after(timer, now);
        }
        Poll::Pending
    }
}

fn data(bytes: Bytes) -> Step {
    Step::Break(Some(Ok(Frame::data(bytes))))
}
