//! What is known of a stream from outside its body.
//!
//! hyper does not poll the body of a client that has stopped reading, so nothing within the body can act for it: what
//! must happen then happens here. The body notes each poll; whoever holds the record can see how long ago that was, and
//! can ask the stream to end.

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

use super::{builder::STALLED_AFTER, end_cause::EndCause, permit::Permit, resources::Resources};
use crate::{
    access::AccessRevoked,
    observe::{Reason, dispatch::StreamObservers},
    streams::attached::Attached,
};

/// Shared by a body and those who watch over it. One writer, the body; any number of readers.
#[derive(Debug)]
pub(crate) struct StreamControl {
    opened: Instant,
    /// Microseconds from `opened` to the last frame, and in the lowest bit whether the last poll gave one.
    last: AtomicU64,
    /// The reason for which it was asked to end, one of the constants below, and in the lowest bit whether layers have
    /// attached something.
    requested_end: AtomicU8,
    /// A drain is to let it come to its end.
    finishes: AtomicBool,
    waker: AtomicWaker,
    /// Made by the first layer that observes, counts or limits the stream. Other streams have none.
    outside: OnceLock<Box<Resources>>,
}

impl StreamControl {
    pub(crate) fn new() -> Self {
        Self {
            opened: Instant::now(),
            // The head is given, and who does not take it does not read.
            last: AtomicU64::new(1),
            requested_end: AtomicU8::new(NOT_REQUESTED),
            finishes: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            outside: OnceLock::new(),
        }
    }

    pub(crate) fn outside(&self) -> Option<&Resources> {
        self.outside.get().map(|outside| &**outside)
    }

    /// Adds observers of the stream. If it is over they are told so at once.
    pub(crate) fn observe(&self, observed: Box<StreamObservers>) {
        self.add(|outside| outside.observe(observed));
    }

    /// Adds what a layer asks of the stream, which takes it with its next poll.
    pub(crate) fn attach(&self, attach: impl FnOnce(&mut Attached)) {
        self.add(|outside| outside.attach(attach));
        if self.requested_end.fetch_or(ATTACHED, Ordering::AcqRel) & ATTACHED == 0 {
            self.waker.wake();
        }
    }

    /// Returns whether layers have attached something that was not taken yet.
    pub(crate) fn has_attached(&self) -> bool {
        self.requested_end.load(Ordering::Relaxed) & ATTACHED != 0
    }

    /// Takes what layers have attached.
    pub(crate) fn take_attached(&self) -> Option<Box<Attached>> {
        if !self.has_attached() {
            return None;
        }
        self.requested_end.fetch_and(!ATTACHED, Ordering::AcqRel);
        self.outside()?.take_attached()
    }

    /// Gives the stream a place among others, which is free again when the stream is over.
    pub(crate) fn enter(self: &Arc<Self>, mut permit: Permit) {
        permit.open(self);
        self.add(|outside| outside.hold_permit(permit));
    }

    /// Takes over the observers and places of another stream, which goes on as this one.
    pub(crate) fn succeed(self: &Arc<Self>, other: &Self) {
        let Some((observed, permits)) = other.outside().map(Resources::hand_over) else { return };
        if let Some(observed) = observed {
            self.observe(observed);
        }
        for permit in permits {
            self.enter(permit);
        }
    }

    /// Ordering: the body marks its end, then looks for what is held outside. A layer adds what is held, then looks for the
    /// mark. With the fences at least one of them sees the other, and what was added is let go of.
    fn add(&self, add: impl FnOnce(&Resources)) {
        let outside = self.outside.get_or_init(Box::default);
        add(outside);
        fence(Ordering::SeqCst);
        if self.level(Ordering::Relaxed) == OVER {
            outside.close(Reason::ClientGone, None);
        }
    }

