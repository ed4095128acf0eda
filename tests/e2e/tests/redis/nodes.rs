//! Nodes of a hub, in this process, and what their clients read.

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
    backplane::{Link, LinkObserver, redis::Redis},
    hub::{Hub, Start, Subscribe, Subscription, Update},
};

/// Counts the reports of the link.
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

/// Within a limit that only a failure meets, on a machine that is busy with other things too.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it does not take so long")
}

/// With a limit for publishing that only a failure meets.
pub(crate) fn backplane(url: &str) -> Redis {
    Redis::new(url).expect("it is a URL").publish_timeout(LIMIT / 4)
}

pub(crate) fn hub(url: &str) -> Hub {
    Hub::builder().build_with_backplane(backplane(url))
}

/// A node that gives up soon what it cannot publish.
pub(crate) fn limited(url: &str) -> Hub {
    Hub::builder().build_with_backplane(backplane(url).publish_timeout(Duration::from_millis(300)))
}

pub(crate) async fn until(hub: &Hub, link: Link) {
    let mut watch = hub.link_state().expect("it is fed");
    within(watch.wait_for(|now| *now == link)).await.expect("it is followed");
}

pub(crate) async fn publish(hub: &Hub, data: &str) -> EventId {
    let published = hub.topic("topic").expect("there is room").publish(Event::new(data));
    within(published).await.expect("it is published")
}

/// Subscribes a client that has received its position and all that is kept before it.
pub(crate) async fn reader(hub: &Hub) -> Subscription {
    let mut reader = hub.subscribe(Subscribe::to("topic").start(Start::Beginning)).expect("there is room");
    let first = within(reader.next()).await;
    assert!(matches!(first, Some(Update::Subscribed(_))), "{first:?}");
    reader
}

pub(crate) fn after(hub: &Hub, id: &EventId) -> Subscription {
    hub.subscribe(Subscribe::to("topic").resume_after(LastEventId::from_id(id))).expect("there is room")
}

pub(crate) async fn data(reader: &mut Subscription) -> String {
    match within(reader.next()).await {
        Some(Update::Event { event, .. }) => event.data().into_owned(),
        other => panic!("an event comes next, and not {other:?}"),
    }
}

pub(crate) async fn gap(reader: &mut Subscription) {
    let next = within(reader.next()).await;
    assert!(matches!(next, Some(Update::Gap(_))), "a gap is told, and not {next:?}");
}

/// Sends this on a connection of its own. Whether it was taken.
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
