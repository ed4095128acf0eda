//! Publishers, subscribers and the pump in every order of what they do, by loom: the real ones, with a lane of the pump's that
//! no runtime has to run.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Waker},
};

use loom::{future::block_on, model::Builder, thread};

use super::{lane::WakeQueue, pump::Pump};
use crate::{
    event::Event,
    hub::{
        core::Core,
        handle::Hub,
        retention::Retention,
        state::{TopicQueue, found::Budget},
        subscription::{
            Output, Subscription,
            request::{LagPolicy, Start, Subscribe},
        },
        sync::lock,
        topic::Topic,
    },
    observe::Reason,
};

/// Every order with at most so many threads stopped where they need not.
fn every_order(stops: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut model = Builder::new();
    model.preemption_bound = Some(stops);
    model.max_branches = 10_000;
    model.check(run);
}

/// A hub whose subscribers wait for this pump.
fn hub() -> (Hub, Arc<Core>, Pump) {
    let hub = Hub::builder().retention(Retention::new().age(None)).greeting_event(None).build();
    let core = Arc::clone(hub.core());
    let lane: Arc<TopicQueue> = WakeQueue::new(1000, true);
    // In the place of the one that has none.
    lock(&core.wake_queues.lanes).push(Arc::clone(&lane));
    let pump = Pump { lane, core: Arc::downgrade(&core) };
    (hub, core, pump)
}

fn publish(topic: &Topic, data: &str) {
    assert!(topic.publish(Event::new(data)).try_result().is_ok());
}

fn subscribe(hub: &Hub, topics: &[&str]) -> Subscription {
    hub.subscribe(Subscribe::to_all(topics.iter().copied()).start(Start::Beginning).lag(LagPolicy::Skip))
        .expect("there is room")
}

/// What a subscriber gets until it has so many events, or the end.
fn read(mut subscription: Subscription, count: usize) -> (Vec<u64>, Option<Reason>) {
    let mut read = Vec::new();
    while read.len() < count {
        match block_on(poll_fn(|cx| subscription.poll_output(cx, Budget::FRAME))) {
            Output::Events { events, .. } => read.extend(events.iter().map(|event| event.sequence)),
            Output::Frame(slice) => read.push(slice.through),
            Output::Ended(reason) => return (read, Some(reason)),
        }
    }
    (read, None)
}

/// The pump runs until the hub is gone.
fn run(pump: Pump) -> thread::JoinHandle<()> {
    thread::spawn(|| block_on(pump.run()))
}

/// The pump runs this often, at any time, and then its runtime ends.
fn run_and_die(pump: Pump, polls: usize) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut running = Box::pin(pump.run());
        for _ in 0..polls {
            let _ = running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            thread::yield_now();
        }
    })
}

fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("it does not panic")
}

#[test]
fn no_wake_up_is_lost() {
    every_order(2, || {
        let (hub, core, pump) = hub();
        drop(core);
        let subscription = subscribe(&hub, &["a"]);
        let topic = hub.topic("a").expect("there is room");
        drop(hub);
        let pump = run(pump);
        let publisher = thread::spawn(move || ["1", "2"].into_iter().for_each(|data| publish(&topic, data)));
        assert_eq!(read(subscription, 2), (vec![1, 2], None));
        join(publisher);
        // Which everybody has left by now.
        join(pump);
    });
}

#[test]
fn two_publishers_in_two_topics_wake_one_subscriber_of_both() {
    every_order(2, || {
        let (hub, core, pump) = hub();
        drop(core);
        let subscription = subscribe(&hub, &["a", "b"]);
        let (a, b) = (hub.topic("a").expect("there is room"), hub.topic("b").expect("there is room"));
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
fn a_pump_that_ends_at_any_time_leaves_nobody_waiting() {
    for polls in 0..=2 {
        every_order(2, move || {
            let (hub, core, pump) = hub();
            drop(core);
            let subscription = subscribe(&hub, &["a"]);
            let topic = hub.topic("a").expect("there is room");
            let pump = run_and_die(pump, polls);
            let publisher = thread::spawn(move || ["1", "2"].into_iter().for_each(|data| publish(&topic, data)));
            assert_eq!(read(subscription, 2), (vec![1, 2], None));
            join(publisher);
            join(pump);
        });
    }
}

/// A closed topic is found no more among the hub's: those who wait for it have to be woken all the same.
#[test]
fn a_pump_that_ends_at_any_time_leaves_nobody_waiting_for_a_topic_that_is_closed() {
    for polls in 0..=1 {
        every_order(2, move || {
            let (hub, core, pump) = hub();
            drop(core);
            let subscription = subscribe(&hub, &["a"]);
            let topic = hub.topic("a").expect("there is room");
            let pump = run_and_die(pump, polls);
            let publisher = thread::spawn(move || assert!(topic.close(None).try_result().is_ok()));
            assert_eq!(read(subscription, 2), (vec![], Some(Reason::TopicClosed)));
            join(publisher);
            join(pump);
        });
    }
}

/// One leaves while the pump may be about to wake it, the other stays.
#[test]
fn one_that_leaves_takes_nobody_elses_wake_up_with_it() {
    every_order(1, || {
        let (hub, core, pump) = hub();
        drop(core);
        let (mut leaves, stays) = (subscribe(&hub, &["a"]), subscribe(&hub, &["a"]));
        let topic = hub.topic("a").expect("there is room");
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
fn who_waits_for_readers_is_woken_when_they_have_come_or_have_left() {
    for count in [1, 2] {
        every_order(2, move || {
            let (hub, core, pump) = hub();
            drop((core, pump));
            let mut subscription = subscribe(&hub, &["a"]);
            // From its first poll on it is waited for.
            let _ = subscription.poll_output(&mut Context::from_waker(Waker::noop()), Budget::FRAME);
            let topic = hub.topic("a").expect("there is room");
            let publisher = thread::spawn(move || {
                publish(&topic, "1");
                block_on(topic.wait_for_readers(0));
                publish(&topic, "2");
            });
            // Who has read one leaves. Who goes on gets the other.
            let (read, _) = read(subscription, count);
            assert_eq!(read.len(), count);
            join(publisher);
        });
    }
}
