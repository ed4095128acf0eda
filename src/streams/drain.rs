//! Draining: the graceful end of all streams, before a deploy or when the process stops.

use std::{future::Future, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{handle::Streams, registry::StreamRegistry};
use crate::time::deadline::saturating_deadline;

/// The outcome of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// The number of streams that came to their end.
    pub ended: usize,
    /// The number of streams that did not: their clients did not read, or did not read the end in time.
    pub aborted: usize,
}

impl Streams {
    /// Starts a drain: new requests are refused with [`Refusal::later`](crate::Refusal::later), and streams that
    /// [leave](crate::streams::OnDrain::Leave) end. A drain cannot be undone.
    pub fn start_drain(&self) {
        self.0.start_drain();
    }

    /// Returns `true` if a drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.is_draining()
    }

    /// [Starts](Self::start_drain) a drain, and waits for the last stream whose client reads, or for the deadline.
    ///
    /// Shortly before the deadline, streams that are still open end with their
    /// [last event](crate::StreamSettings::on_failure). Requests under a layer with these streams that arrived before
    /// the drain and have no answer yet are waited for, too, also if it is not known whether the answer will be a
    /// stream.
    ///
    /// A handler under such a layer that awaits the drain waits for its own request, until shortly before the deadline.
    /// Call [`start_drain`](Self::start_drain) there instead, or await the drain in another task.
    ///
    /// Streams whose clients have not read for a second are not waited for. They would never end, and their clients
    /// reconnect after a cut connection, too. Streams that are to [finish](crate::streams::OnDrain::Finish) are waited
    /// for until their client counts as [stalled](crate::streams::StreamsBuilder::stall_timeout).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the drain goes on. The method can be called again.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        let before = self.0.start_drain();
        let until = saturating_deadline(Instant::now(), deadline);
        let cut_at = until - CUT_BEFORE.min(deadline / 2);
        if !self.0.wait_drained(cut_at).await {
            self.0.cut();
            self.0.wait_drained(until).await;
        }
        let (ended, open) = self.0.ended_and_open();
        let (all, stalled) = (ended.total - before.total, ended.stalled - before.stalled);
        DrainReport { ended: all - stalled, aborted: open + stalled }
    }

    /// Drains while a server shuts down, and waits for both: pass the server's future. At the deadline the server is
    /// dropped, with the connections of clients that do not read. Other requests have until then, too. Returns the
    /// server's output, or `None` if it was dropped.
    ///
    /// `axum::serve` with `with_graceful_shutdown`, hyper-util's `GracefulShutdown::shutdown` and tonic's
    /// `serve_with_shutdown` have no deadline of their own, and wait for clients that do not read.
    ///
    /// # Cancel safety
    ///
    /// As for [`drain`](Self::drain). The server is dropped with the future.
    pub async fn drain_with_server<F: Future>(
        &self,
        server: F,
        deadline: Duration,
    ) -> (DrainReport, Option<F::Output>) {
        let until = saturating_deadline(Instant::now(), deadline);
        let (server, drain) = (std::pin::pin!(server), std::pin::pin!(self.drain(deadline)));
        match select(server, drain).await {
            Either::Left((output, drain)) => (drain.await, Some(output)),
            Either::Right((report, server)) => (report, timeout_at(until, server).await.ok()),
        }
    }
}

impl StreamRegistry {
    /// Waits until the drain waits for no stream. Returns `false` if that takes longer than until this instant.
    async fn wait_drained(&self, until: Instant) -> bool {
        loop {
            let idle = self.idle.notified();
            let mut idle = std::pin::pin!(idle);
            // Ordering: registered before the look, so that the release of the last slot is not missed.
            idle.as_mut().enable();
            if self.is_drained() {
                return true;
            }
            let now = Instant::now();
            if now >= until {
                return false;
            }
            let next_look = sleep_until(until.min(now + LOOK_EVERY));
            select(idle, std::pin::pin!(next_look)).await;
        }
    }
}

/// The time before its deadline at which a drain ends what is still open, so that clients can read the end.
const CUT_BEFORE: Duration = Duration::from_secs(1);

/// The period at which a drain looks for streams whose clients have stopped reading.
const LOOK_EVERY: Duration = Duration::from_millis(100);
