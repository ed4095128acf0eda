//! The options of a subscription.

use std::{sync::Arc, time::Duration};

use crate::{event::field::EventId, negotiate::last_event_id::LastEventId};

/// The options of a subscription: its topics, where it begins, and what happens when it lags.
///
/// ```
/// use tower_sse::hub::{Hub, LagPolicy, Start, Subscribe};
///
/// let hub = Hub::new();
/// let subscription = hub.subscribe(
///     Subscribe::to("prices").and("news").start(Start::Snapshot).lag(LagPolicy::Conflate).member("alice"),
/// )?;
/// # Ok::<(), tower_sse::hub::SubscribeError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "the options do nothing until they are passed to a hub"]
pub struct Subscribe {
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) start: Start,
    pub(crate) lag: LagPolicy,
    pub(crate) after: Option<LastEventId>,
    pub(crate) member: Option<Arc<str>>,
    pub(crate) not_before: Option<EventId>,
    pub(crate) not_older_than: Option<Duration>,
}

/// The position at which a client without an id begins.
///
/// A client with an id resumes after it, whatever the start is. An id is not a permission: with the id of another hub, an old
/// one, or text that is no id at all, a client gets all that the topics keep. Bound what it may see with
/// [`Subscribe::not_before`], [`Subscribe::not_older_than`] and its topics.
///
/// Ids count all events of a hub, so a subscriber of one topic sees how much is published in the others. Use a hub for each
/// tenant to hide that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Start {
    /// Begins with what is published from now on. The default.
    #[default]
    Live,
    /// Begins with a snapshot: the newest event of each key, and the newest event without a key.
    ///
    /// Only the last event of the snapshot has an id, which is the position of the hub when the client subscribed. A client
    /// that is cut before that event comes back without an id and gets a whole snapshot again.
    Snapshot,
    /// Begins with the oldest event that is kept.
    Beginning,
}

/// The handling of a subscription that [lags](crate::hub#lagging): events were evicted before it has read them.
///
/// With each policy the client gets a [gap](crate::hub#gaps).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LagPolicy {
    /// Ends the stream with a `retry:`, cleanly for GET, and with an abort for other methods: see [`EarlyEnd`](crate::EarlyEnd).
    /// The default.
    ///
    /// The client reconnects with its last id, and gets the kept events up to the end of the gap, the gap, and all that
    /// follows. A client that is always too slow shows up in metrics, and still makes progress with each connection.
    #[default]
    Disconnect,
    /// Delivers the kept events up to the end of the gap, then the gap, and continues.
    Skip,
    /// Conflates: delivers of the events with a key only the newest of each, also while nothing is lost. Events without a key
    /// are handled as by [`Skip`](Self::Skip).
    Conflate,
}

impl Subscribe {
    /// Creates options for the events of one topic.
    pub fn to(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topics: vec![topic.into()],
            start: Start::default(),
            lag: LagPolicy::default(),
            after: None,
            member: None,
            not_before: None,
            not_older_than: None,
        }
    }

    /// Adds a topic. Events of all topics come in the order in which they were published. Naming a topic twice has no effect.
    pub fn and(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Creates options for the events of several topics.
    pub fn to_all<T: Into<Arc<str>>>(topics: impl IntoIterator<Item = T>) -> Self {
        let topics = topics.into_iter().map(Into::into).collect();
        Self { topics, ..Self::to("") }
    }

    /// Sets where a client without an id begins. Defaults to [`Start::Live`].
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets what happens when the subscription lags. Defaults to [`LagPolicy::Disconnect`].
    pub fn lag(mut self, lag: LagPolicy) -> Self {
        self.lag = lag;
        self
    }

    /// Resumes after this id, as the client sent it.
    ///
    /// An id that this hub has not issued, or not yet, causes a gap, so it can be passed on unchecked. Defaults to none or, in
    /// a [`Hub::service`](crate::hub::Hub::service), to the id of the request.
    pub fn resume_after(mut self, id: impl Into<Option<LastEventId>>) -> Self {
        self.after = id.into();
        self
    }

    /// Hides the events and keyed values that were published before the event of this id, wherever the client begins and
    /// whatever id it sends. Defaults to none, which hides nothing.
    ///
    /// A client whose id is below the bound gets a gap if that hides something from it. The id is one that a publish has
    /// returned, for example of the event that announces the client. An id of another epoch hides all that was published
    /// before the client subscribes.
    ///
    /// ```
    /// use tower_sse::{Event, hub::{Hub, Start, Subscribe}};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let hub = Hub::new();
    /// let room = hub.topic("room")?;
    /// room.publish(Event::new("what was said before ann came")).try_result()?;
    /// let joined = room.publish(Event::new("ann is here")).try_result()?;
    /// // Holds also if she comes without an id, or with an old one.
    /// let subscribe = Subscribe::to("room").start(Start::Beginning).not_before(joined);
    /// # let _ = hub.subscribe(subscribe)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn not_before(mut self, id: impl Into<Option<EventId>>) -> Self {
        self.not_before = id.into();
        self
    }

    /// Hides the events that are older than this when the client subscribes, wherever it begins and whatever id it sends.
    /// Defaults to none, which hides nothing.
    ///
    /// Keyed values are not hidden: they are current at any age. A client whose id is below the bound gets a gap if that hides
    /// something from it. With a [backplane](crate::backplane), the backplane defines the age of events that were published
    /// before this node started.
    pub fn not_older_than(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.not_older_than = age.into();
        self
    }

    /// Returns whether a bound hides a part of the past.
    pub(crate) fn is_bounded(&self) -> bool {
        self.not_before.is_some() || self.not_older_than.is_some()
    }

    /// Sets the member that this subscription is in the [presence](crate::hub::Topic::presence) of each topic, of up to 128
    /// bytes. Defaults to none, which is counted, but not listed.
    pub fn member(mut self, value: impl Into<Arc<str>>) -> Self {
        self.member = Some(value.into());
        self
    }
}

impl From<&str> for Subscribe {
    fn from(topic: &str) -> Self {
        Self::to(topic)
    }
}

impl From<String> for Subscribe {
    fn from(topic: String) -> Self {
        Self::to(topic)
    }
}
