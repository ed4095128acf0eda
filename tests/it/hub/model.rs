//! A naive hub: every event that was ever published, and whether it is still retained. The model is simple, so that it can be
//! trusted; the updates that a client may receive follow from a scan of all events.

/// Returns the size of a publish of the model on the wire without its id, with its key, and with the cost of its entry.
pub(super) fn size_of(data: &str, key: Option<&str>) -> usize {
    "data: \n\n".len() + data.len() + key.map_or(0, str::len) + 64
}

/// The bounds of the hub.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Events of each topic.
    pub(super) events: usize,
    /// Keys of each topic.
    pub(super) keys: usize,
    /// Events of the hub.
    pub(super) bytes: usize,
}

/// One event, kept for ever.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) sequence: u64,
    /// The topic, by its number.
    pub(super) topic: usize,
    /// The event closes its topic.
    pub(super) closes: bool,
    /// An end without an event.
    pub(super) is_bare: bool,
    /// The topic was closed, and removed with all that it retained.
    pub(super) is_removed: bool,
    pub(super) key: Option<&'static str>,
    pub(super) data: String,
    pub(super) in_log: bool,
    /// The newest of its key, and retained as such.
    pub(super) is_latest: bool,
    /// The newest of its key, but evicted.
    pub(super) was_latest: bool,
}

/// The first position at which all topics of a reader are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    At(u64),
    /// The end is at this position or after it, up to which it is forgotten.
    Forgotten {
        at: u64,
        through: u64,
    },
}

impl End {
    /// Returns the first position at which the end may be.
    pub(super) fn at(self) -> u64 {
        match self {
            Self::At(at) | Self::Forgotten { at, .. } => at,
        }
    }
}

/// The number of known closings of a topic.
pub(super) const KNOWN_CLOSINGS: usize = 64;

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
    /// The positions in each topic, in order, so that long schedules take seconds.
    positions: Vec<Vec<u64>>,
    /// Of these, the positions at which it is closed.
    closings: Vec<Vec<u64>>,
    /// The positions of retained events, so that evicted ones are not scanned again.
    kept: Vec<u64>,
    /// A topic was removed for which the table of tombstones had no room.
    pub(super) is_careful: bool,
}

