//! A publish wakes one task, whatever the number of waiting subscribers. Its time is measured by the benchmark `alone`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Wake},
    thread,
};

use futures_util::StreamExt;
use tower_sse::{Event, hub::Hub};

/// Counts the wakes of subscribers by the thread that published.
#[derive(Default)]
struct Wakes {
    by_publisher: AtomicUsize,
    publisher: std::sync::OnceLock<thread::ThreadId>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        if self.publisher.get() == Some(&thread::current().id()) {
            self.by_publisher.fetch_add(1, SeqCst);
        }
    }
}

#[test]
fn publisher_within_a_runtime_wakes_only_the_pump() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("the runtime is built");
    let _within = runtime.enter();
    let hub = Hub::new();
    let topic = hub.topic("a").expect("the hub has room");
    let wakes = Arc::new(Wakes::default());
    wakes.publisher.set(thread::current().id()).expect("the cell is set once");
    let mut subscriptions: Vec<_> = (0..1000).map(|_| hub.subscribe("a").expect("the hub has room")).collect();
    let waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    for _ in 0..10 {
        for subscription in &mut subscriptions {
            while subscription.poll_next_unpin(&mut cx).is_ready() {}
        }
        topic.publish(Event::new("x")).try_result().expect("the event is small");
    }
    assert_eq!(wakes.by_publisher.load(SeqCst), 0);
}
