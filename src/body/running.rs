//! What happens in which order when a stream is polled.
//!
//! First what ends the stream, so that a busy one ends too. Then events. Then, if there were none, the heartbeat.

use std::{
    future::Future,
    ops::ControlFlow,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use pin_project_lite::pin_project;
use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    error::BodyError,
    source::{FRAME_BYTES, PollSource, SourceOutput},
    state::{Phase, State},
};
use crate::{event::chunk::Chunk, observe::Reason};

pin_project! {
    /// A source, the one timer of its stream, and what the stream knows of itself.
    #[derive(Debug)]
    pub struct Running<S> {
        #[pin]
        source: S,
        #[pin]
        timer: Option<Sleep>,
        state: State,
    }

    impl<S> PinnedDrop for Running<S> {
        fn drop(this: Pin<&mut Self>) {
            // Dropping is how most streams end. Says so, unless something else did.
            this.project().state.dropped();
        }
    }
}

/// What a poll gives: a frame, an error, or the end.
type Item = Option<Result<Frame<Bytes>, BodyError>>;

/// Gives something, or has changed something so that the next thing is to be looked at.
type Step = ControlFlow<Item>;

impl<S> Running<S> {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state.phase, Phase::Done)
    }
}

impl<S: PollSource> Running<S> {
    pub(crate) fn new(source: S, mut state: State) -> Self {
        if source.is_sealed() {
            state.seal();
        }
        Self { source, timer: None, state }
    }

    pub(crate) fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Item> {
        loop {
            let this = self.as_mut().project();
            let step = match &mut this.state.phase {
                Phase::Done => Step::Break(None),
                Phase::Last(bytes) => {
                    let bytes = std::mem::take(&mut **bytes);
                    this.state.phase = Phase::Done;
                    give(bytes)
                }
                Phase::Aborting(abort) => match abort.take_last() {
                    Some(bytes) => give(bytes),
                    None => {
                        ready!(abort.poll_sent(this.timer, cx));
                        this.state.aborted()
                    }
                },
                Phase::Prelude => match this.state.begin() {
                    Some(bytes) => this.state.send(bytes, 0, 0),
                    None => Step::Continue(()),
                },
                Phase::Open | Phase::Ending(..) => {
                    let step = self.as_mut().poll_open(cx);
                    self.as_mut().polled(step.is_pending());
                    ready!(step)
                }
            };
            if let Step::Break(item) = step {
                return Poll::Ready(item);
            }
        }
    }

