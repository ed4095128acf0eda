//! Bounds on the visible past of a client, whatever id it sends.

use std::time::Duration;

use tower_sse::{
    Event, EventId, LastEventId,
    hub::{Hub, LagPolicy, Retention, Start, Subscribe, Subscription},
};

use super::support::{publish, read_with};

const MINUTE: Duration = Duration::from_secs(60);

/// Returns the ready updates: data, `+` for the first position, and the end of a gap.
fn read(subscription: &mut Subscription) -> Vec<String> {
    read_with(subscription, |gap| format!("gap {}", gap.to.as_str().rsplit('-').next().unwrap_or_default()))
}

/// Each request for the past: by each start as a new client, and with ids that are earlier, foreign, or invalid.
fn asked(topic: &str, before: &EventId) -> Vec<Subscribe> {
    let ids =
        [before.as_str(), "0123456789abcdef-1", "garbage"].map(|id| EventId::try_from(id).expect("the id is valid"));
    let back = ids.iter().map(|id| Subscribe::to(topic).resume_after(LastEventId::from_id(id)));
    let new = [Start::Live, Start::Snapshot, Start::Beginning].map(|start| Subscribe::to(topic).start(start));
    let both = new.into_iter().chain(back);
    both.flat_map(|asked| {
        [LagPolicy::Disconnect, LagPolicy::Skip, LagPolicy::Conflate].map(|lag| asked.clone().lag(lag))
    })
    .collect()
}

/// With an old or a foreign id a client received all retained events, though `Start::Live` hides the past.
#[test]
fn not_before_hides_earlier_events_for_any_start_and_id() {
    let hub = Hub::new();
    let room = hub.topic("room").expect("the hub has room");
    let first = publish(&room, "secret 1");
    room.publish_keyed("x", Event::new("secret x")).try_result().expect("the event is small");
    publish(&room, "secret 3");
    let joined = publish(&room, "ann is here");
    publish(&room, "hello");
    room.publish_keyed("y", Event::new("y")).try_result().expect("the event is small");
    for asked in asked("room", &first) {
        let mut client = hub.subscribe(asked.clone().not_before(joined.clone())).expect("the hub has room");
        let all = read(&mut client);
        assert!(!all.iter().any(|data| data.starts_with("secret")), "{asked:?} gets {all:?}");
        publish(&room, "from now on");
        assert_eq!(read(&mut client), ["from now on"], "{asked:?}");
    }
    let back = Subscribe::to("room").resume_after(LastEventId::from_id(&first)).not_before(joined.clone());
    let mut back = hub.subscribe(back).expect("the hub has room");
    assert_eq!(read(&mut back)[..3], ["gap 3", "ann is here", "hello"], "the hidden events are reported");
    let all = Subscribe::to("room").start(Start::Beginning).not_before(joined);
    assert_eq!(read(&mut hub.subscribe(all).expect("the hub has room"))[..3], ["+", "ann is here", "hello"]);
}

