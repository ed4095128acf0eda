//! Subscriptions that wait for a node are released when they are dropped.

use std::{
    sync::Arc,
    task::{Context, Wake, Waker},
};

use futures_util::StreamExt;
use tower_sse::{
    EventId, LastEventId,
    hub::{Hub, Subscribe, Subscription, Update},
};

use super::memory::Memory;

/// A task, recognised by its reference count.
struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

/// The number marks detached readers; a reader with this number never counted as one that left.
#[tokio::test(start_paused = true)]
async fn client_with_the_highest_id_leaves_the_catch_up_queue() {
    let memory = Memory::new();
    let hub = Hub::builder().build_with_backplane(memory.node());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let presence = hub.topic("topic").expect("the hub has room").presence();
    let id = LastEventId::from_id(&EventId::from_position(1, u64::MAX));
    let mut client = hub.subscribe(Subscribe::to("topic").resume_after(id).member("ann")).expect("the hub has room");
    assert!(matches!(client.next().await, Some(Update::Gap(_))));
    assert_eq!(presence.count(), 1);
    drop(client);
    assert_eq!((presence.count(), presence.members()), (0, vec![]));
}

/// While the backplane was away, each client that came and left stayed in the queue of wakers.
#[tokio::test(start_paused = true)]
async fn dropped_subscription_is_removed_from_the_catch_up_queue() {
    let (memory, task) = (Memory::new(), Arc::new(Task));
    let hub = Hub::builder().build_with_backplane(memory.node());
    for has_begun in [false, true] {
        memory.stop(!has_begun);
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        memory.stop(true);
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let ahead = Subscribe::to("topic").resume_after(LastEventId::from_id(&EventId::from_position(1, 1000)));
        for subscribe in [Subscribe::to("topic"), ahead] {
            comes_and_goes(hub.subscribe(subscribe).expect("the hub has room"), &task);
            assert_eq!(Arc::strong_count(&task), 1, "has begun: {has_begun}");
        }
    }
}

/// A client in this task, which waits and then leaves.
fn comes_and_goes(mut subscription: Subscription, task: &Arc<Task>) {
    let waker = Waker::from(Arc::clone(task));
    // A new client without a wait receives its position first.
    while subscription.poll_next_unpin(&mut Context::from_waker(&waker)).is_ready() {}
    // Polled twice, it is queued once.
    assert!(subscription.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
}
