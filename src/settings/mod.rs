//! Settings of a stream, which take precedence over those of its layer.

pub(crate) mod heartbeat;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use self::heartbeat::Heartbeat;
use crate::event::{Event, encode::LastRetry};

/// The form of a stream's early end: by an error, a panic or a late refusal, by a lifetime, a deadline or a drain, by withdrawn
/// access, or by lag.
///
/// An `EventSource` reconnects after a clean end. Clients that read an answer to their own request, as the SDKs of language models
/// do, take an answer with a clean end for complete, also if it is truncated.
///
/// The end of the source itself is always clean: a stream of events that returns `None`, a topic that is closed, a decorated
/// body that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EarlyEnd {
    /// Closes the response to GET and HEAD, and aborts it for every other method. Without a layer the method is unknown, and the
    /// response is closed. The default.
    #[default]
    ByMethod,
    /// Closes the response as if it were complete. Most clients drop a decorated event that is incomplete. `openai-node` throws at
    /// it. If there is an [`on_failure`](StreamSettings::on_failure) event, clients dispatch the incomplete one before that.
    Close,
    /// Aborts the response: its body returns an error, at which the server closes the HTTP/1 connection or resets the HTTP/2 stream. All
    /// earlier events and the [`on_failure`](StreamSettings::on_failure) event are sent first. The error follows when the server has
    /// released them, after 5 s at the latest. A comment may be sent between.
    ///
    /// The body's error is that of the source if there is one, and an [`EarlyEndError`](crate::EarlyEndError) otherwise.
    Abort,
}

/// The comments that this crate adds to a stream.
///
/// A comment keeps a stream alive, and clients that follow the standard skip it. Google's SDKs do not: `google-genai` of PyPI fails at
/// every line that is not data, and `@google/genai` of npm loses the event after a comment.
///
/// A comment that is [part of an event](crate::EventBuilder::comment), or of a decorated stream, is sent in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Comments {
    /// Sends a comment with the head, and heartbeats that are comments. The default.
    #[default]
    Send,
    /// Adds no comment, so that the stream consists of its events. Nothing is sent with the head, not the
    /// [`retry:`](StreamSettings::retry) either, and a heartbeat is a [named event](Heartbeat::event) or off.
    ///
    /// Without the first bytes, Firefox and WebKit fire `open` only at the first event. Without heartbeats, a proxy may close an idle
    /// stream, and a client that has left is detected only at the next event.
    Omit,
}

/// The settings of one stream. Those that are unset default to the layer's.
///
/// [`Events`](crate::Events) has the same setters. A plain [`http::Response`] that is an event stream has settings of its own if they
/// are among its extensions:
///
/// ```
/// use std::time::Duration;
/// use tower_sse::StreamSettings;
///
/// # let body = ();
/// let response = http::Response::builder()
///     .header("content-type", "text/event-stream")
///     .extension(StreamSettings::new().heartbeat(Duration::from_secs(5)))
///     .body(body);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamSettings {
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) retry: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) on_drain: Option<OnDrain>,
    pub(crate) on_failure: Option<Event>,
    pub(crate) early_end: Option<EarlyEnd>,
    pub(crate) comments: Option<Comments>,
    pub(crate) last_retry: Option<LastRetry>,
}

