//! A gap is sent at its end, after the retained events up to there: a client that is cut anywhere resumes after it.

use tower_sse::{
    Event, EventId,
    hub::{Hub, LagPolicy, Retention, Start, Subscribe, Topic},
    observe::Reason,
};

use super::support::publish;

use super::reader::{Reader, Received, Through};

const BOTH: [Through; 2] = [Through::Wire, Through::Stream];

/// Topics `a`, which has lost all events up to 10, and `b`, which retains 2 to 9. Returns the first id, which was in `a`.
fn one_has_lost() -> (Hub, Topic, Topic, EventId) {
    let hub = Hub::new();
    let (a, b) = (hub.topic_with("a", Retention::new().events(1)), hub.topic("b"));
    let (a, b) = (a.expect("the hub has room"), b.expect("the hub has room"));
    let first = publish(&a, "1");
    for number in 2..=9 {
        publish(&b, &number.to_string());
    }
    publish(&a, "10");
    publish(&a, "11");
    (hub, a, b, first)
}

fn both() -> Subscribe {
    Subscribe::to("a").and("b")
}

/// Returns the ready updates, in short.
fn read(source: &mut Reader) -> Vec<String> {
    let mut read = Vec::new();
    loop {
        let given = source.read();
        if given.is_empty() {
            return read;
        }
        for given in given {
            read.push(match given {
                Received::Subscribed { at } => format!("+{}", at.map_or("?".to_owned(), |at| at.to_string())),
                Received::Event { id, data, .. } if id.is_some_and(|id| data == id.to_string()) => data,
                Received::Event { id, data, .. } => {
                    format!("{data}@{}", id.map_or("?".to_owned(), |id| id.to_string()))
                }
                Received::Gap { from, to, at } => {
                    assert_eq!(to, at, "the id of a gap is its end");
                    let from = from.as_deref().and_then(|from| from.rsplit('-').next()).unwrap_or("?").to_owned();
                    format!("gap {from}..{to}")
                }
                Received::Ended(reason) => {
                    read.push(format!("{reason:?}"));
                    return read;
                }
            });
        }
    }
}

/// The gap came first, up to 10, with the id 1: a client that was cut, or that reloaded, received it again and again.
#[test]
fn retained_events_up_to_a_gap_precede_it() {
    for through in BOTH {
        let (hub, _a, _b, first) = one_has_lost();
        let mut back = Reader::new(&hub, both(), Some(first.to_string()), through);
        assert_eq!(read(&mut back), ["2", "3", "4", "5", "6", "7", "8", "9", "gap 1..10", "11"]);
    }
}

/// Reads the events of a page up to a gap, and returns them with the id of the gap.
fn until_gap(hub: &Hub, subscribe: Subscribe, saved: &str, seen: &mut Vec<u64>) -> Option<u64> {
    let mut source = Reader::new(hub, subscribe, Some(saved.to_owned()), Through::Wire);
    loop {
        let given = source.read();
        if given.is_empty() {
            return None;
        }
        for given in given {
            match given {
                Received::Event { id, .. } => seen.push(id.expect("the event has an id")),
                Received::Gap { at, .. } => return Some(at),
                other => unreachable!("{other:?}"),
            }
        }
    }
}

/// The documented page saves the id of a gap and reloads, with that id in its address.
#[test]
fn page_that_reloads_at_a_gap_reloads_once() {
    for lag in [LagPolicy::Disconnect, LagPolicy::Skip, LagPolicy::Conflate] {
        let (hub, a, b, first) = one_has_lost();
        for key in ["x", "y", "x"] {
            b.publish_keyed(key, Event::new("keyed")).try_result().expect("the event is small");
            publish(&a, "1x");
        }
        let epoch = first.as_str().rsplit_once('-').expect("the id is valid").0.to_owned();
        let (mut saved, mut reloads, mut seen) = (first.to_string(), 0, Vec::new());
        while let Some(gap) = until_gap(&hub, both().lag(lag), &saved, &mut seen) {
            saved = format!("{epoch}-{gap}");
            reloads += 1;
            assert!(reloads < 5, "the page reloads for ever");
        }
        assert_eq!(reloads, 1, "the gap is received once");
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "no event is received twice: {seen:?}");
    }
}

/// A client received one gap six times.
#[test]
fn client_cut_after_each_event_receives_a_gap_once() {
    for through in BOTH {
        let (hub, _a, _b, first) = one_has_lost();
        let epoch = first.as_str().rsplit_once('-').expect("the id is valid").0.to_owned();
        let (mut id, mut told) = (1, Vec::new());
        while let Some(given) =
            Reader::new(&hub, both(), Some(format!("{epoch}-{id}")), through).read().into_iter().next()
        {
            let next = match given {
                Received::Event { id, .. } => id.expect("the event has an id"),
                Received::Gap { from, to, .. } => {
                    told.push((from, to));
                    to
                }
                other => unreachable!("{other:?}"),
            };
            assert!(next > id, "the client makes progress");
            id = next;
        }
        assert_eq!(told, [(Some(format!("{epoch}-9")), 10)], "from the id of the last connection");
    }
}

