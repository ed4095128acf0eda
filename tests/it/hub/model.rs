//! A naive hub: every event that was ever published, and whether it is still kept. Nothing is clever here, so that it can be
//! believed; what a client may be given follows from it by looking at all events.

use std::collections::BTreeMap;

/// What a publish of the model's looks like on the wire without its id, with its key, and with what its place costs.
pub(super) fn size_of(data: &str, key: Option<&str>) -> usize {
    "data: \n\n".len() + data.len() + key.map_or(0, str::len) + 64
}

/// Bounds as the hub has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For each topic.
    pub(super) events: usize,
    /// For each topic.
    pub(super) keys: usize,
    /// For the hub.
    pub(super) bytes: usize,
}

/// One event, for ever.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) sequence: u64,
    /// Which topic: a name that was closed and came again is another one.
    pub(super) topic: usize,
    pub(super) key: Option<&'static str>,
    pub(super) data: String,
    pub(super) in_log: bool,
    /// It is the newest of its key, and kept as such.
    pub(super) is_latest: bool,
    /// It is the newest of its key, but had to go.
    pub(super) was_latest: bool,
}

impl Record {
    pub(super) fn number(&self) -> u64 {
        self.sequence
    }
}

/// A topic, from its first use to its close.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) name: &'static str,
    pub(super) is_closed: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    limits: Limits,
    pub(super) events: Vec<Record>,
    pub(super) topics: Vec<Life>,
    open: BTreeMap<&'static str, usize>,
    /// A topic was removed for which there was no room in the table of those.
    pub(super) is_careful: bool,
}

impl Model {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, events: Vec::new(), topics: Vec::new(), open: BTreeMap::new(), is_careful: false }
    }

    pub(super) fn head(&self) -> u64 {
        self.events.len() as u64
    }

    /// Whether a topic of its name was closed.
    pub(super) fn is_reopened(&self, topic: usize) -> bool {
        self.topics.iter().any(|other| other.is_closed && other.name == self.topics[topic].name)
    }

    /// The topic that has this name now.
    pub(super) fn topic(&mut self, name: &'static str) -> usize {
        *self.open.entry(name).or_insert_with(|| {
            self.topics.push(Life { name, is_closed: false });
            self.topics.len() - 1
        })
    }

    pub(super) fn publish(&mut self, name: &'static str, key: Option<&'static str>, data: String) {
        let topic = self.topic(name);
        self.push(topic, key, data);
        self.make_room(topic);
    }

    /// Room is made after all of them.
    pub(super) fn publish_all(&mut self, name: &'static str, data: [String; 2]) {
        let topic = self.topic(name);
        for data in data {
            self.push(topic, None, data);
        }
        self.make_room(topic);
    }

    pub(super) fn close(&mut self, name: &'static str, last: Option<String>) {
        let topic = self.topic(name);
        if let Some(data) = last {
            self.push(topic, None, data);
            self.make_room(topic);
        }
        self.topics[topic].is_closed = true;
        self.open.remove(name);
    }

    pub(super) fn remove_key(&mut self, name: &'static str, key: &str) {
        let topic = self.topic(name);
        for event in self.events.iter_mut().filter(|event| event.topic == topic && event.key == Some(key)) {
            event.is_latest = false;
            event.was_latest = false;
        }
    }

    /// A topic that nobody holds is gone, with all that it kept. Those of `held` stay.
    pub(super) fn let_go(&mut self, held: &[usize]) {
        for event in &mut self.events {
            if self.topics[event.topic].is_closed && !held.contains(&event.topic) {
                event.was_latest |= event.is_latest;
                (event.in_log, event.is_latest) = (false, false);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let size = |event: &Record| size_of(&event.data, event.key);
        self.events.iter().map(|event| size(event) * (usize::from(event.in_log) + usize::from(event.is_latest))).sum()
    }

    fn push(&mut self, topic: usize, key: Option<&'static str>, data: String) {
        if key.is_some() {
            for event in self.events.iter_mut().filter(|event| event.topic == topic && event.key == key) {
                (event.is_latest, event.was_latest) = (false, false);
            }
        }
        let (sequence, is_latest) = (self.head() + 1, key.is_some());
        self.events.push(Record { sequence, topic, key, data, in_log: true, is_latest, was_latest: false });
    }

    fn make_room(&mut self, topic: usize) {
        let limits = self.limits;
        while self.count(|event| event.topic == topic && event.is_latest) > limits.keys {
            self.drop_key(|event| event.topic == topic);
        }
        while self.count(|event| event.topic == topic && event.in_log) > limits.events {
            self.drop_oldest(|event| event.topic == topic);
        }
        while self.bytes() > limits.bytes && self.drop_oldest(|_| true) {}
    }

    fn count(&self, which: impl Fn(&Record) -> bool) -> usize {
        self.events.iter().filter(|event| which(event)).count()
    }

    fn drop_oldest(&mut self, which: impl Fn(&Record) -> bool) -> bool {
        let oldest = self.events.iter_mut().find(|event| event.in_log && which(event));
        oldest.map(|event| event.in_log = false).is_some()
    }

    fn drop_key(&mut self, which: impl Fn(&Record) -> bool) {
        if let Some(event) = self.events.iter_mut().find(|event| event.is_latest && which(event)) {
            (event.is_latest, event.was_latest) = (false, true);
        }
    }
}
