//! The members of a topic, and the changes for each watcher of its presence.
//!
//! Pure, under the topic's lock. The changes that a watcher has not taken are kept as a difference: a member that has joined
//! and left meanwhile is not in it.

use std::{collections::BTreeMap, sync::Arc};

use slab::Slab;

/// The members of a topic, by value. One value may join more than once: a user in two tabs, or on two nodes.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// The number of subscribers, on this node and on others.
    count: usize,
    by_value: BTreeMap<Arc<str>, usize>,
    watchers: Slab<PresenceDiff>,
    nodes: Option<Box<Nodes>>,
}

/// The presence on this node, for others to know, and on each of the others.
#[derive(Debug, Default)]
struct Nodes {
    local: Members,
    remote: BTreeMap<Arc<str>, TopicPresence>,
}

/// The members that joined and left since a watcher last took changes.
#[derive(Debug, Default)]
pub(crate) struct PresenceDiff {
    /// `true` if the member joined, `false` if it left.
    pub(crate) by_value: BTreeMap<Arc<str>, bool>,
    count: usize,
}

impl Members {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_value.keys()
    }

    pub(crate) fn join(&mut self, value: Option<&Arc<str>>) {
        if let Some(nodes) = &mut self.nodes {
            nodes.local.join(value);
        }
        self.count += 1;
        if let Some(value) = value {
            self.add(value);
        }
    }

    fn add(&mut self, value: &Arc<str>) {
        let times = self.by_value.entry(Arc::clone(value)).or_default();
        *times += 1;
        if *times == 1 {
            self.record(value, true);
        }
    }

    pub(crate) fn leave(&mut self, value: Option<&Arc<str>>) {
        if let Some(nodes) = &mut self.nodes {
            nodes.local.leave(value);
        }
        self.count = self.count.saturating_sub(1);
        if let Some(value) = value {
            self.decrement(value);
        }
    }

    fn decrement(&mut self, value: &Arc<str>) {
        let Some(times) = self.by_value.get_mut(value) else { return };
        *times -= 1;
        if *times == 0 {
            self.by_value.remove(value);
            self.record(value, false);
        }
    }

    /// Creates members that are counted on other nodes too.
    pub(crate) fn with_nodes() -> Self {
        Self { nodes: Some(Box::default()), ..Self::default() }
    }

    /// Returns whether it counts the members of other nodes too.
    pub(crate) fn has_nodes(&self) -> bool {
        self.nodes.is_some()
    }

    /// Returns the presence on this node, if it has a subscriber.
    pub(crate) fn local(&self, topic: &Arc<str>) -> Option<TopicPresence> {
        let local = &self.nodes.as_ref()?.local;
        (local.count > 0).then(|| TopicPresence::new(Arc::clone(topic), local.count, local.values().cloned().collect()))
    }

    /// Sets the presence on another node. Returns whether it has changed.
    pub(crate) fn set_node(&mut self, node: &str, presence: Option<TopicPresence>) -> bool {
        let Some(mut nodes) = self.nodes.take() else { return false };
        let before = nodes.remote.remove(node);
        let changed = before != presence;
        if let Some(before) = before {
            self.count = self.count.saturating_sub(before.count);
            before.members.iter().for_each(|value| self.decrement(value));
        }
        if let Some(presence) = presence {
            self.count = self.count.saturating_add(presence.count);
            presence.members.iter().for_each(|value| self.add(value));
            nodes.remote.insert(node.into(), presence);
        }
        self.nodes = Some(nodes);
        changed
    }

    /// Adds a watcher, to which all current members are changes. Returns its number.
    pub(crate) fn watch(&mut self) -> usize {
        let by_value = self.values().map(|value| (Arc::clone(value), true)).collect();
        self.watchers.insert(PresenceDiff { by_value, count: 0 })
    }

    /// Takes the changes of a watcher, with the number of subscribers. Returns `None` if there are none.
    pub(crate) fn take(&mut self, watcher: usize) -> Option<(PresenceDiff, usize)> {
        let count = self.count;
        let difference = self.watchers.get_mut(watcher)?;
        let is_new = !difference.by_value.is_empty() || difference.count != count;
        is_new.then(|| (std::mem::replace(difference, PresenceDiff { count, ..PresenceDiff::default() }), count))
    }

    pub(crate) fn unwatch(&mut self, watcher: usize) -> Option<PresenceDiff> {
        self.watchers.try_remove(watcher)
    }

    fn record(&mut self, value: &Arc<str>, is_here: bool) {
        for (_, difference) in &mut self.watchers {
            // A member that has left and joined again, or joined and left, has not changed.
            if difference.by_value.remove(value).is_none() {
                difference.by_value.insert(Arc::clone(value), is_here);
            }
        }
    }
}

/// The presence of a topic on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicPresence {
    /// The topic.
    pub topic: Arc<str>,
    /// The number of streams.
    pub count: usize,
    /// The members, each once.
    pub members: Vec<Arc<str>>,
}

impl TopicPresence {
    /// Creates the presence of a topic.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, count: usize, members: Vec<Arc<str>>) -> Self {
        Self { topic: topic.into(), count, members }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const VALUES: [Option<&str>; 3] = [None, Some("alice"), Some("bob")];

    #[derive(Debug, Clone)]
    enum Step {
        Join(usize),
        Leave(usize),
        Watch,
        Take(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..VALUES.len()).prop_map(Step::Join),
            3 => (0..VALUES.len()).prop_map(Step::Leave),
            1 => Just(Step::Watch),
            3 => any::<prop::sample::Index>().prop_map(Step::Take),
        ]
    }

    /// The knowledge of a watcher: the sum of the changes that it took.
    #[derive(Default)]
    struct Knows {
        members: BTreeSet<Arc<str>>,
        count: usize,
    }

    impl Knows {
        fn learn(&mut self, (difference, count): (PresenceDiff, usize)) {
            for (value, is_here) in difference.by_value {
                assert_ne!(is_here, self.members.remove(&value), "the member has changed");
                self.members.extend(is_here.then_some(value));
            }
            self.count = count;
        }
    }

    proptest! {
        #[test]
        fn watcher_receives_each_change_once(steps in prop::collection::vec(step(), 0..60)) {
            let (mut members, mut here, mut watchers) = (Members::default(), [0_usize; 3], Vec::new());
            for step in steps {
                let value = |at: usize| VALUES[at].map(Arc::from);
                match step {
                    Step::Join(at) => {
                        here[at] += 1;
                        members.join(value(at).as_ref());
                    }
                    Step::Leave(at) if here[at] > 0 => {
                        here[at] -= 1;
                        members.leave(value(at).as_ref());
                    }
                    Step::Watch => watchers.push((members.watch(), Knows::default())),
                    Step::Take(index) if !watchers.is_empty() => {
                        let at = index.index(watchers.len());
                        let (watcher, knows) = &mut watchers[at];
                        members.take(*watcher).into_iter().for_each(|news| knows.learn(news));
                        assert!(members.take(*watcher).is_none());
                        assert_eq!(knows.count, here.iter().sum::<usize>());
                        assert!(knows.members.iter().eq(members.values()));
                    }
                    Step::Leave(_) | Step::Take(_) => {}
                }
                assert_eq!(members.count(), here.iter().sum::<usize>());
                let values: BTreeSet<_> = (0..3).filter(|&at| here[at] > 0).filter_map(value).collect();
                assert!(values.iter().eq(members.values()));
            }
        }
    }
}
