//! Tells a room who is in it.
//!
//! Presence is something that a hub knows; what of it a page shall see is for the program to say. Here one task for a room
//! looks at the changes, which come once a second at most, and publishes the names. It ends when the room has been empty for
//! a while, so that there are never more of them than rooms in use.

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

/// The rooms that are told, and when somebody last came to each.
#[derive(Clone, Default)]
pub(crate) struct Presences(Arc<Mutex<HashMap<Room, Instant>>>);

#[derive(Serialize)]
struct Here<'a> {
    count: usize,
    /// Not all of them, if there are many.
    names: Vec<&'a str>,
}

impl Presences {
    /// Somebody is coming to this room: from here on it is told who is there.
    pub(crate) fn tell(&self, hub: &Hub, room: &Room) -> Result<(), TopicError> {
        let presence = hub.topic(room.lines())?.presence();
        let topic = hub.topic_with(room.presence(), Retention::new().events(1).age(IDLE))?;
        let is_told = self.rooms(|rooms| rooms.insert(room.clone(), Instant::now()).is_some());
        if !is_told {
            tokio::spawn(self.clone().run(room.clone(), presence, topic));
        }
        Ok(())
    }

    async fn run(self, room: Room, presence: Presence, topic: Topic) {
        let mut changes = pin!(presence.changes());
        loop {
            match timeout(IDLE, changes.next()).await {
                // Nobody closes a room.
                Ok(None) => return,
                Ok(Some(_)) => publish(&presence, &topic),
                Err(_) if self.forget_if_idle(&room, &presence) => break,
                Err(_) => {}
            }
        }
        topic.remove_key(KEY);
    }

    /// Who was here a moment ago, or asked to come, may still be on the way.
    fn forget_if_idle(&self, room: &Room, presence: &Presence) -> bool {
        self.rooms(|rooms| {
            let is_idle = presence.count() == 0 && rooms.get(room).is_none_or(|asked| asked.elapsed() > IDLE);
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

/// The whole state, not the change: who missed the one before has lost nothing.
fn publish(presence: &Presence, topic: &Topic) {
    let members = presence.members();
    let here = Here { count: members.len(), names: members.iter().take(SHOWN).map(|name| &**name).collect() };
    if let Ok(event) = Event::builder().name(event_name!("here")).json(&here) {
        // It is far smaller than a topic may be.
        topic.publish_keyed(KEY, event);
    }
}

const KEY: &str = "here";

const SHOWN: usize = 100;

const IDLE: Duration = Duration::from_secs(60);
