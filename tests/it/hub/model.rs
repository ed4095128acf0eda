//! A naive hub: every event that was ever published, and whether it is still kept. Nothing is clever here, so that it can be
//! believed; what a client may be given follows from it by looking at all events.

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
    /// The topic, by its number.
    pub(super) topic: usize,
    /// It closes its topic.
    pub(super) closes: bool,
    /// It is an end without an event.
    pub(super) is_bare: bool,
    /// Its topic was closed, and went with all that it had.
    pub(super) is_removed: bool,
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

#[derive(Debug, Clone)]
pub(super) struct Model {
    limits: Limits,
    pub(super) events: Vec<Record>,
    pub(super) topics: Vec<&'static str>,
    /// A topic was removed for which there was no room in the table of those.
    pub(super) is_careful: bool,
}

impl Model {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, events: Vec::new(), topics: Vec::new(), is_careful: false }
    }

    pub(super) fn head(&self) -> u64 {
        self.events.len() as u64
    }

    /// The number of a topic.
    pub(super) fn topic(&mut self, name: &'static str) -> usize {
        self.topics.iter().position(|&known| known == name).unwrap_or_else(|| {
            self.topics.push(name);
            self.topics.len() - 1
        })
    }

    /// Whether a topic is closed at a position.
    fn is_closed(&self, topic: usize, at: u64) -> bool {
        let until = &self.events[..at as usize];
        until.iter().rfind(|event| event.topic == topic).is_some_and(|event| event.closes)
    }

    /// What follows a position in a topic.
    fn next(&self, topic: usize, at: u64) -> Option<&Record> {
        self.events[at as usize..].iter().find(|event| event.topic == topic)
    }

    /// Whether it is known still that a topic is closed at a position. It is forgotten with the event that opened the topic.
    pub(super) fn is_known(&self, topic: usize, at: u64) -> bool {
        self.next(topic, at).is_none_or(|next| {
            let mut later = self.events[next.sequence as usize - 1..].iter();
            !later.any(|event| event.topic == topic && !event.is_bare && !event.in_log)
        })
    }

    /// The first position behind `after` at which all of these topics are closed, unless that was over when the client came.
    pub(super) fn first_end(&self, topics: &[usize], after: u64, came_at: u64) -> Option<u64> {
        let is_on = |at: u64, topic: usize| self.next(topic, at).is_none_or(|next| next.sequence > came_at);
        let is_end = |at: u64, topic: usize| self.is_closed(topic, at) && self.is_known(topic, at) && is_on(at, topic);
        let ends = self.events.iter().filter(|event| event.closes && event.sequence > after);
        let mut ends = ends.filter(|event| topics.contains(&event.topic)).map(Record::number);
        ends.find(|&at| topics.iter().all(|&topic| is_end(at, topic)))
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
        let is_bare = last.is_none();
        self.push(topic, None, last.unwrap_or_default());
        if let Some(event) = self.events.last_mut() {
            (event.closes, event.is_bare, event.in_log) = (true, is_bare, !is_bare);
        }
        self.make_room(topic);
    }

    pub(super) fn remove_key(&mut self, name: &'static str, key: &str) {
        let topic = self.topic(name);
        for event in self.events.iter_mut().filter(|event| event.topic == topic && event.key == Some(key)) {
            event.is_latest = false;
            event.was_latest = false;
        }
    }

    /// A topic that is closed and not held is gone, with all that it kept. Those of `held` stay.
    pub(super) fn let_go(&mut self, held: &[usize]) {
        let goes = |topic: usize| !held.contains(&topic) && self.is_closed(topic, self.head());
        let going: Vec<_> = (0..self.topics.len()).filter(|&topic| goes(topic)).collect();
        for event in self.events.iter_mut().filter(|event| going.contains(&event.topic)) {
            (event.in_log, event.is_latest, event.is_removed) = (false, false, true);
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
        self.events.push(Record {
            sequence,
            topic,
            closes: false,
            is_bare: false,
            is_removed: false,
            key,
            data,
            in_log: true,
            is_latest,
            was_latest: false,
        });
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
