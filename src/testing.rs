//! Streams without a socket, for tests of a service (feature `test-util`).
//!
//! A [`TestStream`] requests an event stream from a service and reads it as a client does. A [`Recorder`] is an
//! observer that records the ends of streams. With tokio's time paused (`start_paused = true`, tokio's feature
//! `test-util`), a heartbeat of 15 seconds takes no time.
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, body::Body, routing::get};
//! use futures_util::stream;
//! use tower_sse::{Event, Events, SseLayer, observe::Reason, testing::{Recorder, TestStream}};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let recorder = Recorder::new();
//! let layer = SseLayer::from_fn(|_| async {
//!     let events = stream::once(async {
//!         tokio::time::sleep(Duration::from_secs(20)).await;
//!         Event::new("hello")
//!     });
//!     Events::new(events)
//! });
//! let app = Router::new().route("/", get("the page")).layer(layer.observer(recorder.clone()));
//!
//! let mut stream = TestStream::get(app, "/", Body::empty()).await.expect("the service answers an event stream");
//! assert_eq!(stream.head().headers["cache-control"], "no-cache, no-transform");
//! // The prelude is sent with the head. The first event takes 20 seconds, so a heartbeat comes within 15.
//! assert!(stream.heartbeat().await.expect("a heartbeat") <= Duration::from_secs(15));
//! let message = stream.message().await.expect("an event");
//! assert_eq!(message.data(), "hello");
//! assert_eq!(stream.collect().await, []);
//!
//! assert_eq!(recorder.closed()[0].reason, Reason::Finished);
//! assert_eq!(recorder.closed()[0].totals.events, 1);
//! # }
//! ```

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_core::Stream;
use http::{Request, Response, header::ACCEPT, response::Parts};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use crate::{
    error::BoxError,
    event::{
        decode::{Item, Message},
        reader::{EventReader, ReadError},
    },
    negotiate::{accept, refusal::Refusal, request_head::RequestHead},
    observe::{Closed, Observer, ObserverId, Reason, Sent, StreamObserver},
};

/// An event stream that a service has answered, read as a client reads it.
#[derive(Debug)]
pub struct TestStream<B> {
    head: Parts,
    reader: Pin<Box<EventReader<B>>>,
    /// Set if nothing has been read yet. A comment that comes first is the prelude.
    is_first: bool,
    error: Option<ReadError>,
}

/// The error of a [`TestStream`] that could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError<B, E> {
    /// The service answered another response.
    Response(Response<B>),
    /// The service returned an error.
    Error(E),
    /// The address is not a valid URI. The service was not called.
    Address(http::uri::InvalidUri),
}

impl<B: Body<Error: Into<BoxError>>> TestStream<B> {
    /// Requests the event stream at this address by GET. Pass an empty body of the type that the service takes.
    ///
    /// # Errors
    ///
    /// The service answers something else or returns an error, or the address is not valid.
    pub async fn get<S, RB>(service: S, uri: &str, body: RB) -> Result<Self, OpenError<B, S::Error>>
    where
        S: Service<Request<RB>, Response = Response<B>>,
    {
        let mut request = Request::new(body);
        *request.uri_mut() = uri.parse().map_err(OpenError::Address)?;
        request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("text/event-stream"));
        Self::open(service, request).await
    }

    /// Sends this request to the service.
    ///
    /// # Errors
    ///
    /// The service answers something else than an event stream, or returns an error.
    pub async fn open<S, RB>(mut service: S, request: Request<RB>) -> Result<Self, OpenError<B, S::Error>>
    where
        S: Service<Request<RB>, Response = Response<B>>,
    {
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(OpenError::Error)?;
        let response = service.call(request).await.map_err(OpenError::Error)?;
        let kind = response.headers().get(http::header::CONTENT_TYPE);
        if response.status() != 200 || !kind.is_some_and(|kind| accept::is_event_stream(kind.as_bytes())) {
            return Err(OpenError::Response(response));
        }
        let (head, body) = response.into_parts();
        Ok(Self { head, reader: Box::pin(EventReader::new(body)), is_first: true, error: None })
    }

    /// Returns the status and the headers of the response.
    #[must_use]
    pub fn head(&self) -> &Parts {
        &self.head
    }

    /// Returns the id that a client would reconnect with.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.reader.last_event_id()
    }

    /// Reads the next item: an event, a `retry:`, or a comment. Returns `None` at the end.
    ///
    /// # Errors
    ///
    /// The body returns an error, as that of a stream that is [aborted](crate::EarlyEnd) does.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no item is lost.
    pub async fn next(&mut self) -> Result<Option<Item>, ReadError> {
        let next = poll_fn(|cx| self.reader.as_mut().poll_next(cx)).await.transpose();
        self.is_first = false;
        next
    }

    /// Returns the error that ended [`message`](Self::message), [`heartbeat`](Self::heartbeat) or
    /// [`collect`](Self::collect), such as that of a stream that is [aborted](crate::EarlyEnd). Returns `None` if the
    /// stream is open, or has ended cleanly.
    #[must_use]
    pub fn error(&self) -> Option<&ReadError> {
        self.error.as_ref()
    }

    /// Reads the next item, and stores an error.
    async fn item(&mut self) -> Option<Item> {
        match self.next().await {
            Ok(item) => item,
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    /// Reads the next event, and skips all else. Returns `None` at the end, clean or with an [`error`](Self::error).
    pub async fn message(&mut self) -> Option<Message> {
        while let Some(item) = self.item().await {
            if let Item::Event(message) = item {
                return Some(message);
            }
        }
        None
    }

    /// Reads the next comment without text, except the prelude, and returns the time that it took. Returns `None` if an event,
    /// or the comment of one, comes first, which is skipped, or at the end, clean or with an [`error`](Self::error). An empty
    /// [comment of an event](crate::EventBuilder::comment) counts as a heartbeat.
    pub async fn heartbeat(&mut self) -> Option<Duration> {
        let begin = Instant::now();
        loop {
            let may_be_prelude = self.is_first;
            match self.item().await {
                Some(Item::Comment(text)) if !text.trim().is_empty() => return None,
                Some(Item::Comment(_)) if !may_be_prelude => return Some(begin.elapsed()),
                Some(Item::Comment(_) | Item::Retry(_)) => {}
                _ => return None,
            }
        }
    }

    /// Reads all events up to the end, clean or with an [`error`](Self::error).
    pub async fn collect(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            messages.push(message);
        }
        messages
    }
}