/// The newest event of a key is retained below the end of the gap: a client that was cut between the two skipped it.
#[test]
fn newest_of_each_key_comes_before_the_gap() {
    for through in BOTH {
        let hub = Hub::new();
        let topic = hub.topic_with("a", Retention::new().events(2)).expect("the hub has room");
        let first = publish(&topic, "1");
        topic.publish_keyed("x", Event::new("2")).try_result().expect("the event is small");
        for number in 3..=6 {
            publish(&topic, &number.to_string());
        }
        let subscribe = Subscribe::to("a").lag(LagPolicy::Conflate);
        let mut back = Reader::new(&hub, subscribe, Some(first.to_string()), through);
        assert_eq!(read(&mut back), ["2", "gap 1..4", "5", "6"]);
    }
}

/// A client with a foreign id receives its gap before any kept event.
#[test]
fn foreign_id_is_a_gap_before_the_oldest_kept_event() {
    for through in BOTH {
        for (id, from) in [("x", "?"), ("0123456789abcdef-7", "7")] {
            let (hub, _a, _b, _) = one_has_lost();
            let mut back = Reader::new(&hub, both(), Some(id.to_owned()), through);
            let first = format!("gap {from}..1");
            let further = format!("gap {from}..10");
            assert_eq!(read(&mut back), [&*first, "2", "3", "4", "5", "6", "7", "8", "9", &*further, "11"]);
        }
    }
}

#[test]
fn eviction_after_a_found_gap_is_another_gap() {
    let (hub, a, b, first) = one_has_lost();
    let mut slow = Reader::new(&hub, both().lag(LagPolicy::Disconnect), Some(first.to_string()), Through::Stream);
    assert!(matches!(slow.read()[..], [Received::Event { id: Some(2), .. }]), "the gap up to 10 is found here");
    publish(&a, "12");
    publish(&b, "13");
    publish(&a, "14");
    // The client has read something, and is not ended: a gap is still to be reported to it.
    let rest: Vec<_> = (0..8).flat_map(|_| slow.read()).collect();
    assert!(matches!(rest[7], Received::Gap { to: 10, .. }), "{rest:?}");
    assert_eq!(read(&mut slow), ["Lagged"], "ended for what was evicted after that");
    let id = first.as_str().replace("-1", "-10");
    let mut back = Reader::new(&hub, both(), Some(id), Through::Stream);
    assert_eq!(read(&mut back), ["gap 10..12", "13", "14"]);
}

/// A client received 901 events of the past, or a gap if those were evicted, and never the key of the snapshot.
#[test]
fn client_cut_within_the_snapshot_gets_the_snapshot_again() {
    for through in BOTH {
        for keeps in [1024, 4] {
            let hub = Hub::new();
            let topic = hub.topic_with("a", Retention::new().events(keeps)).expect("the hub has room");
            topic.publish_keyed("x", Event::new("x")).try_result().expect("the event is small");
            topic.publish_keyed("y", Event::new("y")).try_result().expect("the event is small");
            for number in 0..900 {
                topic.publish_keyed("z", Event::new(number.to_string())).try_result().expect("the event is small");
            }
            let new = || Reader::new(&hub, Subscribe::to("a").start(Start::Snapshot), None, through);
            // No event has an id before all of the snapshot has arrived: the client has no id to resume after.
            assert_eq!(read(&mut new()), ["+?", "x@?", "y@?", "899@902"]);
            let mut whole = new();
            read(&mut whole);
            publish(&topic, "903");
            assert_eq!(read(&mut whole), ["903"]);
        }
    }
}

#[test]
fn client_with_an_empty_snapshot_has_a_position_at_once() {
    for through in BOTH {
        let hub = Hub::new();
        let (a, _b) = (hub.topic("a").expect("the hub has room"), hub.topic("b").expect("the hub has room"));
        publish(&a, "1");
        let mut new = Reader::new(&hub, Subscribe::to("b").start(Start::Snapshot), None, through);
        assert_eq!(read(&mut new), ["+1"]);
    }
}

/// With the head of one hub and the snapshot of another, in frames that do not hold all of it.
#[test]
fn snapshot_of_many_frames_has_an_id_at_its_end_only() {
    let hub = Hub::new();
    let (a, b) = (hub.topic("a").expect("the hub has room"), hub.topic("b").expect("the hub has room"));
    for number in 0..10 {
        let topic = if number % 2 == 0 { &a } else { &b };
        topic.publish_keyed(number.to_string(), Event::new("x".repeat(3000))).try_result().expect("the event is small");
    }
    let mut new = Reader::new(&hub, both().start(Start::Snapshot), None, Through::Wire);
    let all = read(&mut new);
    let ids: Vec<_> = all.iter().map(|event| event.rsplit('@').next().unwrap_or_default()).collect();
    assert_eq!(ids, [&["+?"][..], &["?"; 9], &["10"]].concat());
}

#[test]
fn end_does_not_precede_a_pending_gap() {
    for through in BOTH {
        let (hub, a, b, first) = one_has_lost();
        let mut back = Reader::new(&hub, both(), Some(first.to_string()), through);
        a.close(None).try_result().expect("the close succeeds");
        b.close(None).try_result().expect("the close succeeds");
        let all = read(&mut back);
        assert_eq!(all[7..], ["9", "gap 1..10", "11", &format!("{:?}", Reason::TopicClosed)]);
    }
}
