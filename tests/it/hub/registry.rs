//! The registry of topics is bounded, and evicts topics that are not held before it refuses a name.

use tower_sse::{
    Event, EventId, LastEventId, Refusal,
    hub::{Hub, LagPolicy, Start, Subscribe, SubscribeError},
};

use super::support::read;

/// Publishes an event with the name of its topic as data, and returns its id.
fn publish(hub: &Hub, name: &str) -> EventId {
    hub.topic(name).expect("the hub has room").publish(Event::new(name)).try_result().expect("the event is small")
}

fn publish_keyed(hub: &Hub, name: &str, key: &str) {
    hub.topic(name)
        .expect("the hub has room")
        .publish_keyed(key, Event::new(key))
        .try_result()
        .expect("the event is small");
}

/// Reads a topic as a client, and leaves.
fn visit(hub: &Hub, name: &str) {
    read(&mut hub.subscribe(name).expect("the hub has room"));
}

fn hub(topics: usize) -> Hub {
    Hub::builder().max_topics(topics).build()
}

/// Returns the retained data. Reading them counts as a visit.
fn kept(hub: &Hub, name: &str) -> Vec<String> {
    read(&mut hub.subscribe(Subscribe::to(name).start(Start::Beginning)).expect("the hub has room")).split_off(1)
}

/// A user who published to many names had the topics of all others refused.
#[test]
fn unread_topics_are_evicted_for_subscribers() {
    let hub = hub(100);
    for number in 0..1000 {
        publish(&hub, &format!("unread {number}"));
    }
    assert_eq!(hub.topic_count(), 100);
    let users: Vec<_> =
        (0..100).map(|number| hub.subscribe(format!("user {number}")).expect("the hub has room")).collect();
    let health = hub.health();
    assert_eq!((health.refused, health.topics, health.held_topics), (0, 100, 100));
    assert_eq!((health.evicted_topics, health.is_full()), (1000, true));
    drop(users);
    assert_eq!(hub.health().held_topics, 0);
}

#[test]
fn least_recently_read_topics_are_evicted_first() {
    let hub = hub(6);
    publish_keyed(&hub, "keyed", "key");
    for name in ["never read", "read first", "read last"] {
        publish(&hub, name);
    }
    let held = hub.topic("held").unwrap();
    held.publish(Event::new("held")).try_result().unwrap();
    let watched = hub.subscribe("watched").unwrap();
    publish(&hub, "watched");
    visit(&hub, "read first");
    visit(&hub, "keyed");
    visit(&hub, "read last");
    let mut there = vec!["never read", "read first", "read last", "keyed"];
    // A topic with a subscriber stays.
    let mut others = Vec::new();
    for number in 0..4 {
        others.push(hub.subscribe(format!("other {number}")).unwrap());
        there.remove(0);
        assert_eq!(hub.health().evicted_topics, number + 1);
        assert_eq!(hub.health().evicted_keys, u64::from(there.is_empty()));
    }
    assert!(hub.subscribe("one more").is_err());
    assert_eq!((kept(&hub, "held"), kept(&hub, "watched")), (vec!["held".to_owned()], vec!["watched".to_owned()]));
    drop((held, watched, others));
    assert_eq!(hub.health().held_topics, 0);
}

#[test]
fn topics_are_evicted_in_the_documented_order() {
    for (goes, stays) in [("never read", "read"), ("read", "keyed"), ("read first", "read last"), ("old", "new")] {
        let hub = hub(2);
        for name in [goes, stays] {
            match name {
                "keyed" => publish_keyed(&hub, name, "key"),
                name => drop(publish(&hub, name)),
            }
        }
        for name in [goes, stays].into_iter().filter(|name| name.starts_with("read")) {
            visit(&hub, name);
        }
        publish(&hub, "another");
        // The other topic is not evicted: it would be the next.
        let mut back = hub.subscribe(Subscribe::to(stays).start(Start::Beginning)).unwrap();
        assert_eq!(read(&mut back).len(), 2, "{stays} stays when {goes} goes");
    }
}

