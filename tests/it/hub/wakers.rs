//! No waker is woken or dropped while a lock is held: a waker may use the hub, and drop subscribers and bodies.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use tower_sse::{
    Event,
    hub::{Hub, Subscribe, Subscription, Topic},
};

/// A task that takes every lock when it is woken and when it is dropped.
struct Busybody {
    hub: Hub,
    topic: Topic,
    /// Dropped when the task is woken, as a server drops a body.
    holds: Mutex<Vec<Subscription>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    woken: AtomicUsize,
    dropped: AtomicUsize,
}

impl Busybody {
    fn waker(hub: &Hub, topic: &Topic, holds: Vec<Subscription>, counts: &Arc<Counts>) -> Waker {
        let (hub, topic, counts) = (hub.clone(), topic.clone(), Arc::clone(counts));
        Waker::from(Arc::new(Self { hub, topic, holds: Mutex::new(holds), counts }))
    }

    fn use_all(&self) {
        assert!(self.hub.topic_count() < 10);
        assert!(self.hub.bytes_used() < usize::MAX);
        let presence = self.topic.presence();
        assert!(presence.members().len() <= presence.count());
        let mut new = self.hub.subscribe(Subscribe::to("a").member("busybody")).expect("the hub has room");
        assert!(new.next().now_or_never().is_some());
        assert!(new.next().now_or_never().is_none());
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Wake for Busybody {
    fn wake(self: Arc<Self>) {
        self.use_all();
        self.counts.woken.fetch_add(1, SeqCst);
    }
}

impl Drop for Busybody {
    fn drop(&mut self) {
        self.use_all();
        self.counts.dropped.fetch_add(1, SeqCst);
    }
}

/// A lock counts as held for ever after this time.
fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        test();
        sender.send(()).expect("the receiver is alive");
    });
    let end = receiver.recv_timeout(Duration::from_secs(60));
    assert_ne!(end, Err(mpsc::RecvTimeoutError::Timeout), "a lock is held");
    assert_eq!(end, Ok(()), "the thread panicked");
}

/// Polls until nothing is ready, and leaves this waker.
fn wait(subscription: &mut Subscription, waker: &Waker) {
    while let Poll::Ready(update) = subscription.poll_next_unpin(&mut Context::from_waker(waker)) {
        assert!(update.is_some());
    }
}

fn waits(hub: &Hub, waker: &Waker) -> Subscription {
    let mut subscription = hub.subscribe(Subscribe::to("a").member("reader")).expect("the hub has room");
    wait(&mut subscription, waker);
    subscription
}

/// Covers each way in which a waker is woken or dropped.
fn in_each_way(hub: &Hub, and_then: impl Fn()) {
    let (topic, counts) = (hub.topic("a").expect("the hub has room"), Arc::new(Counts::default()));
    let busybody = |holds| Busybody::waker(hub, &topic, holds, &counts);
    let woken = || counts.woken.load(SeqCst);
    let dropped = || counts.dropped.load(SeqCst);
    let is_now = |times: (usize, usize)| assert_eq!((woken(), dropped()), times);

    // A waker replaces another.
    let mut subscription = waits(hub, &busybody(Vec::new()));
    wait(&mut subscription, &busybody(Vec::new()));
    is_now((0, 1));
    // The subscription of the waker is dropped.
    drop(subscription);
    is_now((0, 2));
    // The waker is woken, and drops others that wait, one of which is in the same list.
    let other = waits(hub, &busybody(Vec::new()));
    let stays = waits(hub, &busybody(vec![other]));
    topic.publish(Event::new("1")).try_result().expect("the event is small");
    and_then();
    assert!((1..=2).contains(&woken()), "the dropped waker may have been woken before");
    assert_eq!(dropped(), 4);
    // A publisher waits for a reader that does not read, and is woken when the reader leaves.
    let before = woken();
    let mut drained = Box::pin(topic.wait_for_readers(0));
    let waker = busybody(Vec::new());
    assert!(drained.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    drop(stays);
    is_now((before + 1, 5));
    assert!(drained.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    // A waker that waits no more is dropped.
    let stalls = waits(hub, Waker::noop());
    topic.publish(Event::new("2")).try_result().expect("the event is small");
    let mut drained = Box::pin(topic.wait_for_readers(0));
    assert!(drained.as_mut().poll(&mut Context::from_waker(&busybody(Vec::new()))).is_pending());
    drop(drained);
    is_now((before + 1, 6));
    drop(stalls);
}

#[test]
fn publisher_wakes_and_drops_no_waker_under_a_lock() {
    within_a_minute(|| in_each_way(&Hub::new(), || ()));
}

#[test]
fn pump_wakes_and_drops_no_waker_under_a_lock() {
    within_a_minute(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("the runtime is built");
        let hub = Hub::new();
        let _within = runtime.enter();
        in_each_way(&hub, || runtime.block_on(tokio::task::yield_now()));
    });
}

#[test]
fn close_wakes_and_drops_no_waker_under_a_lock() {
    within_a_minute(|| {
        let hub = Hub::new();
        let (topic, counts) = (hub.topic("a").expect("the hub has room"), Arc::new(Counts::default()));
        let holds = vec![waits(&hub, Waker::noop())];
        let waits = waits(&hub, &Busybody::waker(&hub, &topic, holds, &counts));
        let mut behind = pin!(topic.wait_for_readers(0));
        topic.publish(Event::new("1")).try_result().expect("the event is small");
        let _ = behind.as_mut().poll(&mut Context::from_waker(&Busybody::waker(&hub, &topic, Vec::new(), &counts)));
        topic.close(Event::new("last")).try_result().expect("the event is small");
        assert!(counts.woken.load(SeqCst) > 0);
        drop(waits);
    });
}

#[test]
fn ended_runtime_wakes_and_drops_no_waker_under_a_lock() {
    within_a_minute(|| {
        let hub = Hub::new();
        let (topic, counts) = (hub.topic("a").expect("the hub has room"), Arc::new(Counts::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("the runtime is built");
        let waits = runtime.block_on(async { waits(&hub, &Busybody::waker(&hub, &topic, Vec::new(), &counts)) });
        drop(runtime);
        assert_eq!((counts.woken.load(SeqCst), counts.dropped.load(SeqCst)), (1, 1));
        drop(waits);
    });
}
