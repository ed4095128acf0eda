//! A stream that another task feeds, and whose feeder sees when nobody listens any more.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::{Semaphore, mpsc};

use crate::Event;

/// Sends events to one client; made by [`Events::channel`](crate::Events::channel). Clones send to the same one.
///
/// ```
/// use tower_sse::{Event, Events, Source};
///
/// fn work() -> Events<impl Source> {
///     let (sender, events) = Events::channel(16);
///     tokio::spawn(async move {
///         for step in 1..=100 {
///             if sender.send(Event::new(format!("{step} %"))).await.is_err() {
///                 return; // the client has left: the work can stop
///             }
///         }
///     });
///     events
/// }
/// ```
#[derive(Debug, Clone)]
pub struct EventSender(mpsc::Sender<Event>);

/// What [`Events::channel`](crate::Events::channel) reads from.
#[derive(Debug)]
pub struct EventReceiver(mpsc::Receiver<Event>);

/// The client has left, or the stream has ended: nothing can be sent to it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedError {
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
    /// The client has left. The event comes back.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is done, the event was not sent, and is lost. Other senders keep their place.
    pub async fn send(&self, event: Event) -> Result<(), ClosedError> {
        self.0.send(event).await.map_err(|error| ClosedError { event: error.0 })
    }

    /// Sends an event if there is room now. Needs no runtime.
    ///
    /// # Errors
    ///
    /// There is no room, or the client has left. The event comes back.
    pub fn try_send(&self, event: Event) -> Result<(), TrySendError> {
        self.0.try_send(event).map_err(|error| match error {
            mpsc::error::TrySendError::Full(event) => TrySendError::Full(event),
            mpsc::error::TrySendError::Closed(event) => TrySendError::Closed(event),
        })
    }

    /// Waits until the client has left, or the stream has ended for another reason.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Whether the client has left, or the stream has ended for another reason.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl ClosedError {
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

impl fmt::Display for ClosedError {
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

impl Error for ClosedError {}
impl Error for TrySendError {}

impl Stream for EventReceiver {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_recv(cx)
    }
}

pub(crate) fn new(capacity: usize) -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::channel(capacity.clamp(1, Semaphore::MAX_PERMITS));
    (EventSender(sender), EventReceiver(receiver))
}
