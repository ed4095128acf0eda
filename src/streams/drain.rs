//! How all streams end together: before a deploy, when the process stops.

use std::{future::Future, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::registry::{Registry, Streams};
use crate::time::deadline::saturating_deadline;

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Streams that came to their end.
    pub ended: usize,
    /// Streams that did not: their clients did not read, or did not read the end in time.
    pub aborted: usize,
}

impl Streams {
    /// Begins a drain: newcomers are refused with [`Refusal::saturating_deadline`](crate::Refusal::later), streams that
    /// [leave](OnDrain::Leave) end. It cannot be taken back.
    pub fn start_drain(&self) {
        self.0.start_drain();
    }

    /// Whether a drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.is_draining()
    }

    /// [Begins](Self::start_drain) a drain, and waits for the last stream that is still read, or for the deadline. Shortly
    /// before it, those that still go on are ended, with their [last event](crate::StreamSettings::on_failure). A request of a
    /// layer with these streams that came before and has no answer yet is waited for, too, also where it is not known whether
    /// the answer will be a stream.
    ///
    /// A handler under such a layer that awaits the drain waits for its own request, until shortly before the deadline: it
    /// calls [`start_drain`](Self::start_drain), or has another task await the drain.
    ///
    /// Streams whose clients have not read for a second are not waited for: they would never end, and their clients come back
    /// after a cut connection, too. Those that are to [finish](OnDrain::Finish) are waited for until their client counts as
    /// [stalled](crate::streams::StreamsBuilder::stall_timeout).
    ///
    /// # Cancel safety
    ///
    /// What has begun goes on when the future is dropped. It can be called again.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        let before = self.0.start_drain();
        let until = saturating_deadline(Instant::now(), deadline);
        let cut_at = until - CUT_BEFORE.min(deadline / 2);
        if !self.0.came_to_rest(cut_at).await {
            self.0.cut();
            self.0.came_to_rest(until).await;
        }
        let (gone, open) = self.0.ended_and_open();
        let (all, stalled) = (gone.total - before.total, gone.stalled - before.stalled);
        DrainReport { ended: all - stalled, aborted: open + stalled }
    }
}

impl Streams {
    /// Drains while a server that was told to stop comes to its end: give it the server's future. Neither takes longer than
    /// the deadline; the server is dropped then, with the connections of readers that do not read. Other requests have
    /// until then, too.
    ///
    /// `axum::serve` with `with_graceful_shutdown`, hyper-util's `GracefulShutdown::shutdown` and tonic's
    /// `serve_with_shutdown` have no deadline of their own, and wait for readers that do not read.
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
            Either::Right((drained, server)) => (drained, timeout_at(until, server).await.ok()),
        }
    }
}

impl Registry {
    /// Waits until only streams are left that are not read. `false`: it took too long.
    async fn came_to_rest(&self, until: Instant) -> bool {
        loop {
            let left = self.idle.notified();
            let mut left = std::pin::pin!(left);
            left.as_mut().enable();
            if self.all(|record| !record.drain_waits_for(self.stalled_after())) {
                return true;
            }
            let now = Instant::now();
            if now >= until {
                return false;
            }
            let look_again = sleep_until(until.min(now + LOOK_EVERY));
            select(left, std::pin::pin!(look_again)).await;
        }
    }
}

/// How long before its deadline a drain ends what still goes on, so that the end can be read.
const CUT_BEFORE: Duration = Duration::from_secs(1);

/// How often a drain looks at who still reads.
const LOOK_EVERY: Duration = Duration::from_millis(100);