impl Model {
    pub(super) fn new(limits: Limits) -> Self {
        let (events, topics, positions, closings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { limits, events, topics, positions, closings, kept: Vec::new(), is_careful: false }
    }

    pub(super) fn head(&self) -> u64 {
        self.events.len() as u64
    }

    /// The number of a topic.
    pub(super) fn topic(&mut self, name: &'static str) -> usize {
        self.topics.iter().position(|&known| known == name).unwrap_or_else(|| {
            self.topics.push(name);
            self.positions.push(Vec::new());
            self.closings.push(Vec::new());
            self.topics.len() - 1
        })
    }

    /// Returns whether a topic is closed at a position.
    fn is_closed(&self, topic: usize, at: u64) -> bool {
        let positions = &self.positions[topic];
        let last = positions[..positions.partition_point(|&position| position <= at)].last();
        last.is_some_and(|&last| self.events[last as usize - 1].closes)
    }

    /// Returns the first position of a topic behind another.
    fn next(&self, topic: usize, at: u64) -> Option<u64> {
        let positions = &self.positions[topic];
        positions.get(positions.partition_point(|&position| position <= at)).copied()
    }

    /// Returns the last forgotten closing of a topic, and the position through which the topic was closed.
    fn forgotten(&self, topic: usize) -> Option<(u64, u64)> {
        let closings = &self.closings[topic];
        let last = closings[closings.len().checked_sub(KNOWN_CLOSINGS + 1)?];
        self.next(topic, last).map(|next| (last, next - 1))
    }

    /// Returns the first position behind `after` at which all of these topics are closed, unless that was over when the client
    /// joined. A position that the client has not reached counts as one if it is forgotten.
    pub(super) fn first_end(&self, topics: &[usize], after: u64, seen: u64, joined_at: u64) -> Option<End> {
        if topics.iter().any(|&topic| self.closings[topic].is_empty()) {
            return None;
        }
        let forgotten: Vec<_> = topics.iter().map(|&topic| self.forgotten(topic).unwrap_or((0, 0))).collect();
        let may_be = seen + 1..=forgotten.iter().map(|&(last, _)| last).max().unwrap_or(0);
        let known = topics.iter().flat_map(|&topic| self.closings[topic].iter().copied().filter(|&at| at > after));
        let mut positions: Vec<u64> = may_be.chain(known).collect();
        positions.sort_unstable();
        let is_on = |at: u64, topic: usize| self.next(topic, at).is_none_or(|next| next > joined_at);
        let may_be_closed = |at: u64, topic: usize, through: u64| match at <= through {
            true => through >= joined_at,
            false => self.is_closed(topic, at) && is_on(at, topic),
        };
        positions.into_iter().find_map(|at| {
            let mut topics = topics.iter().zip(&forgotten);
            let may_end = topics.all(|(&topic, &(_, through))| may_be_closed(at, topic, through));
            let unknown = forgotten.iter().map(|&(_, through)| through).filter(|&through| at <= through).max();
            match unknown {
                _ if !may_end => None,
                None => Some(End::At(at)),
                Some(through) => (at > seen).then_some(End::Forgotten { at, through }),
            }
        })
    }

    pub(super) fn publish(&mut self, name: &'static str, key: Option<&'static str>, data: String) {
        let topic = self.topic(name);
        self.push(topic, key, data);
        self.make_room(topic);
    }

    /// Bounds are applied after all of them.
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
            self.closings[topic].push(event.sequence);
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

    /// A topic that is closed and not held is removed, with all that it retained. Those of `held` stay.
    pub(super) fn let_go(&mut self, held: &[usize]) {
        let goes = |topic: usize| !held.contains(&topic) && self.is_closed(topic, self.head());
        let going: Vec<_> = (0..self.topics.len()).filter(|&topic| goes(topic)).collect();
        for topic in going {
            // Those before a removed one are removed, too.
            let positions = self.positions[topic].iter().rev().map(|&position| position as usize - 1);
            let kept: Vec<_> = positions.take_while(|&at| !self.events[at].is_removed).collect();
            for at in kept {
                let event = &mut self.events[at];
                (event.in_log, event.is_latest, event.is_removed) = (false, false, true);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let size = |event: &Record| size_of(&event.data, event.key);
        self.kept().map(|event| size(event) * (usize::from(event.in_log) + usize::from(event.is_latest))).sum()
    }

    fn kept(&self) -> impl Iterator<Item = &Record> {
        self.kept.iter().map(|&position| &self.events[position as usize - 1])
    }

    fn push(&mut self, topic: usize, key: Option<&'static str>, data: String) {
        if key.is_some() {
            for event in self.events.iter_mut().filter(|event| event.topic == topic && event.key == key) {
                (event.is_latest, event.was_latest) = (false, false);
            }
        }
        let (sequence, is_latest) = (self.head() + 1, key.is_some());
        self.positions[topic].push(sequence);
        self.kept.push(sequence);
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
        let events = &self.events;
        self.kept.retain(|&position| events[position as usize - 1].in_log || events[position as usize - 1].is_latest);
        while self.count(|event| event.topic == topic && event.is_latest) > limits.keys {
            self.drop_key(|event| event.topic == topic);
        }
        while self.count(|event| event.topic == topic && event.in_log) > limits.events {
            self.drop_oldest(|event| event.topic == topic);
        }
        while self.bytes() > limits.bytes && self.drop_oldest(|_| true) {}
    }

    fn count(&self, which: impl Fn(&Record) -> bool) -> usize {
        self.kept().filter(|event| which(event)).count()
    }

    fn drop_oldest(&mut self, which: impl Fn(&Record) -> bool) -> bool {
        let oldest = self.kept().find(|event| event.in_log && which(event)).map(Record::number);
        oldest.map(|oldest| self.events[oldest as usize - 1].in_log = false).is_some()
    }

    fn drop_key(&mut self, which: impl Fn(&Record) -> bool) {
        let oldest = self.kept().find(|event| event.is_latest && which(event)).map(Record::number);
        if let Some(oldest) = oldest {
            let event = &mut self.events[oldest as usize - 1];
            (event.is_latest, event.was_latest) = (false, true);
        }
    }
}
