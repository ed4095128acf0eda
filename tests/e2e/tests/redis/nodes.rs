//! Helpers: nodes of a hub in this process, and their clients.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tower_sse::{
    Event, EventId, LastEventId,
    backplane::{Link, LinkObserver, redis::Redis, redis::RedisBuilder},
    hub::{Hub, Start, Subscribe, Subscription, Update},
};

/// An observer that counts its calls.
#[derive(Clone, Default)]
pub(crate) struct Counts(Arc<Counted>);

#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) failed: AtomicUsize,
    pub(crate) skipped: AtomicUsize,
    pub(crate) renewed: AtomicUsize,
    pub(crate) read: AtomicUsize,
}

impl std::ops::Deref for Counts {
    type Target = Counted;

    fn deref(&self) -> &Counted {
        &self.0
    }
}

impl LinkObserver for Counts {
    fn read(&self, events: usize, _: Duration) {
        self.read.fetch_add(events, Ordering::Relaxed);
    }

    fn failed(&self, _: &(dyn std::error::Error + 'static)) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn skipped(&self, _: &str, _: &str) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    fn renewed(&self, _: &str) {
        self.renewed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns the output of the future within a limit that only a failure reaches, also on a busy machine.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("the limit is not reached")
}

/// Returns a builder whose publish timeout only a failure reaches.
pub(crate) fn backplane(url: &str) -> RedisBuilder {
    Redis::builder(url).publish_timeout(LIMIT / 4)
}

/// Builds a hub on this backplane.
pub(crate) fn hub_on(redis: RedisBuilder) -> Hub {
    Hub::builder().build_with_backplane(redis.build().expect("the settings are valid"))
}

pub(crate) fn hub(url: &str) -> Hub {
    hub_on(backplane(url))
}

/// Builds a hub whose publishes time out soon.
pub(crate) fn limited(url: &str) -> Hub {
    hub_on(backplane(url).publish_timeout(Duration::from_millis(300)))
}

/// Waits until the link has this state.
pub(crate) async fn until(hub: &Hub, link: Link) {
    let mut watch = hub.link_state().expect("the hub has a backplane");
    within(watch.wait_for(|now| *now == link)).await.expect("the hub is alive");
}

pub(crate) async fn publish(hub: &Hub, data: &str) -> EventId {
    let published = hub.topic("topic").expect("the hub has room").publish(Event::new(data));
    within(published).await.expect("the publish succeeds")
}

/// Subscribes from the oldest event on, and waits for the greeting.
pub(crate) async fn reader(hub: &Hub) -> Subscription {
    let mut reader = hub.subscribe(Subscribe::to("topic").start(Start::Beginning)).expect("the hub has room");
    let first = within(reader.next()).await;
    assert!(matches!(first, Some(Update::Subscribed(_))), "{first:?}");
    reader
}

pub(crate) fn after(hub: &Hub, id: &EventId) -> Subscription {
    hub.subscribe(Subscribe::to("topic").resume_after(LastEventId::from_id(id))).expect("the hub has room")
}

pub(crate) async fn data(reader: &mut Subscription) -> String {
    match within(reader.next()).await {
        Some(Update::Event { event, .. }) => event.data().into_owned(),
        other => panic!("expected an event, got {other:?}"),
    }
}

pub(crate) async fn gap(reader: &mut Subscription) {
    let next = within(reader.next()).await;
    assert!(matches!(next, Some(Update::Gap(_))), "expected a gap, got {next:?}");
}

/// Sends a POST request on a connection of its own. Returns `None` unless the response is a success.
pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> Option<()> {
    let stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = http::Request::post(path).header("host", "node").body(body.to_owned()).ok()?;
    let answer = sender.send_request(request).await.ok();
    connection.abort();
    answer?.status().is_success().then_some(())
}

const LIMIT: Duration = Duration::from_secs(240);
