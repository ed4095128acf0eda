//! Helpers of the tests of topics.

use futures_util::{FutureExt, StreamExt};
use tower_sse::{
    Event, EventId, LastEventId,
    hub::{Gap, Subscription, Topic, Update},
};

/// Publishes an event with this data, and returns its id.
pub(crate) fn publish(topic: &Topic, data: &str) -> EventId {
    topic.publish(Event::new(data)).try_result().expect("the event is small")
}

/// Returns the updates that are ready: the data of events, `+` for the first position, and `gap`.
pub(crate) fn read(subscription: &mut Subscription) -> Vec<String> {
    read_with(subscription, |_| "gap".to_owned())
}

/// Returns the updates that are ready, with a text of the caller's for each gap.
pub(crate) fn read_with(subscription: &mut Subscription, gap: impl Fn(&Gap) -> String) -> Vec<String> {
    let update = || match subscription.next().now_or_never()?? {
        Update::Subscribed(_) => Some("+".to_owned()),
        Update::Event { event, .. } => Some(event.data().into_owned()),
        Update::Gap(missed) => Some(gap(&missed)),
        update => Some(format!("{update:?}")),
    };
    std::iter::from_fn(update).collect()
}

/// Returns the id as a client sends it when it reconnects.
pub(crate) fn after(id: &EventId) -> Option<LastEventId> {
    LastEventId::from_id(id)
}
