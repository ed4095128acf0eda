//! A client of the suite: what it is given, one thing at a time, within a limit.

use std::{future::Future, time::Duration};

use futures_util::StreamExt;

use crate::{
    event::{field::EventId, gap::Gap},
    hub::{
        handle::Hub,
        subscription::{Subscription, output::Update, request::Subscribe},
    },
    negotiate::last_event_id::LastEventId,
};

/// A subscription that was told where it begins.
pub(super) struct Reader(Subscription);

impl Reader {
    /// One of a new client.
    pub(super) async fn new(hub: &Hub, subscribe: Subscribe) -> Self {
        let mut reader = Self::early(hub, subscribe);
        let first = reader.next().await;
        assert!(matches!(first, Some(Update::Subscribed(_))), "a new client is told where it is, not {first:?}");
        reader
    }

    /// One that nobody waits for.
    pub(super) fn early(hub: &Hub, subscribe: Subscribe) -> Self {
        Self(hub.subscribe(subscribe).expect("there is room"))
    }

    /// One that goes on after this id.
    pub(super) fn after(hub: &Hub, topic: &str, id: &EventId) -> Self {
        Self::early(hub, Subscribe::to(topic).resume_after(LastEventId::from_id(id)))
    }

    pub(super) async fn next(&mut self) -> Option<Update> {
        within("something to read", self.0.next()).await
    }

    /// The next event's id and data. Anything else breaks the contract.
    pub(super) async fn event(&mut self) -> (EventId, String) {
        match self.next().await {
            Some(Update::Event { event, .. }) => {
                let id = event.id().cloned().expect("an event of a hub has its id");
                (id, event.data().into_owned())
            }
            other => broken(&format!("an event comes next, and not {other:?}")),
        }
    }

    pub(super) async fn events(&mut self, number: usize) -> Vec<(EventId, String)> {
        let mut events = Vec::with_capacity(number);
        for _ in 0..number {
            events.push(self.event().await);
        }
        events
    }

    /// The data of the present, of whose events only the last has an id.
    pub(super) async fn present(&mut self, number: usize) -> Vec<String> {
        let mut data = Vec::with_capacity(number);
        while data.len() < number {
            match self.next().await {
                Some(Update::Event { event, .. }) if event.id().is_some() == (data.len() + 1 == number) => {
                    data.push(event.data().into_owned());
                }
                other => broken(&format!("an event of the present comes next, and not {other:?}")),
            }
        }
        data
    }

    pub(super) async fn gap(&mut self) -> Gap {
        match self.next().await {
            Some(Update::Gap(gap)) => gap,
            other => broken(&format!("a gap is told next, and not {other:?}")),
        }
    }
}

/// What comes within the suite's limit.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => broken(&format!("{what} does not come")),
    }
}

#[expect(clippy::panic, reason = "a check has failed")]
pub(super) fn broken(what: &str) -> ! {
    panic!("the contract is broken: {what}")
}

/// No wait of the suite is longer. Only a failure takes so long, on a machine that is busy with other things too.
const LIMIT: Duration = Duration::from_secs(120);
