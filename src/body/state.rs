//! Provides the state of a running stream, beside its source and its timer.

use std::{error::Error, pin::Pin, sync::Arc, task::Context};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    abort::{Abort, EarlyEndError, FrameTracker},
    attach::MarkedStream,
    burst::Burst,
    deadlines::Deadlines,
    effective_settings::{EffectiveSettings, retry_line},
    handover,
    source::{Beat, PollSource},
    timer::Timer,
    wakeup::Wakeup,
};
use crate::{
    error::BoxError,
    event::{boundary::Boundary, chunk::Chunk, gap::Gap},
    observe::{Reason, Sent},
    settings::{OnDrain, StreamSettings},
    streams::{attached::ClientProfile, control::StreamControl, end_cause::EndCause},
    time::alarm::Alarm,
};

/// The phase that a stream is in.
#[derive(Debug)]
pub(super) enum Phase {
    /// Created, and not polled yet.
    Prelude,
    /// Events are sent. The grace period of a stream that is ending is a part of this phase.
    Open {
        burst: Burst,
        /// The detach handle of the source is registered.
        has_detach: bool,
    },
    /// These bytes are the last.
    Last(Box<Bytes>),
    /// The last bytes are followed by an error.
    Aborting(Box<Abort>),
    Done,
}

/// The state of a running stream, composed of parts that each have an interface of their own.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) phase: Phase,
    pub(super) control: Arc<StreamControl>,
    pub(super) effective: EffectiveSettings,
    pub(super) deadlines: Deadlines,
    pub(super) wakeup: Wakeup,
    frames: FrameTracker,
}

impl State {
    /// Creates the state of a stream with these settings. Further limits and settings of layers are attached to its control
    /// block.
    pub(crate) fn new(settings: Arc<StreamSettings>, control: Arc<StreamControl>, client: ClientProfile) -> Self {
        Self {
            phase: Phase::Prelude,
            control,
            effective: EffectiveSettings::new(settings, client),
            deadlines: Deadlines::default(),
            wakeup: Wakeup::default(),
            frames: FrameTracker::default(),
        }
    }

    /// Opens the stream. Returns its first bytes, which are sent with the head, since Firefox fires `open` at the first byte.
    pub(super) fn open(&mut self) -> Option<Bytes> {
        self.phase = Phase::Open { burst: Burst::default(), has_detach: false };
        let own_retry = self.effective.retry();
        let has_begun = self.take_attached();
        if self.effective.adds_no_comments() {
            return None;
        }
        if has_begun {
            return own_retry.map(|retry| retry_line(retry, b""));
        }
        Some(self.effective.prelude())
    }

    /// Takes the part of layers that is attached to the control block. Returns whether a prelude was sent already.
    fn take_attached(&mut self) -> bool {
        let has_begun = handover::take_attached(&self.control, &mut self.effective, &mut self.deadlines);
        self.apply_settings();
        has_begun
    }

    /// Applies the settings of a late answer. Returns the `retry:` among them, which is still to be sent.
    pub(super) fn apply_answer(&mut self, own: StreamSettings, stream: Option<&MarkedStream>) -> Option<Bytes> {
        let retry = own.retry.map(|retry| retry_line(retry, b""));
        self.effective.override_with(own);
        let retry = retry.filter(|_| !self.effective.adds_no_comments());
        self.apply_settings();
        if let Some(stream) = stream {
            handover::hand_over(&self.control, &mut self.effective, &mut self.deadlines, stream);
            self.frames.enable(self.effective.may_abort_without_bytes());
        }
        retry
    }

    /// Applies the settings where they are kept for each poll, and for readers outside of the body.
    fn apply_settings(&mut self) {
        self.frames.enable(self.effective.may_abort_without_bytes());
        self.deadlines.set(self.effective.deadline(), self.effective.draw_lifetime(), self.control.opened());
        let finishes = self.effective.on_drain() == Some(OnDrain::Finish) && !self.deadlines.leaves_on_drain();
        self.control.set_finishes(finishes);
    }

    /// Returns the cause for which the stream is to end now. Takes the part of layers that met the stream after its first
    /// poll, when its prelude and its `retry:` are sent already.
    #[inline]
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Option<EndCause> {
        // Most polls of most streams end here.
        if !self.control.has_request() && self.deadlines.is_unlimited() {
            return None;
        }
        self.poll_limits(cx)
    }

    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Option<EndCause> {
        if self.control.has_attached() && !self.deadlines.is_in_grace() {
            self.take_attached();
            // The timer may have to fire sooner.
            self.wakeup.invalidate();
        }
        self.deadlines.due(&self.control, cx)
    }

    /// Returns whether something was requested or attached from outside that is not done yet.
    #[inline]
    pub(super) fn is_poll_requested(&self) -> bool {
        if !self.control.has_request() {
            return false;
        }
        let has_attached = self.control.has_attached() && !self.deadlines.is_in_grace();
        has_attached || self.deadlines.requested(&self.control).is_some()
    }

    /// Arms the timer for what is next, unless it is armed for that. Returns whether it is armed then.
    pub(super) fn arm(&self, timer: &mut Timer) -> bool {
        if !timer.is_armed() {
            self.arm_after(timer, self.control.last_frame());
        }
        // The next check of access may be sooner, once one has answered before its time was over.
        if let Some(sooner) = self.deadlines.next().filter(|&at| timer.fires_after(at, &self.control)) {
            timer.arm(Alarm::exact(sooner), &self.control);
        }
        timer.is_armed()
    }

