//! What a subscriber asks for.

use std::{sync::Arc, time::Duration};

use crate::{event::field::EventId, negotiate::last_event_id::LastEventId};

/// Which topics, from where, and what happens when the reader is too slow.
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
#[must_use = "it does nothing until a hub gets it"]
pub struct Subscribe {
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) start: Start,
    pub(crate) lag: LagPolicy,
    pub(crate) after: Option<LastEventId>,
    pub(crate) member: Option<Arc<str>>,
    pub(crate) not_before: Option<EventId>,
    pub(crate) not_older_than: Option<Duration>,
}

/// Where a client begins that comes without an id.
///
/// A client that comes with one begins there, whatever this says: an id is a request, not a right. The id of another hub, an
/// old one, or something that is no id at all gets all that the topics keep. What a client must not see is bounded by
/// [`Subscribe::not_before`] and [`Subscribe::not_older_than`], and by the topics that it may have.
///
/// Ids count all events of a hub: a subscriber of one topic sees how much the others do. A hub for each tenant hides that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Start {
    /// With what is published from now on. The default.
    #[default]
    Live,
    /// With the present: the newest event of each key, and the newest without one. Up to the last event of the present
    /// nothing has an id, and that one has the position of the hub when the client came: a client that is cut before comes
    /// back as a new one, and gets the present again.
    Snapshot,
    /// With the oldest event that is kept.
    Beginning,
}

/// What happens to a reader that is behind what the log keeps. It is told so in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LagPolicy {
    /// Ends the stream, cleanly, with a `retry:`. The client comes back with its last id, gets what is kept up to the end of
    /// the gap, is told the gap, and goes on. The default: a reader that is slow for good is seen, and still comes ahead.
    #[default]
    Disconnect,
    /// Gives what is kept up to the end of the gap, tells the gap within the stream, and goes on.
    Skip,
    /// Only the present counts, also before it is too late: of the events with a key the newest each, which is never lost.
    /// Those without a key as by [`Skip`](Self::Skip).
    Conflate,
}

impl Subscribe {
    /// The events of this topic.
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

    /// And of this one, in the order in which they were published. A topic that is named twice counts once.
    pub fn and(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// The events of all these topics.
    pub fn to_all<T: Into<Arc<str>>>(topics: impl IntoIterator<Item = T>) -> Self {
        let topics = topics.into_iter().map(Into::into).collect();
        Self { topics, ..Self::to("") }
    }

    /// Where a client begins that comes without an id. Default: [`Start::Live`].
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// What happens when the reader is too slow. Default: [`LagPolicy::Disconnect`].
    pub fn lag(mut self, lag: LagPolicy) -> Self {
        self.lag = lag;
        self
    }

    /// Goes on after this id: what the client sent. One that this hub has not given, or not yet, is a gap; it is never
    /// taken on trust. Default: none, or, in a [`Hub::service`](crate::hub::Hub::service), the request's.
    pub fn resume_after(mut self, id: impl Into<Option<LastEventId>>) -> Self {
        self.after = id.into();
        self
    }

    /// Hides what was published before the event of this id, wherever the client begins and whatever id it sends: events and
    /// keyed values. A client whose id is below the bound is told a gap where that hides something from it.
    ///
    /// The id is one that the hub gave for a publish: that by which the client was let in, for one. Of an id of another epoch
    /// nothing is known but that it is of another; then all is hidden that was published before the client came.
    ///
    /// ```
    /// use tower_sse::{Event, hub::{Hub, Start, Subscribe}};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let hub = Hub::new();
    /// let room = hub.topic("room")?;
    /// room.publish(Event::new("what was said before ann came")).try_result()?;
    /// let joined = room.publish(Event::new("ann is here")).try_result()?;
    /// // Also if she says that she had nothing, or an id of last year.
    /// let subscribe = Subscribe::to("room").start(Start::Beginning).not_before(joined);
    /// # let _ = hub.subscribe(subscribe)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn not_before(mut self, id: impl Into<Option<EventId>>) -> Self {
        self.not_before = id.into();
        self
    }

    /// Hides the events that are older than this when the client comes, wherever it begins and whatever id it sends. Keyed
    /// values are of any age: they are the present. A client whose id is below the bound is told a gap where that hides
    /// something from it.
    ///
    /// In a hub that is [fed from outside](crate::backplane), events that were published before this node began are as
    /// old as the backplane says.
    pub fn not_older_than(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.not_older_than = age.into();
        self
    }

    /// Returns whether there are bounds to what may be seen of the past.
    pub(crate) fn is_bounded(&self) -> bool {
        self.not_before.is_some() || self.not_older_than.is_some()
    }

    /// Who this is, for the [presence](crate::hub::Topic::presence) in each of the topics: up to 128 bytes. Default: nobody,
    /// who is counted all the same.
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