impl StreamSettings {
    /// Creates settings with every field unset.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the heartbeat, which is sent while there is no event. Defaults to the layer's setting, and that to a comment every 15 s.
    ///
    /// A [`Duration`] converts into a heartbeat: `.heartbeat(Duration::from_secs(5))`. Costs a timer entry, and for each heartbeat two
    /// bytes (192 over HTTP/2) and their framing.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.heartbeat = Some(heartbeat.into());
        self
    }

    /// Sets the time that the client waits before it reconnects. It is sent with the head, in whole milliseconds, and is 2^31 − 1 ms at
    /// most, which is 24.8 days, since some clients take a longer time for none. Defaults to the layer's setting, and that to none,
    /// which leaves the time to the client (3 s in Chromium, 5 s in Firefox).
    #[must_use]
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sets the time at which the stream ends, for example a token's expiry. Defaults to none.
    ///
    /// A jittered `retry:` is sent before the end, whose reason is [`Reason::Deadline`](crate::observe::Reason) and whose form is
    /// [`early_end`](Self::early_end). Costs a reading of the clock for each frame.
    #[must_use]
    pub fn deadline(mut self, at: impl Into<Instant>) -> Self {
        self.deadline = Some(at.into());
        self
    }

    /// Sets the time that the stream is open at most. It ends up to a fifth earlier, so that streams that opened together do not end
    /// together. Defaults to the layer's setting, and that to no limit. Costs a reading of the clock for each frame.
    ///
    /// A jittered `retry:` is sent before the end, whose reason is [`Reason::Lifetime`](crate::observe::Reason) and whose form is
    /// [`early_end`](Self::early_end). An `EventSource` reconnects. A browser does so over the connection that it has: to move it to
    /// another server takes an [age of connections](crate::docs::serving#moving-connections) too.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Sets the behaviour when a [drain](crate::streams::Streams::drain) begins. Defaults to the layer's setting, and that to
    /// [`OnDrain::Leave`].
    #[must_use]
    pub fn on_drain(mut self, on_drain: OnDrain) -> Self {
        self.on_drain = Some(on_drain);
        self
    }

    /// Sets the last event of a stream that fails or panics, or that the deadline of a drain ends. Defaults to the layer's setting, and that
    /// to none.
    #[must_use]
    pub fn on_failure(mut self, last: Event) -> Self {
        self.on_failure = Some(last);
        self
    }

    /// Sets the form of an early end: closed or aborted. Defaults to the layer's setting, and that to [`EarlyEnd::ByMethod`].
    #[must_use]
    pub fn early_end(mut self, early_end: EarlyEnd) -> Self {
        self.early_end = Some(early_end);
        self
    }

    /// Sets whether comments are added to the stream. Defaults to the layer's setting, and that to [`Comments::Send`].
    #[must_use]
    pub fn comments(mut self, comments: Comments) -> Self {
        self.comments = Some(comments);
        self
    }

    /// Sets the form of the `retry:` before an end after which the client should reconnect. Defaults to the layer's setting, and that to
    /// [`LastRetry::Line`].
    #[must_use]
    pub fn last_retry(mut self, last_retry: LastRetry) -> Self {
        self.last_retry = Some(last_retry);
        self
    }

    pub(crate) fn omits_comments(&self) -> bool {
        self.comments == Some(Comments::Omit)
    }

    /// Returns these settings, with `others` for those that are unset. Shares `others` if all are unset.
    pub(crate) fn over(self, others: &Arc<Self>) -> Arc<Self> {
        let Self { heartbeat, retry, deadline, lifetime, on_drain, on_failure, early_end, comments, last_retry } = self;
        let has_times = retry.is_some() || deadline.is_some() || lifetime.is_some();
        let has_ends = on_drain.is_some() || on_failure.is_some() || early_end.is_some();
        let has_lines = heartbeat.is_some() || comments.is_some() || last_retry.is_some();
        if !has_lines && !has_times && !has_ends {
            return Arc::clone(others);
        }
        Arc::new(Self {
            heartbeat: heartbeat.or_else(|| others.heartbeat.clone()),
            retry: retry.or(others.retry),
            deadline: deadline.or(others.deadline),
            lifetime: lifetime.or(others.lifetime),
            on_drain: on_drain.or(others.on_drain),
            on_failure: on_failure.or_else(|| others.on_failure.clone()),
            early_end: early_end.or(others.early_end),
            comments: comments.or(others.comments),
            last_retry: last_retry.or(others.last_retry),
        })
    }
}

/// The behaviour of a stream when a drain begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDrain {
    /// Ends the stream at once, with a `retry:`, so that the client reconnects to another process. For streams that can be resumed or
    /// made again. The default.
    #[default]
    Leave,
    /// Keeps the stream until its source ends, or until the drain's deadline. For work that would be lost, such as the answer of a
    /// language model.
    Finish,
}
