//! Provides a channel of events, whose sender can wait for its client to leave.

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

/// Sends events to one client; made by [`Events::channel`](crate::Events::channel). Clones send to the same client.
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
/// A sender that is dropped while its thread unwinds, as in a task that panics, makes the stream fail. An aborted task drops its
/// sender like a task that has finished.
#[derive(Debug, Clone)]
pub struct EventSender {
    events: mpsc::Sender<Event>,
    failure: Arc<Failure>,
}

/// The receiving half of [`Events::channel`](crate::Events::channel).
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
    /// Woken by a failure: other senders may keep the channel open.
    waker: AtomicWaker,
}

/// The error of a sender that was dropped by a panic.
#[derive(Debug)]
struct Unwound;

/// The error of a send to a client that has left, or whose stream has ended. Holds the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendError {
    event: Event,
}

/// The error of an event that cannot be sent at once. Holds the event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError {
    /// The channel is full: the client reads more slowly than events come.
    Full(Event),
    /// The client has left, or the stream has ended.
    Closed(Event),
}

impl EventSender {
    /// Sends an event. Waits while the channel is full.
    ///
    /// # Errors
    ///
    /// Returns the event if the client has left, or another sender has failed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the event is not sent, and is lost. The sender then loses its place in the
    /// order of those that wait.
    pub async fn send(&self, event: Event) -> Result<(), SendError> {
        if self.failure.is_set() {
            return Err(SendError { event });
        }
        self.events.send(event).await.map_err(|error| SendError { event: error.0 })
    }

    /// Sends an event, and blocks the thread while the channel is full. For threads without a runtime, and for
    /// [`spawn_blocking`](tokio::task::spawn_blocking).
    ///
    /// # Errors
    ///
    /// Returns the event if the client has left, or another sender has failed.
    ///
    /// # Panics
    ///
    /// Panics if called within an async context, as [`tokio::sync::mpsc::Sender::blocking_send`] does.
    pub fn blocking_send(&self, event: Event) -> Result<(), SendError> {
        if self.failure.is_set() {
            return Err(SendError { event });
        }
        self.events.blocking_send(event).map_err(|error| SendError { event: error.0 })
    }

    /// Sends an event if there is room now. Does not need a runtime.
    ///
    /// # Errors
    ///
    /// Returns the event if the channel is full, the client has left, or another sender has failed.
    pub fn try_send(&self, event: Event) -> Result<(), TrySendError> {
        if self.failure.is_set() {
            return Err(TrySendError::Closed(event));
        }
        self.events.try_send(event).map_err(|error| match error {
            mpsc::error::TrySendError::Full(event) => TrySendError::Full(event),
            mpsc::error::TrySendError::Closed(event) => TrySendError::Closed(event),
        })
    }

    /// Ends the stream with an error, after the events that were sent before. Its reason is [`Failed`](crate::observe::Reason::Failed),
    /// observers receive the error, and the client receives the [`on_failure`](crate::StreamSettings::on_failure) event.
    ///
    /// Only the first failure counts, and no sender can send after it. Does nothing if the client has left.
    pub fn fail(self, error: impl Into<BoxError>) {
        self.failure.set(error.into());
    }

    /// Waits until the client has left, or the stream has ended for another reason.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped and called again without loss.
    pub async fn closed(&self) {
        self.events.closed().await;
    }

    /// Returns `true` if the client has left, or the stream has ended for another reason.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.events.is_closed() || self.failure.is_set()
    }

    /// Returns the number of events for which there is room now.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.events.capacity()
    }

    /// Returns `true` if both send to the same client.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        self.events.same_channel(&other.events)
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
    /// Returns the event that was not sent.
    #[must_use]
    pub fn into_event(self) -> Event {
        self.event
    }
}

impl TrySendError {
    /// Returns the event that was not sent.
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
            // The failure may have been set before the last sender was dropped, or since.
            if !self.failure.is_set() {
                return polled.map(|_| None);
            }
        }
        // First the events from before the failure, then the failure.
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
