//! The task that reads the stream into the hub, through failures of Redis.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use tokio::time::{Instant, sleep, timeout};

use super::{
    connection::{Connection, Endpoints, SharedConnection},
    continuity::{Continuity, ReadPosition},
    epoch::StreamEpoch,
    error::RedisError,
    keys,
    read::{self, ReadReply},
    settings::{BLOCK_TIMEOUT, READ_BATCH, RESPONSE_TIMEOUT, Settings},
    tail,
};
use crate::{hub::replica::contract::Feed, observe::link::Link, panic, time::jitter};

/// A reader of the stream for one hub.
pub(super) struct Follower {
    endpoints: Arc<Endpoints>,
    commands: Arc<SharedConnection>,
    settings: Arc<Settings>,
    feed: Feed,
    /// `None` if the tail has to be loaded.
    position: Option<ReadPosition>,
    /// Numbers of epochs that have ended. If one of them returns, Redis was rolled back.
    past_epochs: Vec<u64>,
}

impl Follower {
    pub(super) fn new(
        endpoints: &Arc<Endpoints>,
        commands: &Arc<SharedConnection>,
        settings: &Arc<Settings>,
        feed: &Feed,
    ) -> Self {
        Self {
            endpoints: Arc::clone(endpoints),
            commands: Arc::clone(commands),
            settings: Arc::clone(settings),
            feed: feed.clone(),
            position: None,
            past_epochs: Vec::new(),
        }
    }

    /// Follows the stream until the feed is closed.
    pub(super) async fn run(mut self) {
        let mut pause = MIN_PAUSE;
        let feed = self.feed.clone();
        while !feed.is_closed() {
            let since = Instant::now();
            // Cancels also a connect, and a command without a response.
            let error = match feed.while_open(panic::catch_future(self.follow())).await {
                None | Some(Ok(Ok(()))) => return,
                Some(Ok(Err(error))) => error,
                Some(Err(panicked)) => {
                    // The last batch may have been applied in part.
                    self.reset("the task that reads has panicked");
                    panicked.into()
                }
            };
            self.report_link(if self.feed.was_up() { Link::Down } else { Link::Connecting });
            self.settings.observer.failed(&error);
            // The connection of the publishers fails for the same reason, possibly without an error yet.
            self.commands.discard(Some(&error)).await;
            // A connection that lasted for a while resets the pause.
            pause = if since.elapsed() > MAX_PAUSE + BLOCK_TIMEOUT { MIN_PAUSE } else { (pause * 2).min(MAX_PAUSE) };
            let _ = feed.while_open(sleep(jitter::longer(pause))).await;
        }
    }

    /// Follows the stream on one connection, until an error.
    async fn follow(&mut self) -> Result<(), RedisError> {
        let mut connection = self.endpoints.connect(&self.settings, BLOCK_TIMEOUT + RESPONSE_TIMEOUT).await?;
        // The first read does not block, and so detects another epoch at once.
        let mut blocks = false;
        while !self.feed.is_closed() {
            let Some(position) = &self.position else {
                self.load(&mut connection).await?;
                blocks = false;
                continue;
            };
            let Some(reply) = self.read(&mut connection, position, blocks).await? else { break };
            blocks = self.handle_reply(&mut connection, reply).await?;
            self.report_link(Link::Up);
        }
        Ok(())
    }

    /// Reads the next entries, and waits for some if `blocks`. Returns `None` if the feed is closed.
    async fn read(
        &self,
        connection: &mut Connection,
        position: &ReadPosition,
        blocks: bool,
    ) -> Result<Option<ReadReply>, RedisError> {
        if blocks {
            return self.read_blocking(connection, position).await;
        }
        self.find_keys(connection, position.epoch, &self.feed.take_wanted()).await?;
        read::read(connection, &self.settings, &position.last, READ_BATCH).await.map(Some)
    }

