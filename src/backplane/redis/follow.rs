//! How a node follows the stream, through everything that happens to Redis.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::{Instant, sleep, timeout};

use super::{
    connection::{Connection, Endpoints, SharedConnection},
    continuity::{Continuity, ReadPosition},
    epoch::Epoch,
    error::RedisError,
    keys, read,
    read::ReadReply,
    settings::{BLOCK_TIMEOUT, READ_BATCH, RESPONSE_TIMEOUT, Settings},
    tail,
};
use crate::{hub::replica::contract::Feed, observe::link::Link, panic, time::jitter};

/// A node that follows.
pub(super) struct Follower {
    servers: Arc<Endpoints>,
    commands: Arc<SharedConnection>,
    settings: Arc<Settings>,
    feed: Feed,
    place: Option<ReadPosition>,
    /// The epochs that there were: one that comes again is of a Redis that has gone back.
    past: Vec<u64>,
}

impl Follower {
    pub(super) fn new(
        servers: &Arc<Endpoints>,
        commands: &Arc<SharedConnection>,
        settings: &Arc<Settings>,
        feed: &Feed,
    ) -> Self {
        Self {
            servers: Arc::clone(servers),
            commands: Arc::clone(commands),
            settings: Arc::clone(settings),
            feed: feed.clone(),
            place: None,
            past: Vec::new(),
        }
    }

    /// Follows until the hub is gone.
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let feed = self.feed.clone();
        while !feed.is_closed() {
            let since = Instant::now();
            // Also while it connects, or waits for an answer that does not come.
            let error = match feed.while_open(panic::catch_future(self.follow())).await {
                None | Some(Ok(Ok(()))) => return,
                Some(Ok(Err(error))) => error,
                Some(Err(panicked)) => {
                    // What the hub has of what was read last is not known.
                    self.anew("the task that reads has panicked");
                    panicked.into()
                }
            };
            self.tell(if self.feed.was_up() { Link::Down } else { Link::Connecting });
            self.settings.observer.failed(&error);
            // What this node publishes by is as broken, and nobody has noticed yet.
            self.commands.broken(Some(&error)).await;
            // One that held for a while was a good one.
            pause = if since.elapsed() > LONGEST_PAUSE + BLOCK_TIMEOUT {
                FIRST_PAUSE
            } else {
                (pause * 2).min(LONGEST_PAUSE)
            };
            let _ = feed.while_open(sleep(jitter::longer(pause))).await;
        }
    }

    /// Follows on one connection, as long as that is possible.
    async fn follow(&mut self) -> Result<(), RedisError> {
        let mut connection = self.servers.connect(&self.settings, BLOCK_TIMEOUT + RESPONSE_TIMEOUT).await?;
        // What comes first is not waited for: so it is known at once whether the history is the same.
        let mut waits = false;
        while !self.feed.is_closed() {
            let Some(place) = &self.place else {
                self.begin(&mut connection).await?;
                waits = false;
                continue;
            };
            let Some(look) = self.look(&mut connection, place, waits).await? else { break };
            waits = self.judge(&mut connection, look).await?;
            self.tell(Link::Up);
        }
        Ok(())
    }

    /// Looks for what comes next, or waits for it. `None`: the hub is gone.
    async fn look(
        &self,
        connection: &mut Connection,
        place: &ReadPosition,
        waits: bool,
    ) -> Result<Option<ReadReply>, RedisError> {
        if waits {
            return self.wait(connection, place).await;
        }
        self.find_keys(connection, place.epoch, self.feed.take_wanted()).await?;
        read::look(connection, &self.settings, &place.last, READ_BATCH).await.map(Some)
    }

    /// Waits for something new, and meanwhile finds keys that are asked for. `None`: the hub is gone.
    ///
    /// Ordering: nothing that is read is given while keys are on their way. So no key is put back that was removed since.
    async fn wait(&self, connection: &Connection, place: &ReadPosition) -> Result<Option<ReadReply>, RedisError> {
        let mut reader = connection.clone();
        let mut look = pin!(read::wait(&mut reader, &self.settings, &place.last));
        loop {
            let asked = pin!(self.feed.while_open(self.feed.wanted()));
            match select(look.as_mut(), asked).await {
                Either::Left((look, _)) => return look.map(Some),
                Either::Right((None, _)) => return Ok(None),
                Either::Right((Some(topics), _)) => {
                    // That one is busy with waiting.
                    let mut commands = self.commands.connection(RESPONSE_TIMEOUT).await?;
                    self.find_keys(&mut commands, place.epoch, topics).await?;
                }
            }
        }
    }

    async fn find_keys(
        &self,
        connection: &mut Connection,
        epoch: Epoch,
        topics: Vec<Arc<str>>,
    ) -> Result<(), RedisError> {
        if topics.is_empty() {
            return Ok(());
        }
        let found = keys::find(connection, &self.settings, epoch, &topics).await?;
        found.into_iter().for_each(|(topic, newest)| self.feed.apply_keys(&topic, newest));
        Ok(())
    }

    /// Goes on with what was found, if it is the history that was read. Whether that was all.
    async fn judge(&mut self, connection: &mut Connection, look: ReadReply) -> Result<bool, RedisError> {
        let Some(place) = &mut self.place else { return Ok(false) };
        let epoch = place.epoch;
        match place.check(&look.seen) {
            Continuity::Contiguous => {
                place.run = connection.run().cloned();
                let Some(first) = look.outside(epoch) else { return self.take(connection, look).await };
                read::renew(connection, &self.settings, &look.epoch, |number| epoch.renewed(number, first)).await?;
                self.past.push(epoch.number());
                self.anew("ids have left what there are positions for");
            }
            Continuity::Trimmed => self.anew("entries were let go before this node read them"),
            Continuity::NewEpoch => {
                self.past.push(epoch.number());
                self.anew("another history has begun");
            }
            Continuity::RolledBack => {
                let last = &look.seen.last;
                read::renew(connection, &self.settings, &look.epoch, |number| epoch.renewed(number, last)).await?;
                self.past.push(epoch.number());
                self.anew("redis has gone back to before what was read");
            }
        }
        Ok(false)
    }

    /// Gives what was found. Whether that was all.
    async fn take(&mut self, connection: &mut Connection, look: ReadReply) -> Result<bool, RedisError> {
        let Some(place) = &mut self.place else { return Ok(false) };
        let is_all = look.is_all;
        place.added = match place.added {
            _ if is_all => look.seen.added,
            Some(added) => Some(added + look.entries.len() as u64),
            None => None,
        };
        if let Some(last) = look.entries.last() {
            place.last.clone_from(&last.id);
        }
        read::give(look.entries.into_iter(), place.epoch, None, &self.settings, &self.feed);
        if is_all {
            self.feed.synced_through(place.epoch.through(&place.last));
            read::make_room(connection, &self.settings, &place.last).await?;
        }
        Ok(is_all)
    }

    /// The place is not to be gone on from.
    fn anew(&mut self, why: &str) {
        self.place = None;
        self.past.drain(..self.past.len().saturating_sub(KNOWN_EPOCHS));
        self.settings.observer.renewed(why);
    }

    async fn begin(&mut self, connection: &mut Connection) -> Result<(), RedisError> {
        let place = timeout(LOAD_TIMEOUT, tail::load(connection, &self.settings, &self.feed, &self.past)).await;
        let place = place.unwrap_or_else(|_| Err(RedisError::protocol("the tail was not read in time")))?;
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
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

const KNOWN_EPOCHS: usize = 8;