/// The topic that was created first was evicted, however much was published there since.
#[test]
fn topic_with_a_newer_event_is_evicted_later() {
    let hub = hub(2);
    publish(&hub, "busy");
    publish(&hub, "quiet");
    publish(&hub, "busy");
    publish(&hub, "another");
    assert_eq!(kept(&hub, "busy"), ["busy", "busy"]);
}

#[test]
fn held_topic_keeps_its_keyed_values() {
    let hub = hub(10);
    let held = hub.topic("held").unwrap();
    held.publish_keyed("key", Event::new("value")).try_result().unwrap();
    for number in 0..100 {
        publish_keyed(&hub, &number.to_string(), "key");
    }
    assert_eq!(hub.health().evicted_keys, 91);
    let mut present = hub.subscribe(Subscribe::to("held").start(Start::Snapshot)).unwrap();
    assert_eq!(read(&mut present), ["+", "value"]);
}

#[test]
fn keyed_values_evicted_by_a_bound_are_counted() {
    let hub = Hub::builder().max_bytes(1000).build();
    let topic = hub.topic("a").unwrap();
    for key in ["x", "y", "x"] {
        topic.publish_keyed(key, Event::new(key)).try_result().unwrap();
    }
    topic.remove_key("y");
    assert_eq!(hub.health().evicted_keys, 0, "a replaced or removed value is not lost");
    for number in 0..100 {
        topic.publish_keyed(number.to_string(), Event::new("1")).try_result().unwrap();
    }
    let mut present = hub.subscribe(Subscribe::to("a").start(Start::Snapshot)).unwrap();
    assert_eq!(hub.health().evicted_keys, 101 - (read(&mut present).len() as u64 - 1));
}

#[test]
fn clients_of_an_evicted_topic_receive_a_gap() {
    for lag in [LagPolicy::Disconnect, LagPolicy::Conflate] {
        let hub = hub(1);
        let had = publish(&hub, "a");
        publish_keyed(&hub, "a", "missed");
        publish(&hub, "b");
        let mut back = hub.subscribe(Subscribe::to("a").lag(lag).resume_after(LastEventId::from_id(&had))).unwrap();
        assert_eq!(read(&mut back), ["gap"], "{lag:?}");
        // One gap is sent, and nothing is missing from then on.
        publish(&hub, "a");
        assert_eq!(read(&mut back), ["a"]);
    }
}

/// Of topics beyond the table only one number is known: the position up to which their events may be evicted.
#[test]
fn forgotten_topic_names_cost_a_gap_at_worst() {
    let hub = hub(3);
    let held = hub.topic("held").unwrap();
    let first = held.publish(Event::new("1")).try_result().unwrap();
    held.publish(Event::new("2")).try_result().unwrap();
    let back = |name: &str| {
        let subscribe = Subscribe::to(name).resume_after(LastEventId::from_id(&first));
        read(&mut hub.subscribe(subscribe).unwrap())
    };
    for number in 0..4 {
        publish(&hub, &format!("unread {number}"));
    }
    assert_eq!(back("never there"), [""; 0], "all evicted topics are known by name");
    for number in 4..100 {
        publish(&hub, &format!("unread {number}"));
    }
    assert_eq!(back("never there"), ["gap"], "conservative, since the name is unknown");
    assert_eq!(back("held"), ["2"], "a retained topic is exact");
    // A client that resumes with a newer id receives no gap.
    let last = held.publish(Event::new("3")).try_result().unwrap();
    let mut new = hub.subscribe(Subscribe::to("never there").resume_after(LastEventId::from_id(&last))).unwrap();
    assert_eq!(read(&mut new), [""; 0]);
}

/// No counter changed when clients were refused.
#[test]
fn refusals_are_counted_and_a_full_hub_is_reported() {
    let hub = hub(2);
    let held = hub.topic("held").unwrap();
    let watched = hub.subscribe("watched").unwrap();
    assert!(hub.health().is_full());
    for number in 1..=3 {
        let refused = hub.subscribe(Subscribe::to("held").and("new")).unwrap_err();
        assert!(matches!(&refused, SubscribeError::Topic(error) if error.is_full()), "{refused}");
        assert!(hub.topic("new").is_err());
        assert_eq!(hub.health().refused, 2 * number);
    }
    assert!(hub.topic("x".repeat(1000)).is_err());
    let health = hub.health();
    assert_eq!(
        (health.refused, health.topics, health.held_topics),
        (6, 2, 2),
        "a name that is too long is another error"
    );
    drop((held, watched));
    assert!(!hub.health().is_full());
    assert!(hub.topic("new").is_ok());
}