/// An [`Observer`] that records streams and refusals. Clones share what they record.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Records>>);

/// A recorded stream that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClosedStream {
    /// The path of its request.
    pub path: String,
    /// The reason for the end.
    pub reason: Reason,
    /// The message of the error, if there was one.
    pub error: Option<String>,
    /// The time for which it was open.
    pub duration: Duration,
    /// The contents of all its frames.
    pub totals: Sent,
    /// The number of gaps that the client was informed of.
    pub gaps: usize,
}

#[derive(Debug, Default)]
struct Records {
    opened: usize,
    refused: usize,
    closed: Vec<ClosedStream>,
}

/// The observer of one recorded stream.
struct RecorderStream {
    recorder: Recorder,
    path: String,
}

impl Recorder {
    /// Creates a recorder that has recorded nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of streams that have opened.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.with_records(|records| records.opened)
    }

    /// Returns the number of requests for a stream that were refused.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.with_records(|records| records.refused)
    }

    /// Returns the streams that have ended, in the order of their ends.
    #[must_use]
    pub fn closed(&self) -> Vec<ClosedStream> {
        self.with_records(|records| records.closed.clone())
    }

    fn with_records<T>(&self, call: impl FnOnce(&mut Records) -> T) -> T {
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Recorder {
    /// Clones have the same identity.
    fn identity(&self) -> Option<ObserverId> {
        Some(ObserverId::of_shared(&self.0))
    }

    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        self.with_records(|records| records.opened += 1);
        Some(Box::new(RecorderStream { recorder: self.clone(), path: head.uri().path().to_owned() }))
    }

    fn refused(&self, _: &RequestHead<'_>, _: &Refusal) {
        self.with_records(|records| records.refused += 1);
    }
}

impl StreamObserver for RecorderStream {
    fn closed(&mut self, closed: &Closed<'_>) {
        let closed = ClosedStream {
            path: std::mem::take(&mut self.path),
            reason: closed.reason,
            error: closed.error.map(ToString::to_string),
            duration: closed.duration,
            totals: closed.totals,
            gaps: usize::try_from(closed.totals.gaps).unwrap_or(usize::MAX),
        };
        self.recorder.with_records(|records| records.closed.push(closed));
    }
}

impl<B, E: fmt::Debug> fmt::Display for OpenError<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => write!(f, "the service answered {}, not an event stream", response.status()),
            Self::Error(error) => write!(f, "the service failed: {error:?}"),
            Self::Address(_) => f.write_str("invalid address"),
        }
    }
}

impl<B: fmt::Debug, E: fmt::Debug> std::error::Error for OpenError<B, E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address(error) => Some(error),
            Self::Response(_) | Self::Error(_) => None,
        }
    }
}
