//! How a backplane gives a hub its events.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use crate::{
    Event, EventId,
    hub::{Core, Position},
};

/// The way into a hub. It does not keep the hub: when the last handle and subscription are gone, it is closed.
#[derive(Clone)]
pub struct Feed(Weak<Core>);

/// An event on its way into a hub.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Incoming {
    /// Its place in the order: above that of all before it.
    pub sequence: u64,
    /// The topic that it is in.
    pub topic: Arc<str>,
    /// The key that it is the newest of, if it has one.
    pub key: Option<Arc<str>>,
    /// The event. `None`: it only [closes](Self::closes) its topic, or, if there is a key, has that key forgotten.
    pub event: Option<Event>,
    /// Whether its topic is closed after it.
    pub closes: bool,
}

/// Whether what feeds a hub can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// It was not reached yet.
    Connecting,
    /// It is read.
    Up,
    /// It was reached once, and is not now. Streams stay open.
    Down,
}

/// Is told how a hub is fed. Calls come from the task that feeds it, so they must be quick.
pub trait LinkObserver: Send + Sync + 'static {
    /// The link is up, or down.
    fn link(&self, link: Link) {
        let _ = link;
    }

    /// Events were read, so long after they were published, by the clocks of both.
    fn read(&self, events: usize, lag: std::time::Duration) {
        let _ = (events, lag);
    }

    /// A read failed.
    fn failed(&self, error: &(dyn std::error::Error + 'static)) {
        let _ = error;
    }

    /// An entry was skipped since it is no event.
    fn skipped(&self, id: &str, why: &str) {
        let _ = (id, why);
    }

    /// A new history has begun: all subscribers are told a gap.
    fn renewed(&self, why: &str) {
        let _ = why;
    }
}

/// Who is in a topic, on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalPresence {
    /// The topic.
    pub topic: Arc<str>,
    /// How many streams there are.
    pub count: usize,
    /// The members, each once.
    pub members: Vec<Arc<str>>,
}

impl Feed {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self(Arc::downgrade(core))
    }

    /// Whether nobody reads any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.strong_count() == 0
    }

    /// The epoch that positions are of now.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        Some(self.0.upgrade()?.era().epoch())
    }

    /// A history begins: positions are of this epoch from here on. Everything up to `gone_through` is not to be had any more.
    /// All logs are empty then, and subscribers are told a gap, if they had anything.
    pub fn begin(&self, epoch: u64, gone_through: u64) {
        if let Some(core) = self.0.upgrade() {
            core.renew(epoch, gone_through);
        }
    }

    /// Gives these events to the hub. Those whose sequence is not above the last one's are left out.
    pub fn give(&self, events: Vec<Incoming>) {
        if let Some(core) = self.0.upgrade() {
            core.feed(events);
        }
    }

    /// The newest event of a key, from before what is kept otherwise: after [`begin`](Self::begin), before all that is
    /// [given](Self::give). It is in no log.
    pub fn give_latest(&self, event: Incoming) {
        if let Some(core) = self.0.upgrade() {
            core.feed_latest(event);
        }
    }

    /// Everything up to here was given, and there was nothing more when this was read. Said after each
    /// [`begin`](Self::begin), and once a second or more often: all who subscribe wait for the first, and clients that are
    /// ahead of this node for the next.
    pub fn caught_up(&self, through: u64) {
        if let Some(core) = self.0.upgrade() {
            core.caught_up(through);
        }
    }

    /// Whether what feeds the hub can be reached.
    pub fn link(&self, link: Link) {
        let _ = self.change_link(link);
    }

    /// Whether that is news.
    pub(crate) fn change_link(&self, link: Link) -> bool {
        self.0.upgrade().is_some_and(|core| core.set_link(link))
    }

    /// Who is here, on this node, where anything changed since the last call: all topics that have somebody. `None`: nothing
    /// changed.
    #[must_use]
    pub fn local_presence(&self) -> Option<Vec<LocalPresence>> {
        self.0.upgrade()?.local_presence()
    }

    /// Who is there, on another node: all topics that have somebody. Empty: the node is gone.
    pub fn node_presence(&self, node: &str, presence: Vec<LocalPresence>) {
        if let Some(core) = self.0.upgrade() {
            core.node_presence(node, presence);
        }
    }
}

impl Incoming {
    /// An event in a topic.
    #[must_use]
    pub fn new(sequence: u64, topic: impl Into<Arc<str>>, event: Event) -> Self {
        Self { sequence, topic: topic.into(), key: None, event: Some(event), closes: false }
    }

    /// The end of a topic.
    #[must_use]
    pub fn close(sequence: u64, topic: impl Into<Arc<str>>) -> Self {
        Self { sequence, topic: topic.into(), key: None, event: None, closes: true }
    }

    /// The newest event of this key is forgotten.
    #[must_use]
    pub fn remove(sequence: u64, topic: impl Into<Arc<str>>, key: impl Into<Arc<str>>) -> Self {
        Self { closes: false, ..Self::close(sequence, topic) }.keyed(key)
    }

    /// The same, as the newest of this key.
    #[must_use]
    pub fn keyed(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl LocalPresence {
    /// Who is in this topic.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, count: usize, members: Vec<Arc<str>>) -> Self {
        Self { topic: topic.into(), count, members }
    }
}

/// The id of an event at this place of this epoch.
#[must_use]
pub fn event_id(epoch: u64, sequence: u64) -> EventId {
    Position { epoch, sequence }.id()
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("is_closed", &self.is_closed()).finish()
    }
}