#[test]
fn bound_of_another_hub_hides_the_whole_past() {
    let hub = Hub::new();
    let room = hub.topic("room").expect("the hub has room");
    let first = publish(&room, "secret");
    let other = publish(&Hub::new().topic("room").expect("the hub has room"), "1");
    let ahead = EventId::try_from(first.as_str().replace("-1", "-9999999")).expect("the id is valid");
    for bound in [other, ahead, EventId::try_from("garbage").expect("the id is valid")] {
        for asked in asked("room", &EventId::try_from(first.as_str().replace("-1", "-0")).expect("the id is valid")) {
            let mut client = hub.subscribe(asked.not_before(bound.clone())).expect("the hub has room");
            assert!(!read(&mut client).iter().any(|data| data.starts_with("secret")));
            publish(&room, "news");
            assert_eq!(read(&mut client), ["news"]);
            // The next read finds the event in the past.
            room.publish_all((0..1024).map(|_| Event::new("secret"))).try_result().expect("the events are small");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn not_older_than_hides_old_events_but_no_keyed_values() {
    let hub = Hub::builder().retention(Retention::new().age(None)).build();
    let room = hub.topic("room").expect("the hub has room");
    let first = publish(&room, "secret 1");
    room.publish_keyed("x", Event::new("x")).try_result().expect("the event is small");
    publish(&room, "secret 3");
    tokio::time::sleep(10 * MINUTE).await;
    publish(&room, "lately");
    tokio::time::sleep(MINUTE).await;
    for asked in asked("room", &first) {
        let mut client = hub.subscribe(asked.clone().not_older_than(5 * MINUTE)).expect("the hub has room");
        let all = read(&mut client);
        assert!(!all.iter().any(|data| data.starts_with("secret")), "{asked:?} gets {all:?}");
        // However long the client reads.
        tokio::time::sleep(Duration::from_millis(1)).await;
        publish(&room, "lately");
        assert_eq!(read(&mut client), ["lately"], "{asked:?}");
    }
    let present = Subscribe::to("room").start(Start::Snapshot).not_older_than(Duration::ZERO);
    assert_eq!(read(&mut hub.subscribe(present).expect("the hub has room"))[..2], ["+", "x"]);
    let back =
        |lag| Subscribe::to("room").resume_after(LastEventId::from_id(&first)).lag(lag).not_older_than(5 * MINUTE);
    let mut all = hub.subscribe(back(LagPolicy::Skip)).expect("the hub has room");
    assert_eq!(read(&mut all)[..2], ["gap 3", "lately"], "the hidden events are reported");
    let mut latest = hub.subscribe(back(LagPolicy::Conflate)).expect("the hub has room");
    assert_eq!(read(&mut latest)[..3], ["x", "gap 3", "lately"]);
}

/// A stream that was open when the node began another epoch received the loaded events before its bound.
#[tokio::test(start_paused = true)]
async fn bounds_of_a_client_hold_in_another_epoch() {
    use crate::backplane::memory::Memory;
    let memory = Memory::new();
    let hub = Hub::builder().build_with_backplane(memory.node());
    tokio::time::sleep(MINUTE).await;
    let room = hub.topic("room").expect("the hub has room");
    let joined = room.publish(Event::new("ann is here")).await.expect("the publish succeeds");
    let mut ann = hub.subscribe(Subscribe::to("room").not_before(joined)).expect("the hub has room");
    assert_eq!(read(&mut ann), ["+"]);
    memory.lose();
    room.publish(Event::new("secret")).await.expect("the publish succeeds");
    tokio::time::sleep(MINUTE).await;
    assert_eq!(read(&mut ann), ["gap 1"], "the bound is of another epoch");
    room.publish(Event::new("news")).await.expect("the publish succeeds");
    tokio::time::sleep(MINUTE).await;
    assert_eq!(read(&mut ann), ["news"]);
}

#[tokio::test(start_paused = true)]
async fn two_bounds_hide_what_either_hides() {
    let hub = Hub::builder().retention(Retention::new().age(None)).build();
    let room = hub.topic("room").expect("the hub has room");
    let keyed = |key: &str| room.publish_keyed(key, Event::new(key)).try_result().expect("the event is small");
    let first = publish(&room, "before both");
    keyed("secret");
    let joined = publish(&room, "too old");
    keyed("x");
    tokio::time::sleep(10 * MINUTE).await;
    publish(&room, "seen");
    for (lag, expected) in [(LagPolicy::Skip, vec!["seen"]), (LagPolicy::Conflate, vec!["x", "seen"])] {
        let bounded = Subscribe::to("room").lag(lag).not_before(joined.clone()).not_older_than(5 * MINUTE);
        let mut new = hub.subscribe(bounded.clone().start(Start::Beginning)).expect("the hub has room");
        assert_eq!(read(&mut new)[1..], expected, "{lag:?}");
        let mut present = hub.subscribe(bounded.clone().start(Start::Snapshot)).expect("the hub has room");
        assert_eq!(read(&mut present), ["+", "x", "seen"], "{lag:?}");
        let mut back = hub.subscribe(bounded.resume_after(LastEventId::from_id(&first))).expect("the hub has room");
        let all = read(&mut back);
        let events: Vec<_> = all.iter().filter(|data| !data.starts_with("gap")).cloned().collect();
        assert_eq!(events, expected, "{lag:?}");
        assert_eq!(all.len(), events.len() + 1, "the hidden events are reported once: {all:?}");
    }
}
