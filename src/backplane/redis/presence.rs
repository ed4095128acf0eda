//! Exchange of presence between nodes: each node writes its own under a key with a TTL, and reads that of the others.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::redis::{RedisResult, pipe};
use tokio::time::{sleep, timeout};

use super::{
    connection::SharedConnection,
    error::RedisError,
    presence_codec,
    settings::{MAX_PRESENCE_TTL, RESPONSE_TIMEOUT, Settings},
};
use crate::{hub::replica::contract::Feed, panic, time::jitter};

/// The exchange of one node.
pub(super) struct PresenceExchange {
    commands: Arc<SharedConnection>,
    settings: Arc<Settings>,
    feed: Feed,
    node_id: String,
    /// The encoded presence of this node.
    local: Vec<u8>,
    /// The version of `local`. Increases whenever `local` is written again.
    version: u64,
    /// `true` if Redis has `local`.
    is_written: bool,
    others: HashMap<String, Other>,
    /// `true` if the error of the last round was reported to the observer.
    has_reported: bool,
}

/// Another node.
#[derive(Default)]
struct Other {
    /// The version of its presence that was read last.
    version: String,
    /// The number of consecutive rounds in which it was missing.
    missing: u32,
}

impl PresenceExchange {
    pub(super) fn new(commands: &Arc<SharedConnection>, settings: &Arc<Settings>, feed: &Feed) -> Self {
        Self {
            commands: Arc::clone(commands),
            settings: Arc::clone(settings),
            feed: feed.clone(),
            node_id: format!("{:016x}", jitter::random()),
            local: Vec::new(),
            version: 0,
            is_written: false,
            others: HashMap::new(),
            has_reported: false,
        }
    }

    /// Exchanges presence once a second until the feed is closed, and then removes this node.
    pub(super) async fn run(mut self) {
        while !self.feed.is_closed() {
            if let Some(presence) = self.feed.local_presence() {
                self.local = presence_codec::encode(&presence);
                self.version += 1;
                self.is_written = false;
            }
            let feed = self.feed.clone();
            let Some(round) = feed.while_open(panic::catch_future(self.round())).await else { break };
            match round.unwrap_or_else(|panicked| Err(panicked.into())) {
                Ok(()) => self.has_reported = false,
                Err(error) => self.failed(&error).await,
            }
            let _ = feed.while_open(sleep(jitter::shorter(HEARTBEAT))).await;
        }
        // If this fails or times out, the node expires.
        let _ = timeout(RESPONSE_TIMEOUT, self.leave()).await;
    }

    /// Reports the first of several consecutive errors. The follower reports that Redis is unreachable.
    async fn failed(&mut self, error: &RedisError) {
        if error.is_response() && !self.has_reported {
            self.settings.observer.failed(error);
            self.has_reported = true;
        }
        self.commands.discard(Some(error)).await;
    }

    /// Writes the presence of this node, and reads that of nodes whose version has changed.
    async fn round(&mut self) -> Result<(), RedisError> {
        let mut connection = self.commands.get(RESPONSE_TIMEOUT).await?;
        let mut call = ::redis::cmd("EVAL");
        call.arg(SCRIPT).arg(2).arg(self.settings.nodes_key()).arg(self.settings.node_key(&self.node_id));
        call.arg(&self.node_id).arg(self.version).arg(millis(self.settings.presence_ttl)).arg(millis(MAX_PRESENCE_TTL));
        if !self.is_written {
            call.arg(&self.local);
        }
        let (is_written, nodes, foreign): (u8, Vec<String>, Vec<Vec<u8>>) =
            call.query_async(connection.inner()).await?;
        // Redis may have lost the value, or it has expired. A new version makes nodes read it that found nothing at this one.
        self.is_written = is_written > 0;
        self.version += u64::from(!self.is_written);
        for name in foreign {
            self.settings.observer.skipped(&String::from_utf8_lossy(&name), "not a node");
        }

        let mut nodes = nodes.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect::<Vec<_>>();
        let is_known =
            |(node, version): &(String, String)| self.others.get(node).is_some_and(|o| o.version == *version);
        let (known, changed): (Vec<_>, Vec<_>) = nodes.drain(..).partition(is_known);
        let mut calls = pipe();
        for (node, _) in &changed {
            calls.cmd("GETRANGE").arg(self.settings.node_key(node)).arg(0).arg(MAX_PRESENCE_BYTES);
        }
        let values: Vec<RedisResult<Vec<u8>>> =
            if changed.is_empty() { Vec::new() } else { calls.ignore_errors().query_async(connection.inner()).await? };
        self.apply_nodes(known, changed.into_iter().zip(values));
        Ok(())
    }

    /// Applies the presence of changed nodes, and removes nodes that were missing for several rounds.
    fn apply_nodes(
        &mut self,
        known: Vec<(String, String)>,
        changed: impl Iterator<Item = ((String, String), RedisResult<Vec<u8>>)>,
    ) {
        for other in self.others.values_mut() {
            other.missing += 1;
        }
        for (node, _) in known {
            self.others.entry(node).or_default().missing = 0;
        }
        for ((node, version), value) in changed {
            let presence = value.map_err(|error| error.to_string());
            let presence = presence.and_then(|value| {
                presence_codec::decode(&value).ok_or_else(|| "not the presence of a node".to_owned())
            });
            if let Err(reason) = &presence {
                self.settings.observer.skipped(&self.settings.node_key(&node), reason);
            }
            self.feed.node_presence(&node, presence.unwrap_or_default());
            self.others.insert(node, Other { version, missing: 0 });
        }
        // After a loss in Redis the list is complete again once every node has written, so nodes may be missing for a moment.
        self.others.retain(|node, other| {
            let is_present = other.missing <= MISSED_ROUNDS;
            if !is_present {
                self.feed.node_presence(node, Vec::new());
            }
            is_present
        });
    }

    async fn leave(&self) -> Result<(), RedisError> {
        let mut connection = self.commands.get(RESPONSE_TIMEOUT).await?;
        let mut calls = pipe();
        calls
            .cmd("DEL")
            .arg(self.settings.node_key(&self.node_id))
            .cmd("HDEL")
            .arg(self.settings.nodes_key())
            .arg(&self.node_id);
        Ok(calls.query_async(connection.inner()).await?)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const SCRIPT: &str = include_str!("presence.lua");

const HEARTBEAT: Duration = Duration::from_secs(1);

/// The number of consecutive rounds in which a node may be missing.
const MISSED_ROUNDS: u32 = 2;

/// The maximum number of bytes that are read of the presence of a node. A longer one is cut, and does not decode.
const MAX_PRESENCE_BYTES: usize = 16 << 20;
