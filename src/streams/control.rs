//! The control block of a stream: its state as others see it, outside of its body.
//!
//! hyper does not poll the body of a client that has stopped reading, so the end of such a stream has to be handled
//! here. The body records each poll. A drain, a logout and the watchdog read from it how long ago the last one was, and
//! request the stream's end.

use std::{
    error::Error,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::{
    attached::Attached, end_cause::EndCause, open_stream::OpenStream, permit::Permit, resources::Resources,
    settings::STALL_TIMEOUT,
};
use crate::{
    access::AccessRevoked,
    observe::{Reason, dispatch::StreamObservers},
};

/// The control block of a stream. It has one writer, the body, and any number of readers.
#[derive(Debug)]
pub(crate) struct StreamControl {
    opened: Instant,
    /// The microseconds from `opened` to the last frame. The lowest bit says whether the last poll returned a frame.
    last: AtomicU64,
    /// The most severe end that was requested, and flags beside it: see the constants below.
    requests: AtomicU8,
    /// Set if a drain lets the stream finish.
    finishes: AtomicBool,
    waker: AtomicWaker,
    /// Created by the first layer that observes, counts or limits the stream. Other streams have none.
    resources: OnceLock<Box<Resources>>,
}

impl StreamControl {
    pub(crate) fn new() -> Self {
        Self {
            opened: Instant::now(),
            // The response head counts as a frame that is unread until the first poll.
            last: AtomicU64::new(1),
            requests: AtomicU8::new(NONE),
            finishes: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            resources: OnceLock::new(),
        }
    }

    /// Returns the stream's resources, or `None` if no layer has added any.
    pub(crate) fn resources(&self) -> Option<&Resources> {
        self.resources.get().map(|resources| &**resources)
    }

    /// Adds observers of the stream. Reports its end to them at once if it is over.
    pub(crate) fn observe(&self, observed: Box<StreamObservers>) {
        self.add(|resources| resources.observe(observed));
    }

    /// Attaches the requirements of a layer, which the stream takes with its next poll.
    pub(crate) fn attach(&self, attach: impl FnOnce(&mut Attached)) {
        self.add(|resources| resources.attach(attach));
        if self.requests.fetch_or(ATTACHED, Ordering::AcqRel) & ATTACHED == 0 {
            self.waker.wake();
        }
    }

    /// Returns `true` if an end is requested, layers have attached something that was not taken yet, or the timer has fired.
    #[inline]
    pub(crate) fn has_request(&self) -> bool {
        self.requests.load(Ordering::Acquire) != NONE
    }

    /// Returns `true` if layers have attached something that was not taken yet.
    pub(crate) fn has_attached(&self) -> bool {
        self.requests.load(Ordering::Relaxed) & ATTACHED != 0
    }

    /// Takes the requirements that layers have attached.
    pub(crate) fn take_attached(&self) -> Option<Box<Attached>> {
        if !self.has_attached() {
            return None;
        }
        self.requests.fetch_and(!ATTACHED, Ordering::AcqRel);
        self.resources()?.take_attached()
    }

    /// Opens the stream in the permit's slot, and holds the permit until the stream is over.
    pub(crate) fn hold_permit(self: &Arc<Self>, mut permit: Permit) {
        let stream = Arc::clone(self);
        permit.open(stream);
        self.add(|resources| resources.hold_permit(permit));
    }

    /// Takes over the observers and permits of another stream, which this one continues.
    pub(crate) fn take_over(self: &Arc<Self>, other: &Self) {
        let Some((observed, permits)) = other.resources().map(Resources::hand_over) else { return };
        if let Some(observed) = observed {
            self.observe(observed);
        }
        for permit in permits {
            self.hold_permit(permit);
        }
    }

    /// Adds a resource.
    ///
    /// Ordering: the body marks its end, then looks for resources. A layer adds a resource, then looks for the mark.
    /// With the fences at least one of them sees the other's write, so the resource is released.
    fn add(&self, add: impl FnOnce(&Resources)) {
        let resources = self.resources.get_or_init(Box::default);
        add(resources);
        fence(Ordering::SeqCst);
        if self.severity(Ordering::Relaxed) == OVER {
            resources.close(Reason::ClientGone, None);
        }
    }

    /// Marks the stream as over, and releases its resources, as well as those that are added later.
    pub(crate) fn close(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        self.requests.store(OVER, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if let Some(resources) = self.resources() {
            resources.close(reason, error);
        }
    }

    /// Wakes the stream, whose timer has fired.
    pub(crate) fn fire_timer(&self) {
        self.requests.fetch_or(FIRED, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Wakes the stream, whose timer is lost with its runtime.
    pub(crate) fn lose_timer(&self) {
        self.requests.fetch_or(LOST, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Returns whether the timer, which fires at this time, has fired, or is lost. An earlier timer that the stream has
    /// replaced does not count.
    #[inline]
    pub(crate) fn has_timer_fired(&self, fires_at: impl FnOnce() -> u64) -> bool {
        if self.requests.load(Ordering::Acquire) & (FIRED | LOST) == 0 {
            return false;
        }
        // Ordering: a timer that fires after this sets the flag again, so the clock is read after it.
        let flags = self.requests.fetch_and(!(FIRED | LOST), Ordering::AcqRel);
        flags & LOST != 0 || self.micros_at(Instant::now()) >= fires_at()
    }

    /// Returns the microseconds from the creation of the stream to this time.
    pub(crate) fn micros_at(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.opened);
        since.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(since.subsec_micros()))
    }

    /// Returns the time at which the stream was created, which is before its head is sent.
    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    /// Returns the time of the last frame, or of the opening if there was no frame yet.
    pub(crate) fn last_frame(&self) -> Instant {
        self.opened + Duration::from_micros(self.last.load(Ordering::Relaxed) >> 1)
    }

    /// Records a poll that returns a frame.
    pub(crate) fn note_frame(&self, now: Instant) {
        self.last.store((self.micros_at(now) << 1) | 1, Ordering::Relaxed);
    }

    /// Records a poll that returns no frame.
    pub(crate) fn mark_pending(&self) {
        self.last.store(self.last.load(Ordering::Relaxed) & !1, Ordering::Relaxed);
    }

    /// Records a poll that returns no frame, and the waker for a request to end the stream.
    pub(crate) fn register_waker(&self, waker: &Waker) {
        self.mark_pending();
        self.waker.register(waker);
    }

    /// Returns `true` if the last poll returned a frame and no end is requested. A request wakes the task, which
    /// happens once.
    pub(crate) fn last_poll_gave_frame(&self) -> bool {
        self.last.load(Ordering::Relaxed) & 1 == 1 && !self.has_request()
    }

    /// Returns `true` if the client reads: the stream waits for events, or its last frame, or its head, is younger than
    /// this.
    fn is_read_within(&self, time: Duration) -> bool {
        let has_frame = self.last.load(Ordering::Relaxed) & 1 == 1;
        !has_frame || self.last_frame().elapsed() < time
    }

    pub(crate) fn set_finishes(&self, finishes: bool) {
        self.finishes.store(finishes, Ordering::Relaxed);
    }

    /// Returns `true` if a drain lets the stream finish.
    pub(crate) fn finishes(&self) -> bool {
        self.finishes.load(Ordering::Relaxed)
    }

    /// Replaces the requested end if this one is more severe, and wakes the stream.
    fn request_end(&self, end: u8) {
        let more_severe = |now: u8| (now & SEVERITY < end).then_some(end | (now & !SEVERITY));
        if self.requests.fetch_update(Ordering::AcqRel, Ordering::Acquire, more_severe).is_ok() {
            self.waker.wake();
        }
    }

    fn severity(&self, ordering: Ordering) -> u8 {
        self.requests.load(ordering) & SEVERITY
    }

    /// Returns the cause of the requested end, if any. The stream decides whether a drain applies to it.
    pub(crate) fn requested_end(&self) -> Option<EndCause> {
        match self.severity(Ordering::Acquire) {
            DRAIN => Some(EndCause::Drain),
            CUT => Some(EndCause::DrainDeadline),
            REVOKE => self.resources()?.revocation().cloned().map(EndCause::Revoked),
            STALL => Some(EndCause::Stalled),
            _ => None,
        }
    }

    /// Returns the time over which the clients of a drain reconnect.
    pub(crate) fn spread(&self) -> Duration {
        self.resources().map(Resources::reconnect_spread).unwrap_or_default()
    }

    /// Returns the reason for which a body was dropped before its end.
    ///
    /// The client has left if the last poll waited for events. It did not read if the last poll returned a frame, long
    /// ago. After a drain the server drops the streams that the drain did not wait for.
    pub(crate) fn drop_reason(&self) -> Reason {
        let is_requested = self.severity(Ordering::Relaxed) != NONE;
        let stall_timeout = self.resources().and_then(Resources::stall_timeout).unwrap_or(STALL_TIMEOUT);
        let is_read =
            if is_requested { self.drain_waits_for(Some(stall_timeout)) } else { self.is_read_within(stall_timeout) };
        if is_read { Reason::ClientGone } else { Reason::Stalled }
    }
}

impl OpenStream for StreamControl {
    fn drain(&self) {
        self.request_end(DRAIN);
    }

    fn cut(&self) {
        self.request_end(CUT);
    }

    fn revoke(&self, cause: &AccessRevoked) {
        // This may create the resources, if the key was ended before the request was answered.
        let resources = self.resources.get_or_init(Box::default);
        resources.revoke(cause.clone());
        self.request_end(REVOKE);
        // After a frame it is not known at once whether the client reads, and the stream's end does not need its
        // resources.
        if !self.is_read_within(Duration::ZERO) {
            resources.abandon(Reason::Revoked, Some(cause));
        }
    }

    fn stall_unless_read_within(&self, time: Duration) {
        if self.is_read_within(time) {
            return;
        }
        self.request_end(STALL);
        if let Some(resources) = self.resources() {
            resources.abandon(Reason::Stalled, None);
        }
    }

    /// A slow client looks like one that does not read, so a stream that is to finish is waited for until its client
    /// counts as stalled.
    fn drain_waits_for(&self, stall_timeout: Option<Duration>) -> bool {
        match stall_timeout {
            _ if !self.finishes.load(Ordering::Relaxed) => self.is_read_within(STALLED_IN_A_DRAIN),
            Some(time) => self.is_read_within(time),
            None => true,
        }
    }
}

// Requests to end a stream, in the order of their severity.
const NONE: u8 = 0;
const DRAIN: u8 = 2;
const CUT: u8 = 4;
const REVOKE: u8 = 6;
const STALL: u8 = 8;
const OVER: u8 = 10;

/// The bits of these. The others are flags.
const SEVERITY: u8 = 0b1110;

/// Layers have attached something.
const ATTACHED: u8 = 1;

/// The timer has fired.
const FIRED: u8 = 16;

/// The timer is lost with its runtime.
const LOST: u8 = 32;

/// The time without a read after which a drain does not wait for a client whose stream is to leave. The client loses
/// nothing: it reconnects after the cut of its connection as after the end of its stream.
const STALLED_IN_A_DRAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_severe_end_replaces_request_and_wakes_once() {
        let (control, wakes) = (StreamControl::new(), Arc::new(Wakes::default()));
        control.register_waker(&wakes.clone().into());
        assert!(control.requested_end().is_none());
        control.drain();
        control.drain();
        assert!(matches!(control.requested_end(), Some(EndCause::Drain)));
        assert_eq!(wakes.0.load(SeqCst), 1);
        control.register_waker(&wakes.clone().into());
        control.cut();
        control.drain();
        assert!(matches!(control.requested_end(), Some(EndCause::DrainDeadline)));
        assert_eq!(wakes.0.load(SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_stream_is_stalled_only_after_an_old_frame() {
        let control = StreamControl::new();
        assert_eq!(control.drop_reason(), Reason::ClientGone, "opened just now");
        tokio::time::advance(STALL_TIMEOUT).await;
        assert_eq!(control.drop_reason(), Reason::Stalled, "never polled");
        control.note_frame(Instant::now());
        assert_eq!(control.drop_reason(), Reason::ClientGone, "a frame just now");
        tokio::time::advance(STALL_TIMEOUT).await;
        assert_eq!(control.drop_reason(), Reason::Stalled);
        control.register_waker(std::task::Waker::noop());
        assert_eq!(control.drop_reason(), Reason::ClientGone, "it waited for events");
        assert_eq!(control.last_frame() + STALL_TIMEOUT, Instant::now(), "waiting keeps the time of the frame");
    }
}