    fn poll_open(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step> {
        // First what ends the stream, so that a busy one ends too.
        if self.as_mut().ends_now(cx) {
            return Poll::Ready(Step::Continue(()));
        }
        // Then events.
        let this = self.as_mut().project();
        if this.state.burst_bytes >= MAX_BURST {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Poll::Ready(pulled) = this.source.poll_output(cx) {
            return Poll::Ready(self.pulled(pulled));
        }
        // Now the heartbeat, since there was nothing.
        if this.state.waker_still_registered(cx.waker(), this.timer.as_ref().as_pin_ref()) {
            this.state.record().mark_pending();
            return Poll::Pending;
        }
        // Whoever asks for the end from here on wakes this task.
        this.state.register_waker(cx.waker());
        if this.state.end_requested() {
            return Poll::Ready(Step::Continue(()));
        }
        self.poll_timer(cx)
    }

    fn polled(self: Pin<&mut Self>, is_pending: bool) {
        let mut this = self.project();
        if is_pending {
            this.state.burst_bytes = 0;
        } else if matches!(this.state.phase, Phase::Last(_) | Phase::Aborting(_) | Phase::Done) {
            this.source.release();
            this.timer.set(None);
        }
    }

    /// Ends the stream if it is time and the source is not within an event; else asks the source to come to its end.
    fn ends_now(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let mut this = self.project();
        let place = this.source.boundary();
        if let Some(why) = this.state.grace_is_over() {
            this.state.end_early(why.reason(), why.into_error(), Chunk::NONE, place);
            return true;
        }
        if !matches!(this.state.phase, Phase::Open) {
            return false;
        }
        let Some(why) = this.state.poll_end(cx) else { return false };
        if place.is_end_of_event() {
            this.state.end(&why, place);
            return true;
        }
        this.source.stop_at_boundary();
        this.timer.set(None);
        this.state.start_ending(why);
        false
    }

    fn pulled(self: Pin<&mut Self>, pulled: SourceOutput) -> Step {
        let mut this = self.project();
        let state = this.state;
        let place = this.source.boundary();
        let is_rest = matches!(pulled, SourceOutput::Stopped);
        match pulled {
            SourceOutput::Chunk(chunk) => {
                state.hold_for(this.source.as_mut());
                return state.send(chunk.bytes, chunk.events, 0);
            }
            SourceOutput::Gap(gap, chunk) => {
                state.hold_for(this.source.as_mut());
                state.lagged(&gap);
                return state.send(chunk.bytes, chunk.events, 0);
            }
            SourceOutput::Attached(settings, stream) => {
                this.timer.set(None);
                if let Some(retry) = state.answered(*settings, stream.as_deref()) {
                    return state.send(retry, 0, 0);
                }
            }
            SourceOutput::Refused(last, source) => state.end_early(Reason::Refused, source, last, place),
            SourceOutput::Finished | SourceOutput::Stopped => match &state.phase {
                // One that would be aborted has come to its own end meanwhile: it is complete.
                Phase::Ending(ending) if is_rest || !state.aborts() => {
                    let why = ending.why.clone();
                    if place.is_end_of_event() {
                        state.end(&why, place);
                    } else {
                        state.end_early(why.reason(), why.into_error(), Chunk::NONE, place);
                    }
                }
                _ => state.finish(Reason::Finished, None, Chunk::NONE),
            },
            SourceOutput::Ended(Reason::Lagged) => state.end_early(Reason::Lagged, None, state.reconnect_hint(), place),
            SourceOutput::Ended(reason) => state.finish(reason, None, Chunk::NONE),
            SourceOutput::Trailers(trailers) => {
                state.finish(Reason::Finished, None, Chunk::NONE);
                return Step::Break(Some(Ok(Frame::trailers(*trailers))));
            }
            SourceOutput::Failed(error) => state.end_early(Reason::Failed, Some(error), state.failed(place), place),
            SourceOutput::Panicked => state.end_early(Reason::Panicked, None, state.failed(place), place),
        }
        Step::Continue(())
    }

    /// Waits for the timer. It is not armed anew for each event, which would take the timer's lock each time: it is looked
    /// at when it fires, and then armed for what is left.
    fn poll_timer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step> {
        let mut this = self.project();
        loop {
            let last = this.state.record().last_frame();
            if this.timer.is_none() {
                this.timer.set(this.state.next_deadline(last).map(sleep_until));
            }
            let Some(mut timer) = this.timer.as_mut().as_pin_mut() else { return Poll::Pending };
            // A check of access that has answered has another to come, sooner than its own time would have been over.
            if let Some(sooner) = this.state.next_time().filter(|&at| at < timer.deadline()) {
                timer.as_mut().reset(sooner);
            }
            // It would not know whom to wake once this task has used up its turn, and for an event it is not polled again.
            ready!(pin!(unconstrained(timer.as_mut())).poll(cx));
            let now = Instant::now();
            if this.state.is_time(now) {
                return Poll::Ready(Step::Continue(()));
            }
            let due = this.state.heartbeat_due(now);
            // Where there is no room for it now, the next one has to do.
            let from = if due.is_some() { now } else { last };
            match this.state.next_deadline(from) {
                Some(at) => timer.reset(at),
                None => this.timer.set(None),
            }
            if let Some(bytes) = due.and_then(|beat| this.source.as_mut().beat(beat)) {
                // It was armed anew, and is polled when the stream waits again.
                this.state.task = None;
                return Poll::Ready(this.state.send(bytes, 0, 1));
            }
        }
    }
}

impl State {
    /// Returns the error that ends the stream, once.
    fn aborted(&mut self) -> Step {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Aborting(abort) => Step::Break(Some(Err(BodyError::new(abort.into_error())))),
            _ => Step::Break(None),
        }
    }

    fn send(&mut self, bytes: Bytes, events: u64, heartbeats: u64) -> Step {
        if bytes.len() > FRAME_BYTES {
            // Those from before have left meanwhile.
            let is_later = self.record().last_frame() + BURST_RESET < Instant::now();
            let given = if is_later { 0 } else { self.burst_bytes };
            self.burst_bytes = given.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
        self.sent(&bytes, events, heartbeats);
        give(self.tracked(bytes))
    }
}

fn give(bytes: Bytes) -> Step {
    Step::Break(Some(Ok(Frame::data(bytes))))
}

/// How much of large events a stream gives before it lets the server send them, and others have their turn. hyper holds up
/// to sixteen frames of any size: over 128 KiB, glibc's allocator gives the memory back to the system each time, and to get it
/// again is a third of what large events cost.
const MAX_BURST: u32 = 64 * 1024;

/// Longer than a server takes to come back to a stream whose client reads.
const BURST_RESET: Duration = Duration::from_millis(100);
