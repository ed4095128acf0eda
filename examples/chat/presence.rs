//! Publishes the presence of each room to the room.
//!
//! The hub tracks presence; the application decides what a page sees of it. Here one task for each room watches the
//! changes, at most one a second, and publishes the names. The task ends when the room has been empty for a while, so that
//! there are never more tasks than rooms in use.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use serde::Serialize;
use tokio::time::timeout;
use tower_sse::{
    Event, event_name,
    hub::{Hub, Presence, Retention, Topic, TopicError},
};

use crate::said::Room;

/// The rooms with a task, and the time of the last arrival in each.
#[derive(Clone, Default)]
pub(crate) struct Presences(Arc<Mutex<HashMap<Room, Instant>>>);

#[derive(Serialize)]
struct Here<'a> {
    count: usize,
    /// At most [`SHOWN`] of them.
    names: Vec<&'a str>,
}

impl Presences {
    /// Records an arrival in this room, and starts its task if there is none.
    pub(crate) fn track(&self, hub: &Hub, room: &Room) -> Result<(), TopicError> {
        let presence = hub.topic(room.lines())?.presence();
        let topic = hub.topic_with(room.presence(), Retention::new().events(1).age(IDLE))?;
        let is_tracked = self.rooms(|rooms| rooms.insert(room.clone(), Instant::now()).is_some());
        if !is_tracked {
            tokio::spawn(self.clone().run(room.clone(), presence, topic));
        }
        Ok(())
    }

    async fn run(self, room: Room, presence: Presence, topic: Topic) {
        let mut changes = pin!(presence.changes());
        loop {
            match timeout(IDLE, changes.next()).await {
                // Not reached: rooms are never closed.
                Ok(None) => return,
                Ok(Some(_)) => publish(&presence, &topic),
                Err(_) if self.forget_if_idle(&room, &presence) => break,
                Err(_) => {}
            }
        }
        topic.remove_key(KEY);
    }

    /// Removes an empty room after its idle time. A client may still be between its request and its first poll.
    fn forget_if_idle(&self, room: &Room, presence: &Presence) -> bool {
        self.rooms(|rooms| {
            let is_idle = presence.count() == 0 && rooms.get(room).is_none_or(|arrived| arrived.elapsed() > IDLE);
            if is_idle {
                rooms.remove(room);
            }
            is_idle
        })
    }

    fn rooms<T>(&self, f: impl FnOnce(&mut HashMap<Room, Instant>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Publishes the whole state, not the change, so that a missed event loses nothing.
fn publish(presence: &Presence, topic: &Topic) {
    let members = presence.members();
    let here = Here { count: members.len(), names: members.iter().take(SHOWN).map(|name| &**name).collect() };
    if let Ok(event) = Event::builder().name(event_name!("here")).json(&here) {
        // Always below the topic's limit.
        topic.publish_keyed(KEY, event);
    }
}

const KEY: &str = "here";

const SHOWN: usize = 100;

const IDLE: Duration = Duration::from_secs(60);
