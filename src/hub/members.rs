//! Who is here: the values that a topic's subscribers came with, and what changed for whoever watches.
//!
//! Pure, under the topic's lock. What a watcher has not taken yet is kept for it, as a difference: a member who came and
//! left meanwhile is no part of it.

use std::{collections::BTreeMap, sync::Arc};

use slab::Slab;

/// The members of a topic. A value may be there more than once: the same user in two tabs.
#[derive(Debug, Default)]
pub(crate) struct Members {
    count: usize,
    by_value: BTreeMap<Arc<str>, usize>,
    watchers: Slab<Difference>,
}

/// Who came and who left since a watcher looked.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// `true`: is here, and was not.
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
        self.count += 1;
        let Some(value) = value else { return };
        let times = self.by_value.entry(Arc::clone(value)).or_default();
        *times += 1;
        if *times == 1 {
            self.note(value, true);
        }
    }

    pub(crate) fn leave(&mut self, value: Option<&Arc<str>>) {
        self.count = self.count.saturating_sub(1);
        let Some(value) = value else { return };
        let Some(times) = self.by_value.get_mut(value) else { return };
        *times -= 1;
        if *times == 0 {
            self.by_value.remove(value);
            self.note(value, false);
        }
    }

    /// Somebody watches from here on, and all who are here are news to them.
    pub(crate) fn watch(&mut self) -> usize {
        let by_value = self.values().map(|value| (Arc::clone(value), true)).collect();
        self.watchers.insert(Difference { by_value, count: 0 })
    }

    /// What is new to a watcher, and how many are here. `None`: nothing.
    pub(crate) fn take(&mut self, watcher: usize) -> Option<(Difference, usize)> {
        let count = self.count;
        let difference = self.watchers.get_mut(watcher)?;
        let is_new = !difference.by_value.is_empty() || difference.count != count;
        is_new.then(|| (std::mem::replace(difference, Difference { count, ..Difference::default() }), count))
    }

    pub(crate) fn unwatch(&mut self, watcher: usize) -> Option<Difference> {
        self.watchers.try_remove(watcher)
    }

    fn note(&mut self, value: &Arc<str>, is_here: bool) {
        for (_, difference) in &mut self.watchers {
            // Who left and came back, or came and left, is no news.
            if difference.by_value.remove(value).is_none() {
                difference.by_value.insert(Arc::clone(value), is_here);
            }
        }
    }
}
