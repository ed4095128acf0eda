//! Who is on which node: each writes its own under a key that expires, and reads the others'.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::redis::{Value, pipe};
use tokio::time::sleep;

use super::{
    error::RedisError,
    servers::Commands,
    settings::{ANSWER, Settings},
    told,
};
use crate::{backplane::Feed, jitter};

/// What this node tells the others, and knows of them.
pub(super) struct Presence {
    commands: Arc<Commands>,
    settings: Arc<Settings>,
    feed: Feed,
    me: String,
    here: Vec<u8>,
    version: u64,
    is_written: bool,
    others: HashMap<String, Other>,
}

/// Another node.
#[derive(Default)]
struct Other {
    version: u64,
    /// How often in turn it was not there.
    missing: u32,
}

impl Presence {
    pub(super) fn new(commands: &Arc<Commands>, settings: &Arc<Settings>, feed: &Feed) -> Self {
        Self {
            commands: Arc::clone(commands),
            settings: Arc::clone(settings),
            feed: feed.clone(),
            me: format!("{:016x}", jitter::random()),
            here: Vec::new(),
            version: 0,
            is_written: false,
            others: HashMap::new(),
        }
    }

    /// Tells and reads once a second, until nobody is here any more.
    pub(super) async fn run(mut self) {
        while !self.feed.is_closed() {
            if let Some(here) = self.feed.local_presence() {
                self.here = told::write(&here);
                self.version += 1;
                self.is_written = false;
            }
            // What goes wrong is seen by the follower, and told there.
            if let Err(error) = self.round().await {
                self.commands.broken(Some(&error)).await;
            }
            sleep(jitter::at_most(EACH)).await;
        }
        let _ = self.leave().await;
    }

    async fn round(&mut self) -> Result<(), RedisError> {
        let mut connection = self.commands.connection(ANSWER).await?;
        let (mine, nodes) = (self.settings.node(&self.me), self.settings.nodes());
        let expires = u64::try_from(self.settings.node_expires.as_millis()).unwrap_or(u64::MAX);
        let mut calls = pipe();
        if self.is_written {
            calls.cmd("PEXPIRE").arg(&mine).arg(expires);
        } else {
            calls.cmd("SET").arg(&mine).arg(&self.here).arg("PX").arg(expires);
            calls.cmd("HSET").arg(&nodes).arg(&self.me).arg(self.version).ignore();
        }
        calls.cmd("HGETALL").arg(&nodes);
        let (kept, nodes): (Value, HashMap<String, u64>) = calls.query_async(connection.inner()).await?;
        // Redis may have lost it, or let it expire.
        self.is_written = kept != Value::Int(0) && nodes.contains_key(&self.me);

        let nodes: Vec<(String, u64)> = nodes.into_iter().filter(|(node, _)| *node != self.me).collect();
        let known = |node: &str, version| self.others.get(node).is_some_and(|other| other.version == version);
        let mut calls = pipe();
        for (node, version) in &nodes {
            calls.cmd(if known(node, *version) { "EXISTS" } else { "GET" }).arg(self.settings.node(node));
        }
        let answers: Vec<Value> =
            if nodes.is_empty() { Vec::new() } else { calls.query_async(connection.inner()).await? };
        let there = nodes.into_iter().zip(answers).filter(|(_, answer)| !matches!(answer, Value::Nil | Value::Int(0)));
        let gone = self.see(there.collect());
        if !gone.is_empty() {
            let mut call = ::redis::cmd("HDEL");
            let _: () = call.arg(self.settings.nodes()).arg(gone).query_async(connection.inner()).await?;
        }
        Ok(())
    }

    /// Takes what other nodes say. Gives those that are gone.
    fn see(&mut self, there: Vec<((String, u64), Value)>) -> Vec<String> {
        for other in self.others.values_mut() {
            other.missing += 1;
        }
        for ((node, version), answer) in there {
            let other = self.others.entry(node.clone()).or_default();
            (other.version, other.missing) = (version, 0);
            if let Value::BulkString(said) = answer {
                self.feed.node_presence(&node, told::read(&said).unwrap_or_default());
            }
        }
        // A Redis that has lost all has it again when all have written once more.
        let gone = self.others.iter().filter(|(_, other)| other.missing > PATIENCE);
        let gone: Vec<_> = gone.map(|(node, _)| node.clone()).collect();
        for node in &gone {
            self.others.remove(node);
            self.feed.node_presence(node, Vec::new());
        }
        gone
    }

    async fn leave(&self) -> Result<(), RedisError> {
        let mut connection = self.commands.connection(ANSWER).await?;
        let mut calls = pipe();
        calls.cmd("DEL").arg(self.settings.node(&self.me)).cmd("HDEL").arg(self.settings.nodes()).arg(&self.me);
        Ok(calls.query_async(connection.inner()).await?)
    }
}

const EACH: Duration = Duration::from_secs(1);

/// How many rounds a node may be missing.
const PATIENCE: u32 = 2;
