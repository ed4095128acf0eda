//! What can be set on [`Streams`] before they are made.

use std::time::Duration;

use super::registry::Streams;

/// Makes [`Streams`]; from [`Streams::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` makes the streams"]
pub struct StreamsBuilder {
    settings: Settings,
}

/// What is set on streams.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) total: usize,
    pub(crate) per_key: usize,
    pub(crate) come_back_after: Duration,
    pub(crate) spread: Duration,
    pub(crate) stalled_after: Option<Duration>,
    #[cfg(feature = "rate-limit")]
    pub(crate) rate: Option<crate::streams::rate::Rate>,
}

impl Settings {
    /// Returns whether a stream of this key may be opened by the limit of rate. Counts it if asked to.
    #[cfg(feature = "rate-limit")]
    pub(super) fn allows(&self, key: &std::sync::Arc<str>, counts: bool) -> bool {
        self.rate.as_ref().is_none_or(|rate| rate.allows(key, counts))
    }

    #[cfg(not(feature = "rate-limit"))]
    pub(super) fn allows(&self, _: &std::sync::Arc<str>, _: bool) -> bool {
        true
    }
}

impl StreamsBuilder {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings {
                total: usize::MAX,
                per_key: usize::MAX,
                come_back_after: Duration::from_secs(10),
                spread: Duration::from_secs(5),
                stalled_after: Some(STALLED_AFTER),
                #[cfg(feature = "rate-limit")]
                rate: None,
            },
        }
    }

    /// How many streams there may be at a time. Default: any number. Newcomers are refused, and nobody is evicted.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.settings.total = streams;
        self
    }

    /// How many streams there may be of one [key](crate::SseLayer::stream_key). Default: any number. Those without a key are
    /// not limited. A browser on HTTP/1.1 opens at most six to a host.
    pub fn max_per_key(mut self, streams: usize) -> Self {
        self.settings.per_key = streams;
        self
    }

    /// How often streams of one [key](crate::SseLayer::stream_key) may be opened: so many at once, and from then on so many
    /// within this time, evenly. Default: as often as they like. Each key that came lately takes about 100 bytes.
    #[cfg(feature = "rate-limit")]
    pub fn rate_limit_per_key(mut self, opens: std::num::NonZeroU32, within: Duration) -> Self {
        self.settings.rate = crate::streams::rate::Rate::new(opens, within);
        self
    }

    /// When those who are refused shall come back: see [`Refusal::later`](crate::Refusal::later). Default 10 s.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.settings.come_back_after = after;
        self
    }

    /// Over how long the clients of a drain come back: each is told to wait for its stream's `retry` (3 s where none is set),
    /// and between nothing and this time longer. Default 5 s.
    pub fn reconnect_spread(mut self, spread: Duration) -> Self {
        self.settings.spread = spread;
        self
    }

    /// When a stream whose client does not read is ended: its permit is free, observers are told, nothing more is sent, and a
    /// [topic](crate::hub)'s publishers do not wait for it, nor is it present there.
    /// Defaults to 5 min; a stalled client is found within a quarter of the time more. `None` means never. Needs a tokio runtime, in
    /// which one task looks. A [drain](Streams::drain) waits for as long for a stream that is to finish.
    ///
    /// A body is polled when the server can take more, so a client that reads slowly looks like one that does not read for as long as
    /// it takes to empty the socket's send buffer: at 16 KB/s, 4 MB take more than four minutes. With `TCP_NOTSENT_LOWAT` on the socket,
    /// which [`docs::serving`](crate::docs::serving) shows, 30 s are enough.
    ///
    /// hyper holds what such a client has not read, and the connection, until the socket gives up: set `TCP_USER_TIMEOUT`.
    pub fn stall_timeout(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.settings.stalled_after = after.into();
        self
    }

    /// The streams, none of them open. Needs no runtime.
    #[must_use]
    pub fn build(self) -> Streams {
        Streams::with(self.settings)
    }
}

/// Longer than a client that reads 16 KB/s takes for what a kernel holds for it by default, which is 4 MB.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(300);