    /// The stream is over. What is held for it outside is let go of, and so is what comes later.
    pub(crate) fn close(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        self.requested_end.store(OVER, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if let Some(outside) = self.outside() {
            outside.close(reason, error);
        }
    }

    /// How long it has been open, at the latest since its head went out.
    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    /// When the last frame was given, or the stream opened.
    pub(crate) fn last_frame(&self) -> Instant {
        self.opened + Duration::from_micros(self.last.load(Ordering::Relaxed) >> 1)
    }

    /// A poll gives a frame.
    pub(crate) fn note_frame(&self, now: Instant) {
        let micros = now.saturating_duration_since(self.opened).as_micros();
        self.last.store((u64::try_from(micros).unwrap_or(u64::MAX) << 1) | 1, Ordering::Relaxed);
    }

    /// A poll gives nothing.
    pub(crate) fn mark_pending(&self) {
        self.last.store(self.last.load(Ordering::Relaxed) & !1, Ordering::Relaxed);
    }

    /// A poll gives nothing, and this task is to be woken when the stream is asked to end.
    pub(crate) fn register_waker(&self, waker: &Waker) {
        self.mark_pending();
        self.waker.register(waker);
    }

    /// Whether the last poll gave a frame, and nobody has asked for anything: whoever does has the task woken, which is
    /// once.
    pub(crate) fn last_poll_gave_frame(&self) -> bool {
        self.last.load(Ordering::Relaxed) & 1 == 1 && self.requested_end.load(Ordering::Acquire) == NOT_REQUESTED
    }

    /// Whether the stream waits for events, or gave a frame, or its head, within this time: somebody reads it.
    pub(crate) fn is_read_within(&self, time: Duration) -> bool {
        let gave = self.last.load(Ordering::Relaxed) & 1 == 1;
        !gave || self.last_frame().elapsed() < time
    }

    pub(crate) fn set_finishes(&self, finishes: bool) {
        self.finishes.store(finishes, Ordering::Relaxed);
    }

    /// Returns whether a drain lets the stream come to its own end.
    pub(crate) fn finishes(&self) -> bool {
        self.finishes.load(Ordering::Relaxed)
    }

    /// Returns whether a drain waits for its end. A slow client cannot be told from one that does not read, so work that is to
    /// finish is waited for until the client is taken for stalled.
    pub(crate) fn drain_waits_for(&self, stalled_after: Option<Duration>) -> bool {
        match stalled_after {
            _ if !self.finishes.load(Ordering::Relaxed) => self.is_read_within(STALLED_FOR_A_DRAIN),
            Some(time) => self.is_read_within(time),
            None => true,
        }
    }

    /// Asks the stream to leave, unless it is to finish.
    pub(crate) fn drain(&self) {
        self.request_end(DRAIN);
    }

    /// Asks the stream to end, also if it was to finish.
    pub(crate) fn cut(&self) {
        self.request_end(CUT);
    }

    /// Asks the stream to end since its client may not see it any more. One that nobody reads ends here.
    pub(crate) fn withdraw(&self, why: &AccessRevoked) {
        // It may be the first that is done from outside: the request was under way when its key was ended.
        let outside = self.outside.get_or_init(Box::default);
        outside.withdraw(why.clone());
        self.request_end(WITHDRAW);
        // Whether it is read is not known at once, and what it holds is not needed for its end.
        if !self.is_read_within(Duration::ZERO) {
            outside.abandon(Reason::Revoked, Some(why));
        }
    }

    /// If nobody has read the stream for so long, what it holds is let go here.
    pub(crate) fn stall_unless_read_within(&self, time: Duration) {
        if self.is_read_within(time) {
            return;
        }
        self.request_end(STALL);
        if let Some(outside) = self.outside() {
            outside.abandon(Reason::Stalled, None);
        }
    }

    /// Who asks for more than those before is heard, and wakes the stream.
    fn request_end(&self, what: u8) {
        let more = |asked: u8| (asked & !ATTACHED < what).then_some(what | (asked & ATTACHED));
        if self.requested_end.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok() {
            self.waker.wake();
        }
    }

    fn level(&self, ordering: Ordering) -> u8 {
        self.requested_end.load(ordering) & !ATTACHED
    }

    /// What it was asked to end for. Whether a drain is meant for it is for the stream to know.
    pub(crate) fn requested_end(&self) -> Option<EndCause> {
        match self.level(Ordering::Acquire) {
            DRAIN => Some(EndCause::Drain),
            CUT => Some(EndCause::DrainDeadline),
            WITHDRAW => self.outside()?.revocation().cloned().map(EndCause::Revoked),
            STALL => Some(EndCause::Stalled),
            _ => None,
        }
    }

    /// Over how long the clients of a drain come back.
    pub(crate) fn spread(&self) -> Duration {
        self.outside().map(Resources::spread).unwrap_or_default()
    }

    /// Why a body was dropped before its end: a last poll that waited for events means that the client left; one that
    /// gave a frame, long ago, means that nobody read it. When a drain is over the server drops those that it did not wait
    /// for.
    pub(crate) fn drop_reason(&self) -> Reason {
        let is_asked = self.level(Ordering::Relaxed) != NOT_REQUESTED;
        let stalled_after = self.outside().and_then(Resources::stalled_after).unwrap_or(STALLED_AFTER);
        let is_read =
            if is_asked { self.drain_waits_for(Some(stalled_after)) } else { self.is_read_within(stalled_after) };
        if is_read { Reason::ClientGone } else { Reason::Stalled }
    }
}

// Each asks for more than the one above: the end of a drain for more than its beginning.
const NOT_REQUESTED: u8 = 0;
const DRAIN: u8 = 2;
const CUT: u8 = 4;
const WITHDRAW: u8 = 6;
const STALL: u8 = 8;
const OVER: u8 = 10;

/// Beside any of these.
const ATTACHED: u8 = 1;

/// A client that is to leave, and has not read for so long, is not waited for. It loses nothing: it comes back after the cut of its
/// connection as after the end of its stream.
const STALLED_FOR_A_DRAIN: Duration = Duration::from_secs(1);

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
    async fn who_asks_for_more_is_heard_and_wakes_the_stream_once() {
        let (record, wakes) = (StreamControl::new(), Arc::new(Wakes::default()));
        record.register_waker(&wakes.clone().into());
        assert!(record.requested_end().is_none());
        record.drain();
        record.drain();
        assert!(matches!(record.requested_end(), Some(EndCause::Drain)));
        assert_eq!(wakes.0.load(SeqCst), 1);
        record.register_waker(&wakes.clone().into());
        record.cut();
        record.drain();
        assert!(matches!(record.requested_end(), Some(EndCause::DrainDeadline)));
        assert_eq!(wakes.0.load(SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_one_whose_last_poll_gave_a_frame_long_ago_was_stalled() {
        let record = StreamControl::new();
        assert_eq!(record.drop_reason(), Reason::ClientGone, "opened just now");
        tokio::time::advance(STALLED_AFTER).await;
        assert_eq!(record.drop_reason(), Reason::Stalled, "never polled");
        record.note_frame(Instant::now());
        assert_eq!(record.drop_reason(), Reason::ClientGone, "a frame just now");
        tokio::time::advance(STALLED_AFTER).await;
        assert_eq!(record.drop_reason(), Reason::Stalled);
        record.register_waker(std::task::Waker::noop());
        assert_eq!(record.drop_reason(), Reason::ClientGone, "it waited for events");
        assert_eq!(record.last_frame() + STALLED_AFTER, Instant::now(), "waiting keeps the time of the frame");
    }
}
