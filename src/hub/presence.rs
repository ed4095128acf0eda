//! Who is in a topic, as a number, as values, and as a stream of changes.

use std::{fmt, sync::Arc, time::Duration};

use futures_core::Stream;
use tokio::time::{Instant, sleep_until};

use super::state::{hold::Hold, members::PresenceDiff};

/// Who is in a topic: those whose stream runs, each as the [member](crate::hub::Subscribe::member) that it came as.
///
/// Holding it keeps the topic, as holding a [`Topic`](crate::hub::Topic) does.
#[derive(Clone)]
pub struct Presence(Hold);

/// Who came and who left, and how many are here now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PresenceChange {
    /// Who was not here and is, in order.
    pub joined: Vec<Arc<str>>,
    /// Who was here and is not, in order.
    pub left: Vec<Arc<str>>,
    /// How many streams there are, those of nobody included, and each tab of a member for itself.
    pub count: usize,
}

impl Presence {
    pub(crate) fn new(topic: Hold) -> Self {
        Self(topic)
    }

    /// How many streams there are, those of nobody included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().members.count()
    }

    /// The members, each once, in order. Copies them under the topic's lock: to be told of changes is cheaper.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<str>> {
        self.0.lock().members.values().cloned().collect()
    }

    /// Changes, first of all those who are here now. At most one a second: what happens meanwhile is told together, and who
    /// came and left meanwhile not at all. Ends when the topic is closed from here on. Needs tokio's timer.
    pub fn changes(&self) -> impl Stream<Item = PresenceChange> + Send + use<> {
        let topic = self.0.clone();
        let mut state = topic.lock();
        let (watcher, closings) = (state.members.watch(), state.closings.times());
        drop(state);
        let watching = Watching { topic, watcher, closings };
        futures_util::stream::unfold((watching, None), |(watching, last)| async move {
            if let Some(last) = last {
                sleep_until(last + PACE).await;
            }
            let change = watching.next().await?;
            Some((change, (watching, Some(Instant::now()))))
        })
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("topic", self.0.name()).field("count", &self.count()).finish()
    }
}

struct Watching {
    topic: Hold,
    watcher: usize,
    /// The number of times that the topic had been closed when this began.
    closings: u64,
}

impl Watching {
    /// Returns what is new, and whether the topic was closed since this began.
    fn look(&self) -> (Option<(PresenceDiff, usize)>, bool) {
        let mut state = self.topic.lock();
        (state.members.take(self.watcher), state.closings.times() > self.closings)
    }

    async fn next(&self) -> Option<PresenceChange> {
        loop {
            // Begins to listen before it looks, so that nothing comes between.
            let arrival = self.topic.arrivals.notified();
            let mut arrival = std::pin::pin!(arrival);
            arrival.as_mut().enable();
            let (news, is_over) = self.look();
            if let Some((difference, count)) = news {
                let (joined, left): (Vec<_>, Vec<_>) =
                    difference.by_value.into_iter().partition(|&(_, is_here)| is_here);
                let names = |changed: Vec<(Arc<str>, bool)>| changed.into_iter().map(|(value, _)| value).collect();
                return Some(PresenceChange { joined: names(joined), left: names(left), count });
            }
            if is_over {
                return None;
            }
            arrival.await;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Dropped after the lock.
        let _difference = self.topic.lock().members.unwatch(self.watcher);
    }
}

/// The least time between two changes.
const PACE: Duration = Duration::from_secs(1);
