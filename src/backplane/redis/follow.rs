//! How a node follows the stream, through everything that happens to Redis.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    error::RedisError,
    id, reading,
    servers::{Commands, Connection, Servers},
    settings::{ANSWER, AT_ONCE, BLOCK, Settings},
    tail,
    verdict::{Place, Verdict},
};
use crate::{
    backplane::{Feed, Link},
    jitter,
};

/// A node that follows.
pub(super) struct Follower {
    servers: Arc<Servers>,
    commands: Arc<Commands>,
    settings: Arc<Settings>,
    feed: Feed,
    place: Option<Place>,
    /// The epochs that there were: one that comes again is of a Redis that has gone back.
    past: Vec<u64>,
}

impl Follower {
    pub(super) fn new(servers: &Arc<Servers>, commands: &Arc<Commands>, settings: &Arc<Settings>, feed: &Feed) -> Self {
        Self {
            servers: Arc::clone(servers),
            commands: Arc::clone(commands),
            settings: Arc::clone(settings),
            feed: feed.clone(),
            place: None,
            past: Vec::new(),
        }
    }

    /// Follows until nobody reads any more.
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        while !self.feed.is_closed() {
            let since = Instant::now();
            let Err(error) = self.follow().await else { return };
            self.tell(if self.place.is_some() { Link::Down } else { Link::Connecting });
            self.settings.observer.failed(&error);
            // What this node publishes by is as broken, and nobody has noticed yet.
            self.commands.broken(Some(&error)).await;
            // One that held for a while was a good one.
            pause = if since.elapsed() > LONGEST_PAUSE + BLOCK { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            sleep(jitter::at_least(pause)).await;
        }
    }

    /// Follows on one connection, as long as that is possible.
    async fn follow(&mut self) -> Result<(), RedisError> {
        let mut connection = self.servers.connect(&self.settings, BLOCK + ANSWER).await?;
        // What comes first is not waited for: so it is known at once whether the history is the same.
        let mut waits = false;
        while !self.feed.is_closed() {
            let Some(place) = &self.place else {
                self.begin(&mut connection).await?;
                waits = false;
                continue;
            };
            let look = if waits {
                reading::wait(&mut connection, &self.settings, &place.last, AT_ONCE).await?
            } else {
                reading::look(&mut connection, &self.settings, &place.last, AT_ONCE).await?
            };
            self.tell(Link::Up);
            match place.judge(&look.seen) {
                Verdict::GoesOn => waits = self.take(look),
                Verdict::Missed => self.anew("entries were let go before this node read them"),
                Verdict::Renewed => {
                    self.past.push(place.epoch);
                    self.anew("another history has begun");
                }
                Verdict::RolledBack => {
                    reading::renew(&mut connection, &self.settings, place.epoch).await?;
                    self.past.push(place.epoch);
                    self.anew("redis has gone back to before what was read");
                }
            }
        }
        Ok(())
    }

    /// Gives what was found. Whether that was all.
    fn take(&mut self, look: reading::Look) -> bool {
        let Some(place) = &mut self.place else { return false };
        let found = look.entries.len();
        let is_all = found < AT_ONCE;
        place.added = match place.added {
            _ if is_all => look.seen.added,
            Some(added) => Some(added + found as u64),
            None => None,
        };
        if let Some(last) = look.entries.last() {
            place.last.clone_from(&last.id);
        }
        reading::give(look.entries.into_iter(), &self.settings, &self.feed);
        if is_all {
            self.feed.caught_up(id::sequence(&place.last).unwrap_or(0));
        }
        is_all
    }

    /// The place is not to be gone on from.
    fn anew(&mut self, why: &str) {
        self.place = None;
        self.past.drain(..self.past.len().saturating_sub(PAST));
        self.settings.observer.renewed(why);
    }

    async fn begin(&mut self, connection: &mut Connection) -> Result<(), RedisError> {
        let place = timeout(LOAD, tail::load(connection, &self.settings, &self.feed, &self.past)).await;
        let place = place.unwrap_or_else(|_| Err(RedisError::said("the tail was not read in time")))?;
        self.place = Some(place);
        Ok(())
    }

    fn tell(&self, link: Link) {
        if self.feed.change_link(link) {
            self.settings.observer.link(link);
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);

const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long loading the tail may take.
const LOAD: Duration = Duration::from_secs(60);

const PAST: usize = 8;
