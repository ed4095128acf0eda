//! A stream that another task feeds, and whose feeder sees when nobody listens any more.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use futures_core::Stream;
use futures_util::task::AtomicWaker;
use tokio::sync::{Semaphore, mpsc};

use crate::{error::BoxError, event::Event};

/// Sends events to one client; made by [`Events::channel`](crate::Events::channel). Clones send to the same one.
///
/// ```
/// use tower_sse::{Event, Events, Source};
///
/// # async fn step(number: u32) -> std::io::Result<Event> { Ok(Event::new(format!("{number} %"))) }
/// fn work() -> Events<impl Source> {
///     let (sender, events) = Events::channel(16);
///     tokio::spawn(async move {
///         for number in 1..=100 {
///             match step(number).await {
///                 Ok(event) => match sender.send(event).await {
///                     Ok(()) => {}
///                     Err(_) => return, // the client has left: the work can stop
///                 },
///                 // An error that the task returned would go to its `JoinHandle`, and the stream would end like a complete one.
///                 Err(error) => return sender.fail(error),
///             }
///         }
///     });
///     events
/// }
/// ```
///
/// A sender that is dropped while its thread unwinds, as in a task that panics, makes the stream fail too. A task that is aborted
/// drops its sender like one that has finished.
#[derive(Debug, Clone)]
pub struct EventSender {
    events: mpsc::Sender<Event>,
    failure: Arc<Failure>,
}

/// What [`Events::channel`](crate::Events::channel) reads from.
#[derive(Debug)]
pub struct EventReceiver {
    events: mpsc::Receiver<Event>,
    failure: Arc<Failure>,
}

/// The failure of the first sender that failed.
#[derive(Debug, Default)]
struct Failure {
    is_set: AtomicBool,
    error: Mutex<Option<BoxError>>,
    /// Woken at a failure, since other senders may keep the channel open.
    waker: AtomicWaker,
}

/// The error of a sender that was dropped by a panic.
#[derive(Debug)]
struct Unwound;

/// The client has left, or the stream has ended: nothing can be sent to it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendError {
    event: Event,
}

/// An event could not be sent at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError {
    /// The channel is full: the client reads more slowly than events come.
    Full(Event),
    /// The client has left, or the stream has ended.
    Closed(Event),
}

impl EventSender {
    /// Sends an event, after waiting for room.
    ///
    /// # Errors
    ///
    /// The client has left, or another sender has failed. The event comes back.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is done, the event was not sent, and is lost. Other senders keep their place.
    pub async fn send(&self, event: Event) -> Result<(), SendError> {
        if self.failure.is_set() {
            return Err(SendError { event });
        }
        self.events.send(event).await.map_err(|error| SendError { event: error.0 })
    }

    /// Sends an event if there is room now. Needs no runtime.
    ///
    /// # Errors
    ///
    /// There is no room, the client has left, or another sender has failed. The event comes back.
    pub fn try_send(&self, event: Event) -> Result<(), TrySendError> {
        if self.failure.is_set() {
            return Err(TrySendError::Closed(event));
        }
        self.events.try_send(event).map_err(|error| match error {
            mpsc::error::TrySendError::Full(event) => TrySendError::Full(event),
            mpsc::error::TrySendError::Closed(event) => TrySendError::Closed(event),
        })
    }

    /// Ends the stream with an error, after the events that were sent before. Its reason is [`Failed`](crate::Reason::Failed),
    /// observers are given the error, and the client gets the [`on_failure`](crate::StreamSettings::on_failure) event.
    ///
    /// The first failure decides, and other senders can send nothing from then on. Does nothing if the client has left.
    pub fn fail(self, error: impl Into<BoxError>) {
        self.failure.set(error.into());
    }

    /// Waits until the client has left, or the stream has ended for another reason.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn closed(&self) {
        self.events.closed().await;
    }

    /// Whether the client has left, or the stream has ended for another reason.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.events.is_closed() || self.failure.is_set()
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        if thread::panicking() {
            self.failure.set(Unwound.into());
        }
    }
}

impl Failure {
    /// Sets the error, unless there was one before.
    fn set(&self, error: BoxError) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_set() {
            drop(first);
            return;
        }
        *first = Some(error);
        self.is_set.store(true, Ordering::Release);
        drop(first);
        self.waker.wake();
    }

    fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    fn take(&self) -> Option<BoxError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl SendError {
    /// The event that was not sent.
    #[must_use]
    pub fn into_event(self) -> Event {
        self.event
    }
}

impl TrySendError {
    /// The event that was not sent.
    #[must_use]
    pub fn into_event(self) -> Event {
        match self {
            Self::Full(event) | Self::Closed(event) => event,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client has left")
    }
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel is full",
            Self::Closed(_) => "the client has left",
        })
    }
}

impl Error for SendError {}
impl Error for TrySendError {}

impl fmt::Display for Unwound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender of events panicked")
    }
}

impl Error for Unwound {}

impl Stream for EventReceiver {
    type Item = Result<Event, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.failure.is_set() {
            let polled = self.events.poll_recv(cx);
            if let Poll::Ready(Some(event)) = polled {
                return Poll::Ready(Some(Ok(event)));
            }
            if polled.is_pending() {
                self.failure.waker.register(cx.waker());
            }
            // Set before the last sender went, or since.
            if !self.failure.is_set() {
                return polled.map(|_| None);
            }
        }
        // First the events from before the failure. Now the failure.
        self.events.close();
        match self.events.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(Ok(event))),
            Poll::Ready(None) => Poll::Ready(self.failure.take().map(Err)),
            Poll::Pending => Poll::Pending,
        }
    }
}

pub(crate) fn new(capacity: usize) -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::channel(capacity.clamp(1, Semaphore::MAX_PERMITS));
    let failure = Arc::<Failure>::default();
    (EventSender { events: sender, failure: Arc::clone(&failure) }, EventReceiver { events: receiver, failure })
}
