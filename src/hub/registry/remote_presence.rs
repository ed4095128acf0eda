//! The presence of topics on other nodes, kept apart from the topics, which come and go.

use std::{collections::HashMap, sync::Arc};

use crate::hub::{
    state::members::{Members, TopicPresence},
    sync::{Mutex, lock},
};

/// The presence on each other node.
///
/// Lock order: its lock is taken within any other, and none within it.
#[derive(Debug, Default)]
pub(crate) struct RemotePresence(Mutex<HashMap<Arc<str>, NodePresence>>);

/// The presence of each topic of a node that has subscribers.
pub(crate) type NodePresence = HashMap<Arc<str>, TopicPresence>;

impl RemotePresence {
    /// Sets the presence on another node. Removes the node if it is empty.
    pub(crate) fn put(&self, node: &str, presence: &NodePresence) {
        let mut nodes = lock(&self.0);
        if presence.is_empty() {
            nodes.remove(node);
        } else {
            nodes.insert(node.into(), presence.clone());
        }
    }

    /// Returns the members of a topic that is new on this node.
    pub(crate) fn members(&self, topic: &str) -> Members {
        let mut members = Members::with_nodes();
        for (node, topics) in &*lock(&self.0) {
            if let Some(presence) = topics.get(topic) {
                members.set_node(node, Some(presence.clone()));
            }
        }
        members
    }
}
