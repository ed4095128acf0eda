//! Who is on which node: each writes its own under a key that expires, and reads the others'.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::redis::{RedisResult, pipe};
use tokio::time::{sleep, timeout};

use super::{
    connection::SharedConnection,
    error::RedisError,
    presence_codec,
    settings::{LONGEST_EXPIRY, RESPONSE_TIMEOUT, Settings},
};
use crate::{hub::replica::contract::Feed, panic, time::jitter};

/// What this node tells the others, and knows of them.
pub(super) struct Presence {
    commands: Arc<SharedConnection>,
    settings: Arc<Settings>,
    feed: Feed,
    me: String,
    here: Vec<u8>,
    version: u64,
    is_written: bool,
    others: HashMap<String, Other>,
    /// `true` if the last round has failed for a reason that was told.
    has_told: bool,
}

/// Another node.
#[derive(Default)]
struct Other {
    /// The number of what it said last.
    version: String,
    /// How often in turn it was not there.
    missing: u32,
}

impl Presence {
    pub(super) fn new(commands: &Arc<SharedConnection>, settings: &Arc<Settings>, feed: &Feed) -> Self {
        Self {
            commands: Arc::clone(commands),
            settings: Arc::clone(settings),
            feed: feed.clone(),
            me: format!("{:016x}", jitter::random()),
            here: Vec::new(),
            version: 0,
            is_written: false,
            others: HashMap::new(),
            has_told: false,
        }
    }

    /// Tells and reads once a second, until the hub is gone, and leaves then.
    pub(super) async fn run(mut self) {
        while !self.feed.is_closed() {
            if let Some(here) = self.feed.local_presence() {
                self.here = presence_codec::encode(&here);
                self.version += 1;
                self.is_written = false;
            }
            let feed = self.feed.clone();
            let Some(round) = feed.while_open(panic::catch_future(self.round())).await else { break };
            match round.unwrap_or_else(|panicked| Err(panicked.into())) {
                Ok(()) => self.has_told = false,
                Err(error) => self.failed(&error).await,
            }
            let _ = feed.while_open(sleep(jitter::shorter(HEARTBEAT))).await;
        }
        // Where this fails, or takes too long, what is written expires.
        let _ = timeout(RESPONSE_TIMEOUT, self.leave()).await;
    }

    /// Tells what goes wrong, once. That Redis cannot be reached is seen by the follower, and told there.
    async fn failed(&mut self, error: &RedisError) {
        if error.is_answer() && !self.has_told {
            self.settings.observer.failed(error);
            self.has_told = true;
        }
        self.commands.broken(Some(error)).await;
    }

    async fn round(&mut self) -> Result<(), RedisError> {
        let mut connection = self.commands.connection(RESPONSE_TIMEOUT).await?;
        let mut call = ::redis::cmd("EVAL");
        call.arg(SCRIPT).arg(2).arg(self.settings.nodes()).arg(self.settings.node(&self.me));
        call.arg(&self.me).arg(self.version).arg(millis(self.settings.node_expires)).arg(millis(LONGEST_EXPIRY));
        if !self.is_written {
            call.arg(&self.here);
        }
        let (is_there, nodes, foreign): (u8, Vec<String>, Vec<Vec<u8>>) = call.query_async(connection.inner()).await?;
        // Redis may have lost it, or let it expire. It gets another number, for nodes that have found nothing by this one.
        self.is_written = is_there > 0;
        self.version += u64::from(!self.is_written);
        for name in foreign {
            self.settings.observer.skipped(&String::from_utf8_lossy(&name), "it is no node");
        }

        let mut there = nodes.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect::<Vec<_>>();
        let is_known =
            |(node, version): &(String, String)| self.others.get(node).is_some_and(|o| o.version == *version);
        let (known, news): (Vec<_>, Vec<_>) = there.drain(..).partition(is_known);
        let mut calls = pipe();
        for (node, _) in &news {
            calls.cmd("GETRANGE").arg(self.settings.node(node)).arg(0).arg(MOST_SAID);
        }
        let said: Vec<RedisResult<Vec<u8>>> =
            if news.is_empty() { Vec::new() } else { calls.ignore_errors().query_async(connection.inner()).await? };
        self.see(known, news.into_iter().zip(said));
        Ok(())
    }

    /// Takes what other nodes say.
    fn see(
        &mut self,
        known: Vec<(String, String)>,
        news: impl Iterator<Item = ((String, String), RedisResult<Vec<u8>>)>,
    ) {
        for other in self.others.values_mut() {
            other.missing += 1;
        }
        for (node, _) in known {
            self.others.entry(node).or_default().missing = 0;
        }
        for ((node, version), said) in news {
            let presence = said.map_err(|error| error.to_string());
            let presence = presence
                .and_then(|said| presence_codec::decode(&said).ok_or_else(|| "no node has written it".to_owned()));
            if let Err(why) = &presence {
                self.settings.observer.skipped(&self.settings.node(&node), why);
            }
            self.feed.node_presence(&node, presence.unwrap_or_default());
            self.others.insert(node, Other { version, missing: 0 });
        }
        // A Redis that has lost all has it again when all have written once more.
        self.others.retain(|node, other| {
            let stays = other.missing <= MISSED_ROUNDS;
            if !stays {
                self.feed.node_presence(node, Vec::new());
            }
            stays
        });
    }

    async fn leave(&self) -> Result<(), RedisError> {
        let mut connection = self.commands.connection(RESPONSE_TIMEOUT).await?;
        let mut calls = pipe();
        calls.cmd("DEL").arg(self.settings.node(&self.me)).cmd("HDEL").arg(self.settings.nodes()).arg(&self.me);
        Ok(calls.query_async(connection.inner()).await?)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const SCRIPT: &str = include_str!("presence.lua");

const HEARTBEAT: Duration = Duration::from_secs(1);

/// How many rounds a node may be missing.
const MISSED_ROUNDS: u32 = 2;

/// The maximum number of bytes that are read of what a node says. What is longer is no whole.
const MOST_SAID: usize = 16 << 20;
