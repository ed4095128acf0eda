//! The handle to a set of open streams, and its builder.

use std::{fmt, sync::Arc, time::Duration};

use super::{registry::StreamRegistry, settings::Settings};
use crate::access::AccessRevoked;

/// A handle to the open streams of one or several layers. Clones are handles to the same streams.
///
/// See the [module's documentation](crate::streams).
#[derive(Clone)]
pub struct Streams(pub(super) Arc<StreamRegistry>);

/// A builder of [`Streams`], from [`Streams::builder`].
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct StreamsBuilder {
    settings: Settings,
}

impl Streams {
    /// Creates a set of streams without limits. Needs no runtime.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, for limits and times.
    pub fn builder() -> StreamsBuilder {
        StreamsBuilder::default()
    }

    /// Returns the number of open streams, and of requests that will be answered with one: those that an event service
    /// answers, and those that [`decorate`](crate::SseLayer::decorate) [expects](crate::SseLayer::expect_stream) to be.
    ///
    /// Streams that the [watchdog](StreamsBuilder::stall_timeout) has ended do not count. A stream of an outer layer
    /// and the stream of an inner layer that it is made of count once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.counted()
    }

    /// Returns `true` if no stream is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of streams and requests with this [key](crate::SseLayer::stream_key), counted as by
    /// [`len`](Self::len).
    #[must_use]
    pub fn len_for_key(&self, key: &str) -> usize {
        self.0.counted_for_key(key)
    }

    /// Ends all streams with this key at once, as after a logout, and returns their number. Observers receive the
    /// reason; clients do not. A stream whose client does not read ends, too: nothing more is sent to it.
    ///
    /// Requests with this key that have no answer yet count as well, also if it is not known yet whether the answer
    /// will be a stream. If it is one, it ends before its first event; other answers are not affected. A logout that is
    /// itself a request with this key, under a layer with these streams, therefore counts itself.
    ///
    /// The clients of ended streams reconnect, and are admitted like new ones: refuse them in the event service or in
    /// front of it.
    pub fn end_key(&self, key: &str, reason: impl Into<String>) -> usize {
        self.0.revoke_key(key, &AccessRevoked::new(&reason.into()))
    }

    pub(crate) fn registry(&self) -> Arc<StreamRegistry> {
        Arc::clone(&self.0)
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("open", &self.len()).finish_non_exhaustive()
    }
}

impl StreamsBuilder {
    /// Sets the number of streams that may be open at a time. Further requests are refused; open streams are never
    /// evicted. Defaults to no limit.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.settings.max_streams = streams;
        self
    }

    /// Sets the number of streams with the same [key](crate::SseLayer::stream_key) that may be open at a time. Streams
    /// without a key are not limited. Defaults to no limit.
    ///
    /// A browser opens at most six connections to a host on HTTP/1.1.
    pub fn max_per_key(mut self, streams: usize) -> Self {
        self.settings.max_per_key = streams;
        self
    }

    /// Sets how often streams with the same [key](crate::SseLayer::stream_key) may be opened: a burst of `opens`, which
    /// is refilled evenly `within` this time. Defaults to no limit.
    ///
    /// Each key that was seen lately takes about 100 bytes.
    #[cfg(feature = "rate-limit")]
    pub fn rate_limit_per_key(mut self, opens: std::num::NonZeroU32, within: Duration) -> Self {
        self.settings.rate = Some((opens, within));
        self
    }

    /// Sets the time after which clients that are refused are asked to come back; see
    /// [`Refusal::later`](crate::Refusal::later). Defaults to 10 s.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.settings.retry_after = after;
        self
    }

    /// Sets the time over which the clients of a drain reconnect. Each is sent a `retry:` of its stream's own (3 s if
    /// none is set) plus a random part of this time. Defaults to 5 s.
    pub fn reconnect_spread(mut self, spread: Duration) -> Self {
        self.settings.reconnect_spread = spread;
        self
    }

    /// Sets the time after which the watchdog ends a stream whose client does not read. `None` turns the watchdog off.
    /// Defaults to 5 min.
    ///
    /// The stream's permit is released, its observers are called, nothing more is sent to it, and the publishers and
    /// the presence of a [topic](crate::hub) no longer include it. A stalled client is found within a quarter of the
    /// time more. This needs a tokio runtime, in which one task runs for all streams. A [drain](Streams::drain) waits
    /// as long for a stream that is to finish.
    ///
    /// A body is polled when the server can send more. A client that reads slowly therefore looks like one that does
    /// not read for as long as the socket's send buffer takes to empty: at 16 KB/s, 4 MB take more than four minutes.
    /// With `TCP_NOTSENT_LOWAT` on the socket, which [`docs::serving`](crate::docs::serving) shows, 30 s are enough.
    ///
    /// hyper keeps the connection, and what the client has not read, until the socket fails: set `TCP_USER_TIMEOUT`.
    pub fn stall_timeout(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.settings.stall_timeout = after.into();
        self
    }

    /// Creates the set of streams, which is empty. Needs no runtime.
    #[must_use]
    pub fn build(self) -> Streams {
        Streams(Arc::new(StreamRegistry::new(&self.settings)))
    }
}
