//! Loom models of publishers, subscribers and the pump. All three are the real ones; the pump is polled by a thread of the
//! model in place of a runtime.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use loom::{future::block_on, model::Builder, thread};

use super::{pump::Pump, queue::WakeQueue};
use crate::{
    event::Event,
    hub::{
        core::Core,
        handle::Hub,
        registry::Publish,
        retention::Retention,
        state::{TopicQueue, append::AfterAppend, found::Budget},
        subscription::{
            Subscription,
            output::Output,
            request::{LagPolicy, Start, Subscribe},
        },
        sync::lock,
        topic::Topic,
    },
    observe::Reason,
};

/// Runs a model in each order of its threads with at most so many preemptions.
fn model(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut model = Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 10_000;
    model.check(run);
}

/// Returns a hub whose subscribers wait in the queue of this pump.
fn hub() -> (Hub, Arc<Core>, Pump) {
    hub_with(Duration::ZERO)
}

/// Returns a hub whose topics linger. The time of a model does not pass, but a timer may be over at any moment.
fn hub_with(linger: Duration) -> (Hub, Arc<Core>, Pump) {
    let hub = Hub::builder().retention(Retention::new().age(None)).greeting_event(None).linger(linger).build();
    let core = Arc::clone(hub.core());
    let queue: Arc<TopicQueue> = WakeQueue::new(1000, true);
    // In place of the queue without a pump.
    lock(&core.wake_queues.queues).push(Arc::clone(&queue));
    let pump = Pump { queue, core: Arc::downgrade(&core) };
    (hub, core, pump)
}

fn publish(topic: &Topic, data: &str) {
    assert!(topic.publish(Event::new(data)).try_result().is_ok());
}

fn subscribe(hub: &Hub, topics: &[&str]) -> Subscription {
    hub.subscribe(Subscribe::to_all(topics.iter().copied()).start(Start::Beginning).lag(LagPolicy::Skip))
        .expect("the hub has room")
}

/// Reads a subscription until it has yielded so many events, or has ended.
fn read(mut subscription: Subscription, count: usize) -> (Vec<u64>, Option<Reason>) {
    let mut read = Vec::new();
    while read.len() < count {
        match block_on(poll_fn(|cx| subscription.poll_output(cx, Budget::FRAME))) {
            Output::Events { events, .. } => read.extend(events.iter().map(|event| event.sequence)),
            Output::Frame(slice, _) => read.push(slice.through),
            Output::Ended(reason) => return (read, Some(reason)),
        }
    }
    (read, None)
}

/// Runs the pump until the hub is gone.
fn run(pump: Pump) -> thread::JoinHandle<()> {
    thread::spawn(|| block_on(pump.run()))
}

/// Polls the pump this often, and drops it then, as a runtime does that ends.
fn run_and_drop(pump: Pump, polls: usize) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut running = Box::pin(pump.run());
        for _ in 0..polls {
            let _ = running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            thread::yield_now();
        }
    })
}

fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("the thread has not panicked")
}

#[test]
fn no_wake_up_is_lost() {
    model(2, || {
        let (hub, core, pump) = hub();
        drop(core);
        let subscription = subscribe(&hub, &["a"]);
        let topic = hub.topic("a").expect("the hub has room");
        drop(hub);
        let pump = run(pump);
        let publisher = thread::spawn(move || ["1", "2"].into_iter().for_each(|data| publish(&topic, data)));
        assert_eq!(read(subscription, 2), (vec![1, 2], None));
        join(publisher);
        // All handles of the hub are gone by now.
        join(pump);
    });
}

#[test]
fn lingering_topic_loses_no_wake_up() {
    model(2, || {
        let (hub, core, pump) = hub_with(HOUR);
        drop(core);
        let subscription = subscribe(&hub, &["a"]);
        let topic = hub.topic("a").expect("the hub has room");
        drop(hub);
        let pump = run(pump);
        let publisher = thread::spawn(move || ["1", "2"].into_iter().for_each(|data| publish(&topic, data)));
        assert_eq!(read(subscription, 2), (vec![1, 2], None));
        join(publisher);
        join(pump);
    });
}

/// The topic may be held, due, or in a round as it is closed.
#[test]
fn lingering_topic_is_released_by_its_end() {
    model(2, || {
        let (hub, core, pump) = hub_with(HOUR);
        drop(core);
        let subscription = subscribe(&hub, &["a"]);
        let topic = hub.topic("a").expect("the hub has room");
        drop(hub);
        let pump = run(pump);
        let publisher = thread::spawn(move || {
            publish(&topic, "1");
            assert!(topic.close(None).try_result().is_ok());
        });
        assert_eq!(read(subscription, 2), (vec![1], Some(Reason::TopicClosed)));
        join(publisher);
        join(pump);
    });
}

/// The pump may end while it holds the topic.
#[test]
fn ended_pump_holds_no_lingering_topic() {
    for polls in 1..=3 {
        model(1, move || {
            let (hub, core, pump) = hub_with(HOUR);
            drop(core);
            let subscription = subscribe(&hub, &["a"]);
            let topic = hub.topic("a").expect("the hub has room");
            let pump = run_and_drop(pump, polls);
            let publisher = thread::spawn(move || ["1", "2"].into_iter().for_each(|data| publish(&topic, data)));
            assert_eq!(read(subscription, 2), (vec![1, 2], None));
            join(publisher);
            join(pump);
        });
    }
}