#[test]
fn number_of_topics_of_a_subscription_is_limited() {
    let hub = Hub::builder().max_topics_per_subscription(3).build();
    let three = ["a", "b", "c", "a", "a"];
    assert!(hub.subscribe(Subscribe::to_all(three)).is_ok(), "a repeated name counts once");
    let refused = hub.subscribe(Subscribe::to_all(three).and("d")).unwrap_err();
    assert!(matches!(refused, SubscribeError::TooManyTopics { topics: 4, limit: 3, .. }), "{refused}");
    assert_eq!(Refusal::from(refused).status_for(&http::Method::GET), 400);
    assert_eq!(hub.topic_count(), 0, "none was created");
    let many = (0..300).map(|number| number.to_string());
    assert!(matches!(
        Hub::new().subscribe(Subscribe::to_all(many)),
        Err(SubscribeError::TooManyTopics { limit: 256, .. })
    ));
}

/// As many notes as a user of the production example posted.
#[test]
fn ten_thousand_unread_names_refuse_no_subscriber() {
    let hub = Hub::new();
    for number in 0..10_050 {
        publish(&hub, &format!("nobody {number}"));
    }
    let users: Vec<_> =
        (0..100).map(|number| hub.subscribe(format!("user {number}")).expect("the hub has room")).collect();
    for number in 0..100 {
        publish_keyed(&hub, &format!("user {number}"), "note");
    }
    assert!(users.into_iter().all(|mut user| read(&mut user) == ["+", "note"]));
    let health = hub.health();
    assert_eq!((health.refused, health.is_full(), health.evicted_keys), (0, false, 0));
    assert!(health.evicted_topics >= 150, "{health:?}");
}

#[test]
fn topic_with_a_held_presence_is_never_evicted() {
    let hub = hub(1);
    let presence = hub.topic("held").expect("the hub has room").presence();
    publish(&hub, "held");
    assert!(hub.subscribe("other").is_err());
    assert_eq!(kept(&hub, "held"), ["held"]);
    drop(presence);
    assert!(hub.subscribe("other").is_ok());
}

#[test]
fn get_topic_never_creates_a_topic() {
    let hub = hub(2);
    assert!(hub.get_topic("a").is_none());
    assert_eq!(hub.topic_count(), 0);
    drop(hub.topic("a").expect("the hub has room"));
    assert!(hub.get_topic("a").is_none(), "the topic was empty, and not held");
    publish(&hub, "a");
    let topic = hub.get_topic("a").expect("the topic exists");
    topic.close(None).try_result().expect("the topic is open");
    assert_eq!(hub.get_topic("a"), Some(topic), "the topic is closed, and held");
    assert!(hub.get_topic("a").is_none(), "the topic was closed, and not held");
    assert!(hub.get_topic("a".repeat(1000)).is_none());
}

#[test]
fn a_topic_from_get_topic_is_not_evicted() {
    let hub = hub(1);
    publish(&hub, "a");
    let topic = hub.get_topic("a").expect("the topic exists");
    assert_eq!(hub.health().held_topics, 1);
    assert!(hub.topic("b").unwrap_err().is_full());
    drop(topic);
    assert!(hub.topic("b").is_ok());
}

#[test]
fn topics_are_equal_if_they_have_one_name_and_one_hub() {
    let (one, other) = (hub(2), hub(2));
    let a = one.topic("a").expect("the hub has room");
    assert_eq!(a, a.clone());
    assert_eq!(a, one.clone().topic("a").expect("the hub has room"));
    a.close(None).try_result().expect("the topic is open");
    assert_eq!(a, one.topic("a").expect("the hub has room"), "the topic is closed, and held");
    assert_ne!(a, one.topic("b").expect("the hub has room"));
    assert_ne!(a, other.topic("a").expect("the hub has room"));
}