    /// Waits for new entries, and meanwhile finds the keys that are wanted. Returns `None` if the feed is closed.
    ///
    /// Ordering: no entry is applied during a lookup of keys, so that a lookup never restores a key that was removed since.
    async fn read_blocking(
        &self,
        connection: &Connection,
        position: &ReadPosition,
    ) -> Result<Option<ReadReply>, RedisError> {
        let mut reader = connection.clone();
        let mut reply = pin!(read::read_blocking(&mut reader, &self.settings, &position.last));
        loop {
            let wanted = pin!(self.feed.while_open(self.feed.wanted()));
            match select(reply.as_mut(), wanted).await {
                Either::Left((reply, _)) => return reply.map(Some),
                Either::Right((None, _)) => return Ok(None),
                Either::Right((Some(topics), _)) => {
                    // The reader's connection is blocked.
                    let mut commands = self.commands.get(RESPONSE_TIMEOUT).await?;
                    self.find_keys(&mut commands, position.epoch, &topics).await?;
                }
            }
        }
    }

    /// Finds the keys of these topics, and applies each batch before the next lookup, which bounds the memory.
    async fn find_keys(
        &self,
        connection: &mut Connection,
        epoch: StreamEpoch,
        topics: &[Arc<str>],
    ) -> Result<(), RedisError> {
        for batch in topics.chunks(keys::BATCH) {
            let found = keys::find(connection, &self.settings, epoch, batch).await?;
            found.into_iter().for_each(|(topic, newest)| self.feed.apply_keys(&topic, newest));
        }
        Ok(())
    }

    /// Applies a reply if it continues the stream, and otherwise arranges a new load. Returns whether the stream had no further
    /// entries, so that the next read may block.
    async fn handle_reply(&mut self, connection: &mut Connection, reply: ReadReply) -> Result<bool, RedisError> {
        let Some(position) = &mut self.position else { return Ok(false) };
        let epoch = position.epoch;
        match position.check(&reply.stream) {
            Continuity::Contiguous => {
                position.server_run = connection.server_run().cloned();
                let Some(first) = reply.first_uncovered(epoch) else { return self.apply(connection, reply).await };
                let new = |number| epoch.renewed(number, first);
                read::replace_epoch(connection, &self.settings, &reply.raw_epoch, new).await?;
                self.past_epochs.push(epoch.number());
                self.reset("ids of the stream have left the space of positions");
            }
            Continuity::Trimmed => self.reset("entries were trimmed before this node read them"),
            Continuity::NewEpoch => {
                self.past_epochs.push(epoch.number());
                self.reset("another epoch has begun");
            }
            Continuity::RolledBack => {
                let new = |number| epoch.renewed(number, &reply.stream.last);
                read::replace_epoch(connection, &self.settings, &reply.raw_epoch, new).await?;
                self.past_epochs.push(epoch.number());
                self.reset("redis was rolled back to before the last read entry");
            }
        }
        Ok(false)
    }

    /// Applies the entries of a reply. Returns whether the stream had no further entries.
    async fn apply(&mut self, connection: &mut Connection, reply: ReadReply) -> Result<bool, RedisError> {
        let Some(position) = &mut self.position else { return Ok(false) };
        let is_complete = reply.is_complete;
        position.added = match position.added {
            _ if is_complete => reply.stream.added,
            Some(added) => Some(added + reply.entries.len() as u64),
            None => None,
        };
        if let Some(last) = reply.entries.last() {
            position.last.clone_from(&last.id);
        }
        read::apply(reply.entries.into_iter(), position.epoch, None, &self.settings, &self.feed);
        if is_complete {
            self.feed.synced_through(position.epoch.floor(&position.last));
            read::advance_if_crowded(connection, &self.settings, &position.last).await?;
        }
        Ok(is_complete)
    }

    /// Discards the position, so that the tail is loaded next.
    fn reset(&mut self, reason: &str) {
        self.position = None;
        self.past_epochs.drain(..self.past_epochs.len().saturating_sub(KNOWN_EPOCHS));
        self.settings.observer.renewed(reason);
    }

    async fn load(&mut self, connection: &mut Connection) -> Result<(), RedisError> {
        let load = tail::load(connection, &self.settings, &self.feed, &self.past_epochs);
        let position = timeout(LOAD_TIMEOUT, load).await;
        let position = position.unwrap_or_else(|_| Err(RedisError::protocol("timed out while loading the tail")))?;
        self.position = Some(position);
        Ok(())
    }

    fn report_link(&self, link: Link) {
        if self.feed.change_link(link) {
            self.settings.observer.link(link);
        }
    }
}

const MIN_PAUSE: Duration = Duration::from_millis(50);

const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The time limit for loading the tail.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The number of ended epochs that a node remembers.
const KNOWN_EPOCHS: usize = 8;