#[test]
fn two_publishers_in_two_topics_wake_one_subscriber_of_both() {
    model(2, || {
        let (hub, core, pump) = hub();
        drop(core);
        let subscription = subscribe(&hub, &["a", "b"]);
        let (a, b) = (hub.topic("a").expect("the hub has room"), hub.topic("b").expect("the hub has room"));
        drop(hub);
        let pump = run(pump);
        let publisher = thread::spawn(move || publish(&a, "1"));
        let reader = thread::spawn(move || read(subscription, 2));
        publish(&b, "2");
        drop(b);
        assert_eq!(join(reader), (vec![1, 2], None));
        join(publisher);
        join(pump);
    });
}

#[test]
fn ended_pump_leaves_no_subscriber_waiting() {
    for polls in 0..=2 {
        model(2, move || {
            let (hub, core, pump) = hub();
            drop(core);
            let subscription = subscribe(&hub, &["a"]);
            let topic = hub.topic("a").expect("the hub has room");
            let pump = run_and_drop(pump, polls);
            let publisher = thread::spawn(move || ["1", "2"].into_iter().for_each(|data| publish(&topic, data)));
            assert_eq!(read(subscription, 2), (vec![1, 2], None));
            join(publisher);
            join(pump);
        });
    }
}

/// An early return drops wake-ups without a call of `wake`.
#[test]
fn dropped_wakes_wake_the_subscriber() {
    for polls in 0..=1 {
        model(2, move || {
            let (hub, core, pump) = hub();
            let subscription = subscribe(&hub, &["a"]);
            let topic = core.topic("a", None).expect("the hub has room");
            let pump = run_and_drop(pump, polls);
            let publisher = thread::spawn(move || {
                let events = [(None, Event::new("1").into_rest())].into_iter();
                let publish = Publish { events, size: 0, idempotency_key: None, then: AfterAppend::Keep };
                let appended = core.with_registry(|registry| registry.append(&topic, publish, core.now()));
                let (sequence, wakes) = appended.expect("the event is small enough");
                drop(wakes);
                sequence
            });
            assert_eq!(read(subscription, 1), (vec![1], None));
            assert_eq!(join(publisher), 1);
            join(pump);
        });
    }
}

/// The wake-ups of a reader that advances, or leaves, are dropped unless they are delivered: each wakes the publisher.
#[test]
fn dropped_wakes_of_a_reader_wake_the_publisher() {
    model(2, || {
        let (hub, core, pump) = hub();
        drop(pump);
        let topic = core.topic("a", None).expect("the hub has room");
        let (place, wakes) = topic.join(&core.wake_queues.without_pump(), 0, || true, None).expect("the queue is open");
        wakes.wake();
        let publisher = hub.topic("a").expect("the hub has room");
        let publisher = thread::spawn(move || {
            ["1", "2"].into_iter().for_each(|data| publish(&publisher, data));
            block_on(publisher.wait_for_readers(0));
        });
        drop(topic.leave(&place, None));
        join(publisher);
        drop((topic, core));
    });
}

/// A closed topic may be removed from the hub before the pump ends: its subscribers have to be woken all the same.
#[test]
fn ended_pump_leaves_no_subscriber_of_a_closed_topic_waiting() {
    for polls in 0..=1 {
        model(2, move || {
            let (hub, core, pump) = hub();
            drop(core);
            let subscription = subscribe(&hub, &["a"]);
            let topic = hub.topic("a").expect("the hub has room");
            let pump = run_and_drop(pump, polls);
            let publisher = thread::spawn(move || assert!(topic.close(None).try_result().is_ok()));
            assert_eq!(read(subscription, 2), (vec![], Some(Reason::TopicClosed)));
            join(publisher);
            join(pump);
        });
    }
}

/// One subscriber leaves while the pump may be about to wake it, the other stays.
#[test]
fn leaving_subscriber_takes_no_wake_up_of_another() {
    model(1, || {
        let (hub, core, pump) = hub();
        drop(core);
        let (mut leaves, stays) = (subscribe(&hub, &["a"]), subscribe(&hub, &["a"]));
        let topic = hub.topic("a").expect("the hub has room");
        drop(hub);
        let pump = run(pump);
        let publisher = thread::spawn(move || publish(&topic, "1"));
        let leaver = thread::spawn(move || {
            let _ = leaves.poll_output(&mut Context::from_waker(Waker::noop()), Budget::FRAME);
            drop(leaves);
        });
        assert_eq!(read(stays, 1), (vec![1], None));
        join(publisher);
        join(leaver);
        join(pump);
    });
}

#[test]
fn a_publisher_is_woken_when_its_readers_have_read_or_left() {
    for count in [1, 2] {
        model(2, move || {
            let (hub, core, pump) = hub();
            drop((core, pump));
            let mut subscription = subscribe(&hub, &["a"]);
            // A publisher waits for it from its first poll on.
            let _ = subscription.poll_output(&mut Context::from_waker(Waker::noop()), Budget::FRAME);
            let topic = hub.topic("a").expect("the hub has room");
            let publisher = thread::spawn(move || {
                publish(&topic, "1");
                block_on(topic.wait_for_readers(0));
                publish(&topic, "2");
            });
            // With a count of one it leaves after the first event, else it reads the other too.
            let (read, _) = read(subscription, count);
            assert_eq!(read.len(), count);
            join(publisher);
        });
    }
}

const HOUR: Duration = Duration::from_secs(3600);
