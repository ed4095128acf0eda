//! The check that events keep all their fields.

use std::time::Duration;

use super::reader::{Reader, violated, within};
use crate::{
    event::{Event, EventBuilder},
    hub::{
        handle::Hub,
        replica::contract::Backplane,
        subscription::{
            request::{Start, Subscribe},
            update::Update,
        },
    },
};

pub(super) async fn events_keep_their_fields<B: Backplane>(node: &mut impl FnMut() -> B) {
    let hub = Hub::builder().build_with_backplane(node());
    let topic = hub.topic("topic").expect("the registry has room");
    let mut reader = Reader::new(&hub, Subscribe::to("topic")).await;
    let events = events();
    for (key, event) in events.iter().enumerate() {
        let published = topic.publish_keyed(key.to_string(), event.clone());
        within("an acknowledgement", published).await.expect("the backplane accepts the event");
    }
    assert_next(&mut reader, &events).await;
    let later = Hub::builder().build_with_backplane(node());
    let mut reader = Reader::new(&later, Subscribe::to("topic").start(Start::Snapshot)).await;
    assert_next(&mut reader, &events).await;
}

/// Asserts that the next events have the same bytes as these, but for their ids.
async fn assert_next(reader: &mut Reader, expected: &[Event]) {
    for expected in expected {
        match reader.next().await {
            Some(Update::Event { event, .. }) if event.rest() == expected.rest() => {}
            other => violated(&format!("expected {expected:?}, got {other:?}")),
        }
    }
}

/// Returns events with each combination of fields that takes a form of its own.
fn events() -> Vec<Event> {
    let new = Event::builder;
    let name = |builder: EventBuilder| builder.name(crate::event_name!("name"));
    let comment = |builder: EventBuilder| builder.comment(crate::event_comment!(" a comment: 1"));
    let retry = |builder: EventBuilder| builder.retry(Duration::from_millis(1500));
    vec![
        name(new()).data("two\nlines"),
        comment(new()).data(""),
        retry(name(new())).data("x"),
        comment(retry(name(new()))).data("two\n\nlines\n"),
        comment(new()).without_data(),
        retry(new()).without_data(),
        comment(retry(new())).without_data(),
        new().without_data(),
    ]
}
