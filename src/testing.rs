//! A stream without a socket, for tests of one's own service (feature `test-util`).
//!
//! [`TestStream`] asks a service for an event stream and reads it as a client does; [`Recorder`] remembers what observers
//! are told. With tokio's time paused (`start_paused = true`, tokio's feature `test-util`) a heartbeat of 15 seconds takes no
//! time at all.
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, body::Body, routing::get};
//! use futures_util::stream;
//! use tower_sse::{Event, Events, Reason, SseLayer, testing::{Recorder, TestStream}};
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
//! let mut stream = TestStream::get(app, "/", Body::empty()).await.expect("it is an event stream");
//! assert_eq!(stream.head().headers["cache-control"], "no-cache, no-transform");
//! // The prelude came with the head; now 20 seconds of nothing, and so a heartbeat within 15.
//! assert!(stream.heartbeat().await.expect("one comes") <= Duration::from_secs(15));
//! let message = stream.message().await.expect("it is still open");
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

/// An event stream that a service answered, read as a client reads it.
#[derive(Debug)]
pub struct TestStream<B> {
    head: Parts,
    reader: Pin<Box<EventReader<B>>>,
    /// Nothing was read yet: a comment that comes first is the prelude.
    is_new: bool,
    error: Option<ReadError>,
}

/// What a service answered instead of an event stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError<B, E> {
    /// Another response.
    Response(Response<B>),
    /// An error.
    Error(E),
    /// Nobody was asked: the address is none.
    Address(http::uri::InvalidUri),
}

impl<B: Body<Error: Into<BoxError>>> TestStream<B> {
    /// Asks for the event stream at this address, with a body of the kind that the service takes: an empty one.
    ///
    /// # Errors
    ///
    /// The service answers something else, or the address is none.
    pub async fn get<S, RB>(service: S, uri: &str, body: RB) -> Result<Self, OpenError<B, S::Error>>
    where
        S: Service<Request<RB>, Response = Response<B>>,
    {
        let mut request = Request::new(body);
        *request.uri_mut() = uri.parse().map_err(OpenError::Address)?;
        request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("text/event-stream"));
        Self::open(service, request).await
    }

    /// Sends this request.
    ///
    /// # Errors
    ///
    /// The service answers something else than an event stream.
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
        Ok(Self { head, reader: Box::pin(EventReader::new(body)), is_new: true, error: None })
    }

    /// Status and headers.
    #[must_use]
    pub fn head(&self) -> &Parts {
        &self.head
    }

    /// The id that a client would come back with.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        self.reader.last_event_id()
    }

    /// What comes next: an event, a `retry:`, a comment. `None`: the end.
    ///
    /// # Errors
    ///
    /// The body gives an error, as that of a stream that is [aborted](crate::EarlyEnd) does.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Item>, ReadError> {
        let next = poll_fn(|cx| self.reader.as_mut().poll_next(cx)).await.transpose();
        self.is_new = false;
        next
    }

    /// Returns the error at which [`message`](Self::message), [`heartbeat`](Self::heartbeat) or [`collect`](Self::collect) has come to the end:
    /// that of a stream that is [aborted](crate::EarlyEnd), for one. Returns `None` if the stream is open, or its end is clean.
    #[must_use]
    pub fn error(&self) -> Option<&ReadError> {
        self.error.as_ref()
    }

    /// Reads on, and keeps an error.
    async fn item(&mut self) -> Option<Item> {
        match self.next().await {
            Ok(item) => item,
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    /// The next event, whatever else comes before it. `None`: the end, clean or by an [`error`](Self::error).
    pub async fn message(&mut self) -> Option<Message> {
        while let Some(item) = self.item().await {
            if let Item::Event(message) = item {
                return Some(message);
            }
        }
        None
    }

    /// The next comment that is not the one that a stream begins with, and how long it took. `None`: an event came before
    /// it, which is passed over, or the end, clean or by an [`error`](Self::error).
    pub async fn heartbeat(&mut self) -> Option<Duration> {
        let begin = Instant::now();
        loop {
            let may_be_prelude = self.is_new;
            match self.item().await {
                Some(Item::Comment(_)) if !may_be_prelude => return Some(begin.elapsed()),
                Some(Item::Comment(_) | Item::Retry(_)) => {}
                _ => return None,
            }
        }
    }

    /// All events up to the end, clean or by an [`error`](Self::error).
    pub async fn collect(&mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        while let Some(message) = self.message().await {
            rest.push(message);
        }
        rest
    }
}

/// An [`Observer`] that remembers. Clones remember together.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Recorded>>);

/// A stream that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClosedStream {
    /// Its request's path.
    pub path: String,
    /// Why it ended.
    pub reason: Reason,
    /// What the error said, if there was one.
    pub error: Option<String>,
    /// How long it was open.
    pub duration: Duration,
    /// What went out.
    pub totals: Sent,
    /// How often the client was told that it had missed something.
    pub gaps: usize,
}

#[derive(Debug, Default)]
struct Recorded {
    opened: usize,
    refused: usize,
    closed: Vec<ClosedStream>,
}

struct Remembers {
    recorder: Recorder,
    path: String,
}

impl Recorder {
    /// One that was told nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many streams have opened.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.with(|recorded| recorded.opened)
    }

    /// How many requests for a stream were refused.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.with(|recorded| recorded.refused)
    }

    /// The streams that have ended, in the order of their ends.
    #[must_use]
    pub fn closed(&self) -> Vec<ClosedStream> {
        self.with(|recorded| recorded.closed.clone())
    }

    fn with<T>(&self, call: impl FnOnce(&mut Recorded) -> T) -> T {
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Recorder {
    /// Clones record together.
    fn identity(&self) -> Option<ObserverId> {
        Some(ObserverId::of_shared(&self.0))
    }

    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        self.with(|recorded| recorded.opened += 1);
        Some(Box::new(Remembers { recorder: self.clone(), path: head.uri().path().to_owned() }))
    }

    fn refused(&self, _: &RequestHead<'_>, _: &Refusal) {
        self.with(|recorded| recorded.refused += 1);
    }
}

impl StreamObserver for Remembers {
    fn closed(&mut self, closed: &Closed<'_>) {
        let closed = ClosedStream {
            path: std::mem::take(&mut self.path),
            reason: closed.reason,
            error: closed.error.map(ToString::to_string),
            duration: closed.duration,
            totals: closed.totals,
            gaps: usize::try_from(closed.totals.gaps).unwrap_or(usize::MAX),
        };
        self.recorder.with(|recorded| recorded.closed.push(closed));
    }
}

impl<B: fmt::Debug, E: fmt::Debug> fmt::Display for OpenError<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => write!(f, "the service answered {} and no event stream", response.status()),
            Self::Error(error) => write!(f, "the service failed: {error:?}"),
            Self::Address(error) => write!(f, "the address is none: {error}"),
        }
    }
}

impl<B: fmt::Debug, E: fmt::Debug> std::error::Error for OpenError<B, E> {}