    /// Arms the timer for what is next after a frame at this time.
    pub(super) fn arm_after(&self, timer: &mut Timer, last_frame: Instant) {
        if let Some(alarm) = self.next_alarm(last_frame) {
            timer.arm(alarm, &self.control);
        }
    }

    /// Returns the next time at which the timer has to fire.
    fn next_alarm(&self, last_frame: Instant) -> Option<Alarm> {
        let (heartbeat, deadline) =
            (self.effective.next_heartbeat(last_frame), self.deadlines.next().map(Alarm::exact));
        // A coarse heartbeat must not have a deadline wait for it.
        [heartbeat, deadline].into_iter().flatten().min_by_key(Alarm::latest)
    }

    /// Returns the heartbeat, if one is due.
    pub(super) fn heartbeat_due(&self, now: Instant) -> Option<Beat> {
        self.effective.heartbeat_due(self.control.last_frame(), now)
    }

    /// Records a frame that is about to be sent, at this time. Returns its bytes, tracked if an abort may have to wait for them.
    pub(super) fn send(&mut self, bytes: Bytes, events: u64, heartbeats: u64, now: Instant) -> Bytes {
        if let Phase::Open { burst, .. } = &mut self.phase {
            burst.add(bytes.len(), &self.control, now);
        }
        self.record_frame(&bytes, events, heartbeats, now);
        self.frames.track(bytes)
    }

    fn record_frame(&self, bytes: &Bytes, events: u64, heartbeats: u64, now: Instant) {
        self.control.note_frame(now);
        if let Some(resources) = self.control.resources() {
            resources.sent(Sent { events, bytes: bytes.len() as u64, heartbeats, gaps: 0 });
        }
    }

    /// Reports a gap to the observers.
    pub(super) fn report_gap(&self, gap: &Gap) {
        if let Some(resources) = self.control.resources() {
            resources.lagged(gap);
        }
    }

    /// Registers the source's detach handle, with its first frame: only a stream that has produced a frame can stall.
    pub(super) fn register_detach(&mut self, source: Pin<&mut impl PollSource>) {
        let Phase::Open { has_detach: has_detach @ false, .. } = &mut self.phase else { return };
        let Some(resources) = self.control.resources() else { return };
        if let Some(handle) = source.detach_handle() {
            resources.hold_detach(handle);
            *has_detach = true;
        }
    }

    /// Starts a pause, or has nothing to send: a burst is over.
    pub(super) fn end_burst(&mut self) {
        if let Phase::Open { burst, .. } = &mut self.phase {
            *burst = Burst::default();
        }
    }

    /// Ends the stream for this cause, between two events.
    pub(super) fn end(&mut self, cause: &EndCause, boundary: Boundary) {
        let last = self.effective.last_bytes();
        let last = match cause {
            EndCause::Deadline | EndCause::Lifetime | EndCause::Stalled => last.reconnect(),
            EndCause::Drain => last.reconnect_spread(self.control.spread()),
            EndCause::DrainDeadline => last.failure_and_reconnect(boundary, self.control.spread()),
            EndCause::Revoked(_) => Chunk::NONE,
        };
        self.end_early(cause.reason(), cause.clone().into_error(), last, boundary);
    }

    /// Ends the stream after its source has failed.
    pub(super) fn fail(&mut self, reason: Reason, error: Option<BoxError>, boundary: Boundary) {
        let last = self.effective.last_bytes().failure(boundary);
        self.end_early(reason, error, last, boundary);
    }

    /// Ends the stream before its source, with these last bytes, and with an error if early ends are aborts.
    pub(super) fn end_early(&mut self, reason: Reason, error: Option<BoxError>, last: Chunk, boundary: Boundary) {
        if !self.effective.aborts() {
            self.finish(reason, error.as_deref(), last);
            return;
        }
        // The release of the last bytes tells when all before have been sent, so there are some wherever they are allowed.
        let last = match last {
            _ if self.effective.is_sealed() => Chunk::NONE,
            last if last.bytes.is_empty() => self.effective.last_bytes().no_op(boundary),
            last => last,
        };
        self.finish(reason, error.as_deref(), last);
        let last = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Last(bytes) => *bytes,
            _ => Bytes::new(),
        };
        let error = error.unwrap_or_else(|| EarlyEndError::new(reason).into());
        self.phase = Phase::Aborting(Box::new(Abort::new(last, self.frames.take(), error)));
    }

    /// Ends the stream with these last bytes.
    pub(super) fn finish(&mut self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>, last: Chunk) {
        let Chunk { bytes, events } = last;
        self.phase = Phase::Done;
        self.deadlines = Deadlines::default();
        if !bytes.is_empty() {
            self.record_frame(&bytes, events, 0, Instant::now());
            self.phase = Phase::Last(Box::new(bytes));
        }
        self.control.close(reason, error);
    }

    /// Returns the error of an abort, once.
    pub(super) fn take_error(&mut self) -> Option<BoxError> {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Aborting(abort) => Some(abort.into_error()),
            _ => None,
        }
    }

    /// Closes the stream of a body that is dropped. Does nothing if it has ended before.
    pub(super) fn close_dropped(&self) {
        self.control.close(self.control.drop_reason(), None);
    }
}
