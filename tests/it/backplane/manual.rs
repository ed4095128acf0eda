//! A backplane that delivers what the test delivers.

use std::sync::{Arc, Mutex};

use futures_core::future::BoxFuture;
use tower_sse::{
    EventId,
    backplane::{Backplane, Feed, Outgoing},
    hub::{Hub, HubBuilder, PublishError},
};

/// Keeps the feed for the test. A clone is another handle to it.
#[derive(Clone, Default)]
pub(crate) struct Manual(Arc<Mutex<Option<Feed>>>);

impl Manual {
    /// Builds a hub, and waits until it has its feed.
    pub(crate) async fn build(builder: HubBuilder) -> (Hub, Feed) {
        let given = Self::default();
        let hub = builder.build_with_backplane(given.clone());
        loop {
            let feed = given.0.lock().expect("no thread panics under the lock").take();
            match feed {
                Some(feed) => return (hub, feed),
                None => tokio::task::yield_now().await,
            }
        }
    }
}

impl Backplane for Manual {
    fn publish(&self, _: Outgoing) -> BoxFuture<'static, Result<EventId, PublishError>> {
        Box::pin(std::future::ready(Err(PublishError::not_sent("nothing is published here"))))
    }

    fn follow(&self, feed: Feed) -> BoxFuture<'static, ()> {
        *self.0.lock().expect("no thread panics under the lock") = Some(feed);
        Box::pin(std::future::pending())
    }
}
