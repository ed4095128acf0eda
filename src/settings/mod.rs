//! What a stream's own settings are, and how they stand above its layer's.

pub(crate) mod heartbeat;

use crate::event::encode::LastRetry;
use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use self::heartbeat::Heartbeat;
use crate::event::Event;

/// The form of an end that comes before the stream's own: by an error, a panic or a late refusal, by a lifetime, a deadline or a
/// drain, by access that is withdrawn, or by lag.
///
/// A clean end brings an `EventSource` back. To clients that read an answer to their own request, as the SDKs of language models
/// do, a clean end means that the answer is complete: they take a truncated one for the whole.
///
/// The end of the source itself is always clean: a stream of events that returns `None`, a topic that is closed, a decorated
/// body that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EarlyEnd {
    /// Closes the response to GET and HEAD, and aborts it for every other method. Without a layer the method is not known, and the
    /// response is closed. This is the default.
    #[default]
    ByMethod,
    /// Closes the response like one that is complete. The part of a decorated event that was cut is dropped by most clients;
    /// `openai-node` throws at it, and if there is an [`on_failure`](StreamSettings::on_failure) event, the part is dispatched
    /// before that.
    Close,
    /// Aborts the response: its body gives an error, whereupon the server cuts the HTTP/1 connection or resets the HTTP/2 stream. All
    /// events from before, and the [`on_failure`](StreamSettings::on_failure) event, are sent first: the error follows when the
    /// server has let go of them, after 5 s at the latest. A comment may stand between.
    ///
    /// The body's error is that of the source where there is one, otherwise an [`EarlyEndError`](crate::EarlyEndError).
    Abort,
}

/// The lines of a stream that are no events.
///
/// A comment keeps a stream alive and means nothing to a client that follows the standard. Google's SDKs do not: `google-genai` of PyPI
/// fails at every line that is not data, and `@google/genai` of npm loses the event behind one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Comments {
    /// Sends a comment with the head, and heartbeats that are comments. This is the default.
    #[default]
    Send,
    /// Sends no comment at all, so that the stream consists of its events: nothing goes out with the head, not the
    /// [`retry:`](StreamSettings::retry) either, and a heartbeat is a [named event](Heartbeat::event) or off.
    ///
    /// Without the first bytes, Firefox and WebKit fire `open` at the first event only; without heartbeats, a proxy may cut an idle
    /// stream, and a client that has left is noticed with the next event.
    Omit,
}

/// Settings of one stream. What is not set here is as the layer has it.
///
/// [`Events`](crate::Events) has the same setters. A plain [`http::Response`] that is an event stream carries its own by
/// having this among its extensions:
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
#[derive(Debug, Clone, Default)]
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
    /// Nothing set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is sent while there is no event. Default: as the layer has it, a comment every 15 s.
    ///
    /// A [`Duration`] will do: `.heartbeat(Duration::from_secs(5))`. Costs five bytes or so for each, and a timer entry.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.heartbeat = Some(heartbeat.into());
        self
    }

    /// Sets how long the client waits before it reconnects, in milliseconds on the wire. Sent with the head. A client
    /// is told at most 2^31 − 1 ms, which is 24.8 days: some clients take a longer time for none.
    /// Default: as the layer has it, unset, which leaves it to the client (3 s in Chromium, 5 s in Firefox).
    #[must_use]
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// When the stream ends, however busy it is: a token's expiry, for one. Default: never.
    ///
    /// A jittered `retry:` goes before the end, whose reason is [`Reason::Deadline`](crate::observe::Reason) and whose form is
    /// [`early_end`](Self::early_end).
    /// Costs a look at the clock for each frame.
    #[must_use]
    pub fn deadline(mut self, at: impl Into<Instant>) -> Self {
        self.deadline = Some(at.into());
        self
    }

    /// The longest that the stream is open, or up to a fifth shorter, so that streams that opened together do not end
    /// together. Default: as the layer has it, any time. Costs a look at the clock for each frame.
    ///
    /// A jittered `retry:` goes before the end, whose reason is [`Reason::Lifetime`](crate::observe::Reason) and whose form is
    /// [`early_end`](Self::early_end): an `EventSource` asks again. A browser does so over the connection that it has: to move it to
    /// another server takes an [age of connections](crate::docs::serving#moving-connections) too.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// What becomes of the stream when a [drain](crate::streams::Streams::drain) begins. Default: as the layer has it,
    /// [`OnDrain::Leave`].
    #[must_use]
    pub fn on_drain(mut self, on_drain: OnDrain) -> Self {
        self.on_drain = Some(on_drain);
        self
    }

    /// Sets the last event of a stream that fails or panics, or is cut by the deadline of a drain. Defaults to none.
    #[must_use]
    pub fn on_failure(mut self, last: Event) -> Self {
        self.on_failure = Some(last);
        self
    }

    /// Sets the form of an end that comes before the stream's own: closed, or aborted. Defaults to the layer's setting, and that to
    /// [`EarlyEnd::ByMethod`]. Costs nothing.
    #[must_use]
    pub fn early_end(mut self, early_end: EarlyEnd) -> Self {
        self.early_end = Some(early_end);
        self
    }

    /// Sets whether the stream has lines that are no events. Defaults to the layer's setting, and that to [`Comments::Send`].
    #[must_use]
    pub fn comments(mut self, comments: Comments) -> Self {
        self.comments = Some(comments);
        self
    }

    /// Sets the form of the `retry:` before an end that the client should come back from. Defaults to the layer's setting, and that
    /// to [`LastRetry::Line`].
    #[must_use]
    pub fn last_retry(mut self, last_retry: LastRetry) -> Self {
        self.last_retry = Some(last_retry);
        self
    }

    pub(crate) fn omits_comments(&self) -> bool {
        self.comments == Some(Comments::Omit)
    }

    /// These, and what the others have where these have nothing. Shares the others where there is nothing of its own.
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

/// What becomes of a stream when a drain begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDrain {
    /// It ends at once, with a `retry:`, and the client comes back to another process. The default: for streams that can
    /// be resumed, or that anybody can make anew.
    #[default]
    Leave,
    /// It goes on until it ends by itself, or until the drain's deadline: for work that would be lost, such as the answer of
    /// a language model.
    Finish,
}
