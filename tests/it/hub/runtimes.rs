//! Subscribers are woken on whichever runtime they are polled, and whatever happens to a runtime that they were polled on.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tower_sse::{
    Event,
    hub::{Hub, Subscription, Topic, Update},
};

/// Longer than any step takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("the runtime is built")
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("the runtime is built")
}

fn publish(topic: &Topic, data: &str) {
    topic.publish(Event::new(data)).try_result().expect("the event is small");
}

/// Returns the data of the next event.
async fn next(subscription: &mut Subscription) -> String {
    loop {
        match subscription.next().await.expect("the topic stays") {
            Update::Event { event, .. } => return event.data().into_owned(),
            update => assert!(matches!(update, Update::Subscribed(_)), "{update:?}"),
        }
    }
}

/// Wakes a thread, as executors without a runtime do.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Waits for a value within the limit.
fn soon<T>(receiver: &mpsc::Receiver<T>) -> T {
    receiver.recv_timeout(LIMIT).expect("the reader is woken")
}

/// Waits until so many subscribers have joined and wait.
fn until_there_are(topic: &Topic, count: usize) {
    while topic.presence().count() != count {
        thread::yield_now();
    }
}

#[test]
fn plain_thread_publishes_to_subscribers_of_any_runtime() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    let (sender, receiver) = mpsc::channel();
    let reader = |mut subscription: Subscription| {
        let sender = sender.clone();
        async move {
            for _ in 0..3 {
                sender.send(next(&mut subscription).await).expect("the receiver is alive");
            }
        }
    };
    let pooled = multi_thread();
    for _ in 0..10 {
        pooled.spawn(reader(hub.subscribe("a").unwrap()));
    }
    let (single, alone) = (reader(hub.subscribe("a").unwrap()), reader(hub.subscribe("a").unwrap()));
    let single = thread::spawn(move || current_thread().block_on(single));
    let alone = thread::spawn(move || block_on(alone));
    until_there_are(&topic, 12);
    for data in ["1", "2", "3"] {
        publish(&topic, data);
        // Each subscriber has received the event before the next is published, so each has to be woken for each.
        let got: Vec<_> = (0..12).map(|_| soon(&receiver)).collect();
        assert_eq!(got, [data; 12]);
    }
    single.join().unwrap();
    alone.join().unwrap();
}

#[test]
fn moved_subscriber_is_woken_by_its_current_runtime() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    let mut subscription = hub.subscribe("a").unwrap();
    // A runtime that exists, but runs nothing any more.
    let idle = current_thread();
    idle.block_on(async { while subscription.next().now_or_never().is_some() {} });
    let (sender, receiver) = mpsc::channel();
    let busy = multi_thread();
    let moved = Arc::new(tokio::sync::Notify::new());
    busy.spawn({
        let moved = Arc::clone(&moved);
        async move {
            assert!(subscription.next().now_or_never().is_none());
            moved.notify_one();
            sender.send(next(&mut subscription).await).expect("the receiver is alive");
        }
    });
    busy.block_on(moved.notified());
    publish(&topic, "1");
    assert_eq!(soon(&receiver), "1");
    drop(idle);
}

#[test]
fn ended_runtime_leaves_no_subscriber_waiting_elsewhere() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    let (sender, receiver) = mpsc::channel();
    let first = multi_thread();
    let mut subscription = hub.subscribe("a").unwrap();
    let others: Vec<_> = (0..100).map(|_| hub.subscribe("a").unwrap()).collect();
    for mut other in others {
        first.spawn(async move { while other.next().await.is_some() {} });
    }
    first.block_on(async { while subscription.next().now_or_never().is_some() {} });
    let reader = thread::spawn(move || {
        let sender = sender;
        block_on(async {
            sender.send(next(&mut subscription).await).expect("the receiver is alive");
            sender.send(next(&mut subscription).await).expect("the receiver is alive");
        });
    });
    until_there_are(&topic, 101);
    // A wake queued just before the end is carried out.
    publish(&topic, "1");
    drop(first);
    assert_eq!(soon(&receiver), "1");
    until_there_are(&topic, 1);
    publish(&topic, "2");
    assert_eq!(soon(&receiver), "2");
    reader.join().unwrap();
}

#[test]
fn subscriber_of_an_ended_runtime_is_woken_by_the_publisher() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    let runtime = current_thread();
    let handle = runtime.handle().clone();
    drop(runtime);
    let (sender, receiver) = mpsc::channel();
    let mut subscription = hub.subscribe("a").unwrap();
    let reader = thread::spawn(move || {
        let _within = handle.enter();
        block_on(async {
            sender.send(next(&mut subscription).await).expect("the receiver is alive");
        });
    });
    until_there_are(&topic, 1);
    publish(&topic, "1");
    assert_eq!(soon(&receiver), "1");
    reader.join().unwrap();
}

#[test]
fn topic_closed_while_a_runtime_ends_ends_streams_elsewhere() {
    for _ in 0..100 {
        let hub = Hub::new();
        let topic = hub.topic("a").unwrap();
        let runtime = current_thread();
        let mut subscription = hub.subscribe("a").unwrap();
        runtime.block_on(async { while subscription.next().now_or_never().is_some() {} });
        // The queue has a pump, which does not run any more.
        topic.close(Event::new("last")).try_result().unwrap();
        let (sender, receiver) = mpsc::channel();
        let reader = thread::spawn(move || {
            let updates = block_on(subscription.collect::<Vec<_>>());
            sender.send(updates.len()).expect("the receiver is alive");
        });
        drop(runtime);
        assert_eq!(soon(&receiver), 1);
        reader.join().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn paused_time_delays_no_delivery() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    let mut subscription = hub.subscribe("a").unwrap();
    let reader = tokio::spawn(async move { [next(&mut subscription).await, next(&mut subscription).await] });
    tokio::task::yield_now().await;
    publish(&topic, "1");
    tokio::time::sleep(Duration::from_secs(3000)).await;
    publish(&topic, "2");
    assert_eq!(reader.await.unwrap(), ["1", "2"]);
}

#[test]
fn hub_without_a_runtime_is_created_used_and_dropped() {
    let hub = Hub::new();
    let topic = hub.topic("a").unwrap();
    publish(&topic, "1");
    assert!(block_on(topic.publish(Event::new("2"))).is_ok());
    block_on(topic.wait_for_readers(0));
    topic.close(None).try_result().unwrap();
    drop(topic);
    assert_eq!((hub.topic_count(), hub.bytes_used()), (0, 0));
}
