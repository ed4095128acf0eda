//! A client of the conformance tests, whose every wait has a limit.

use std::{future::Future, time::Duration};

use futures_util::StreamExt;

use crate::{
    event::{field::EventId, gap::Gap},
    hub::{
        handle::Hub,
        subscription::{Subscription, request::Subscribe, update::Update},
    },
    negotiate::last_event_id::LastEventId,
};

/// A subscription that is read one update at a time.
pub(super) struct Reader(Subscription);

impl Reader {
    /// Subscribes as a new client, and waits for the greeting.
    pub(super) async fn new(hub: &Hub, subscribe: Subscribe) -> Self {
        let mut reader = Self::without_greeting(hub, subscribe);
        let first = reader.next().await;
        assert!(
            matches!(first, Some(Update::Subscribed(_))),
            "a new client receives its position first, not {first:?}"
        );
        reader
    }

    /// Subscribes without waiting for the greeting.
    pub(super) fn without_greeting(hub: &Hub, subscribe: Subscribe) -> Self {
        Self(hub.subscribe(subscribe).expect("the hub has room"))
    }

    /// Subscribes as a client that resumes after this id.
    pub(super) fn after(hub: &Hub, topic: &str, id: &EventId) -> Self {
        Self::without_greeting(hub, Subscribe::to(topic).resume_after(LastEventId::from_id(id)))
    }

    pub(super) async fn next(&mut self) -> Option<Update> {
        within("an update", self.0.next()).await
    }

    /// Returns the id and the data of the next event.
    pub(super) async fn event(&mut self) -> (EventId, String) {
        match self.next().await {
            Some(Update::Event { event, .. }) => {
                let id = event.id().cloned().expect("an event of a hub has an id");
                (id, event.data().into_owned())
            }
            other => violated(&format!("expected an event, got {other:?}")),
        }
    }

    pub(super) async fn events(&mut self, number: usize) -> Vec<(EventId, String)> {
        let mut events = Vec::with_capacity(number);
        for _ in 0..number {
            events.push(self.event().await);
        }
        events
    }

    /// Returns the data of a snapshot, of whose events only the last has an id.
    pub(super) async fn snapshot(&mut self, number: usize) -> Vec<String> {
        let mut data = Vec::with_capacity(number);
        while data.len() < number {
            match self.next().await {
                Some(Update::Event { event, .. }) if event.id().is_some() == (data.len() + 1 == number) => {
                    data.push(event.data().into_owned());
                }
                other => violated(&format!("expected an event of the snapshot, got {other:?}")),
            }
        }
        data
    }

    pub(super) async fn gap(&mut self) -> Gap {
        match self.next().await {
            Some(Update::Gap(gap)) => gap,
            other => violated(&format!("expected a gap, got {other:?}")),
        }
    }
}

/// Returns the output of the future, or fails after the limit.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => violated(&format!("timed out while waiting for {what}")),
    }
}

#[expect(clippy::panic, reason = "a failed check panics")]
pub(super) fn violated(what: &str) -> ! {
    panic!("the contract is violated: {what}")
}

/// The limit of each wait: long enough for a busy machine, so that only a failure reaches it.
const LIMIT: Duration = Duration::from_secs(120);
