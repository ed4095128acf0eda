//! The presence of a topic: its streams as a number, their members, and a stream of changes.

use std::{fmt, sync::Arc, time::Duration};

use futures_core::Stream;
use tokio::time::{Instant, sleep_until};

use super::state::{hold::Hold, members::PresenceDiff};

/// The presence of a topic: the streams that run, and the [members](crate::hub::Subscribe::member) that they named. Returned
/// by [`Topic::presence`](crate::hub::Topic::presence).
///
/// The topic stays in the hub as long as there is a `Presence`, as with a [`Topic`](crate::hub::Topic). With a
/// [backplane](crate::backplane), streams and members of all nodes are included.
#[derive(Clone)]
pub struct Presence(Hold);

/// A change of the presence of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PresenceChange {
    /// The members that have joined since the last change, sorted.
    pub joined: Vec<Arc<str>>,
    /// The members that have left since the last change, sorted.
    pub left: Vec<Arc<str>>,
    /// The number of streams now, streams without a member and each of several streams of one member included.
    pub count: usize,
}

impl Presence {
    pub(crate) fn new(topic: Hold) -> Self {
        Self(topic)
    }

    /// Returns the number of streams, streams without a member included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.member_count()
    }

    /// Returns the members, each once, sorted. Copies them under the topic's lock; [`changes`](Self::changes) is cheaper.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<str>> {
        self.0.members()
    }

    /// Returns a stream of changes, whose first item has all current members as joined.
    ///
    /// Yields at most one item a second, with all that has happened meanwhile; a member that has joined and left meanwhile is
    /// not in it. Ends when the topic is closed after this call. Needs tokio's timer.
    pub fn changes(&self) -> impl Stream<Item = PresenceChange> + Send + use<> {
        let topic = self.0.clone();
        let (watcher, closings) = topic.watch();
        let changes = Changes { topic, watcher, closings };
        futures_util::stream::unfold((changes, None), |(changes, last)| async move {
            if let Some(last) = last {
                sleep_until(last + MIN_INTERVAL).await;
            }
            let change = changes.next().await?;
            Some((change, (changes, Some(Instant::now()))))
        })
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("topic", self.0.name()).field("count", &self.count()).finish()
    }
}

/// A registered watcher of a topic's members.
struct Changes {
    topic: Hold,
    watcher: usize,
    /// The number of times that the topic had been closed when the watcher was registered.
    closings: u64,
}

impl Changes {
    /// Takes the changes since the last call. Also returns whether the topic was closed since the watcher was registered.
    fn take(&self) -> (Option<(PresenceDiff, usize)>, bool) {
        let (changes, closings) = self.topic.take_changes(self.watcher);
        (changes, closings > self.closings)
    }

    async fn next(&self) -> Option<PresenceChange> {
        loop {
            // Enabled before the changes are taken, so that none is missed in between.
            let arrival = self.topic.arrivals().notified();
            let mut arrival = std::pin::pin!(arrival);
            arrival.as_mut().enable();
            let (change, is_closed) = self.take();
            if let Some((difference, count)) = change {
                let (joined, left): (Vec<_>, Vec<_>) =
                    difference.by_value.into_iter().partition(|&(_, is_present)| is_present);
                let members = |changed: Vec<(Arc<str>, bool)>| changed.into_iter().map(|(value, _)| value).collect();
                return Some(PresenceChange { joined: members(joined), left: members(left), count });
            }
            if is_closed {
                return None;
            }
            arrival.await;
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.topic.unwatch(self.watcher);
    }
}

/// The minimum time between two changes.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
