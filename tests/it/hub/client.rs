//! A client that believes nothing: each thing that it is given is held against the model's list of all events.

use tower_sse::{
    Reason,
    hub::{Hub, Lag, Start, Subscribe},
};

use super::{
    model::{Model, Record},
    source::{Given, Source, Through, sequence_of},
};

/// What a client that comes says that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    /// Nothing: it is new.
    Nothing,
    /// This position.
    Position(u64),
    /// One of another hub.
    Foreign,
    /// Something that no hub gives out.
    Garbage,
}

/// One connection, and all that is known of it.
pub(super) struct Client {
    source: Source,
    names: Vec<&'static str>,
    topics: Vec<usize>,
    lag: Lag,
    has: Has,
    /// Everything after this is to be given or told; for a new client that begins with the beginning, what is kept of it.
    base: u64,
    /// Where the hub was when it came as a new client.
    came_at: u64,
    /// Up to here only the present counts.
    present_through: u64,
    /// What had gone before it came, and is no business of a new client's.
    before: Vec<u64>,
    /// The last id that it got.
    pub(super) position: Option<u64>,
    told_to: u64,
    /// The event that follows the greeting or gap that came last. It comes, whatever becomes of it in between.
    promised: Option<u64>,
    has_read: bool,
    is_first: bool,
    pub(super) ended: Option<Reason>,
    given: Vec<u64>,
}

/// What kind of client comes.
#[derive(Debug, Clone)]
pub(super) struct Wants {
    pub(super) names: Vec<&'static str>,
    pub(super) through: Through,
    pub(super) lag: Lag,
    pub(super) start: Start,
    pub(super) has: Has,
}

impl Client {
    pub(super) fn new(hub: &Hub, epoch: &str, model: &mut Model, wants: &Wants) -> Self {
        let Wants { names, through, lag, start, has } = wants.clone();
        let id = match has {
            Has::Nothing => None,
            Has::Position(sequence) => Some(format!("{epoch}-{sequence}")),
            Has::Foreign => Some(format!("{}-1", epoch.chars().rev().collect::<String>())),
            Has::Garbage => Some("{\"garbage\":\n1}".replace('\n', "")),
        };
        let subscribe = Subscribe::to_all(names.clone()).lag(lag).start(start);
        let source = Source::new(hub, subscribe, id, through);
        let topics = names.iter().map(|&name| model.topic(name)).collect();
        let is_position = matches!(has, Has::Position(sequence) if sequence <= model.head());
        let (base, present_through) = match (has, start) {
            (Has::Position(sequence), _) if is_position => (sequence, 0),
            (Has::Nothing, Start::Now) => (model.head(), 0),
            (Has::Nothing, Start::Latest) => (0, model.head()),
            _ => (0, 0),
        };
        let mut client = Self {
            source,
            names,
            topics,
            lag,
            has: if matches!(has, Has::Position(_)) && !is_position { Has::Foreign } else { has },
            base,
            came_at: if is_position { 0 } else { model.head() },
            present_through,
            before: Vec::new(),
            position: None,
            told_to: 0,
            promised: None,
            has_read: false,
            is_first: true,
            ended: None,
            given: Vec::new(),
        };
        if !is_position && base == 0 {
            client.before =
                model.events.iter().filter(|event| client.is_gone(event, model)).map(Record::number).collect();
        }
        client
    }

    /// The topics that it keeps from going.
    pub(super) fn holds(&self) -> &[usize] {
        if self.ended.is_some() { &[] } else { &self.topics }
    }

    /// Reads one thing, or one frame. Whether there was any.
    pub(super) fn read_one(&mut self, model: &Model) -> bool {
        let given = self.source.read();
        if given.is_empty() {
            self.waits(model);
        }
        let any = !given.is_empty();
        given.into_iter().for_each(|given| self.check(given, model));
        any
    }

    pub(super) fn read_all(&mut self, model: &Model) {
        while self.ended.is_none() && self.read_one(model) {}
    }

    fn check(&mut self, given: Given, model: &Model) {
        let is_first = std::mem::take(&mut self.is_first);
        match given {
            Given::Subscribed { at } => {
                assert!(is_first && self.has == Has::Nothing, "a greeting is for new clients, and comes first");
                let next = self.next(model);
                assert!(at >= self.reached() && next.is_none_or(|next| at < next), "{next:?} would be lost after {at}");
                self.position = Some(at);
                self.promised = next.filter(|&next| next == at + 1);
            }
            Given::Gap { from, to, at } => self.check_gap(is_first, from.as_deref(), to, at, model),
            Given::Event { sequence, topic, data } => {
                assert!(
                    !is_first || matches!(self.has, Has::Position(_)),
                    "nothing comes before the greeting or the gap"
                );
                self.check_event(sequence, topic.as_deref(), &data, model);
            }
            Given::Ended(reason) => self.check_end(reason, model),
        }
    }

    fn check_event(&mut self, sequence: u64, topic: Option<&str>, data: &str, model: &Model) {
        let Some(event) = model.events.get(sequence as usize - 1) else {
            unreachable!("{sequence} was never published")
        };
        assert_eq!(event.data, data, "the data of {sequence}");
        let name = model.topics[event.topic].name;
        assert!(self.topics.contains(&event.topic), "{sequence} is of another topic, {name}");
        assert!(topic.is_none_or(|topic| topic == name), "{sequence} is of {name}, not of {topic:?}");
        assert!(sequence > self.reached(), "{sequence} comes after {}", self.reached());
        if self.promised.take() != Some(sequence) {
            assert!(self.is_due(event, model), "{sequence} is not for this client, or not any more");
            let untold = self.untold(model).filter(|_| sequence > self.present_through);
            assert_eq!(untold, None, "that something is missing is told before anything after it");
        }
        let left_out = self.due(model).find(|event| event.sequence > self.reached() && event.sequence < sequence);
        assert!(left_out.is_none(), "{sequence} comes before {left_out:?}");
        self.given.push(sequence);
        self.position = Some(sequence);
        self.has_read = true;
    }

    fn check_gap(&mut self, is_first: bool, from: Option<&str>, to: u64, at: u64, model: &Model) {
        let missing = self.untold(model);
        let must = is_first && matches!(self.has, Has::Foreign | Has::Garbage);
        if !must {
            assert!(missing.is_some() || model.is_careful, "a gap where nothing is missing, up to {to}");
            assert!(self.lag != Lag::Disconnect || !self.has_read, "one that lags is disconnected");
            let from = from.and_then(sequence_of).expect("it is an id");
            let known = self.reached().max(self.present_through).max(self.told_to);
            let between = model.events.iter().filter(|event| event.sequence > known && event.sequence <= from);
            let mut between = between.filter(|event| self.topics.contains(&event.topic));
            let between = between.find(|event| event.sequence > self.came_at || self.is_due(event, model));
            assert!(
                from >= self.reached() && between.is_none(),
                "the gap begins where the client is, before {between:?}"
            );
        } else {
            assert_eq!(from.is_some(), self.has == Has::Foreign, "what the client said, if it is an id");
        }
        match missing {
            Some(missing) => assert!(to >= missing && (model.is_careful || to == missing), "up to {missing}, not {to}"),
            None => assert!(!must || to == at || model.is_careful, "nothing is missing that is known of"),
        }
        self.told_to = self.told_to.max(to);
        assert!(at >= self.reached(), "{at} is before {}", self.reached());
        match self.next(model) {
            Some(next) => assert_eq!(at, next - 1, "the position just before the next event"),
            None => assert!(at <= model.head(), "{at} of {}", model.head()),
        }
        self.promised = self.next(model);
        self.position = Some(at);
    }

    fn check_end(&mut self, reason: Reason, model: &Model) {
        match reason {
            Reason::Lagged => {
                assert!(self.lag == Lag::Disconnect && self.has_read, "it had not lagged");
                assert!(self.untold(model).is_some() || model.is_careful, "it had not missed anything");
            }
            Reason::TopicClosed => {
                assert!(self.topics.iter().all(|&topic| model.topics[topic].is_closed), "a topic is still open");
                self.has_everything(model);
            }
            other => unreachable!("{other}"),
        }
        self.ended = Some(reason);
    }

    fn waits(&mut self, model: &Model) {
        assert!(!self.is_first || matches!(self.has, Has::Position(_)), "it is told something first");
        assert!(self.topics.iter().any(|&topic| !model.topics[topic].is_closed), "nothing will ever come");
        self.has_everything(model);
        self.has_read = true;
        self.is_first = false;
    }

    fn has_everything(&self, model: &Model) {
        assert_eq!(self.untold(model), None, "something is missing and was not told");
        let left = self.due(model).find(|event| event.sequence > self.reached());
        assert!(left.is_none(), "it was not given {left:?}");
    }

    /// The next event that it is to be given, of those that there are.
    fn next(&self, model: &Model) -> Option<u64> {
        self.due(model).map(Record::number).find(|&sequence| sequence > self.reached())
    }

    /// Everything up to here was given, told to be missing, or had before.
    fn reached(&self) -> u64 {
        self.position.unwrap_or(0).max(self.base)
    }

    /// How far something is missing that the client was not told.
    fn untold(&self, model: &Model) -> Option<u64> {
        let missing = model.events.iter().filter(|event| {
            event.sequence > self.reached().max(self.told_to)
                && event.sequence > self.present_through
                && !self.before.contains(&event.sequence)
                && self.is_gone(event, model)
        });
        missing.map(Record::number).next_back()
    }

    /// Whether an event that the client should have had is not there any more. With a position it counts whichever topic of
    /// the name it was in.
    fn is_gone(&self, event: &Record, model: &Model) -> bool {
        let life = &model.topics[event.topic];
        if !self.names.contains(&life.name) {
            return false;
        }
        if !self.topics.contains(&event.topic) {
            // The name was closed and came again: what was before is gone, and of what comes later this one knows nothing.
            return self.topics.iter().any(|&topic| topic > event.topic && model.topics[topic].name == life.name);
        }
        match (self.lag, event.key) {
            // To a new client, keys that go are the past.
            (Lag::Latest, Some(_)) => event.was_latest && event.sequence > self.came_at,
            _ => !event.in_log,
        }
    }

    /// What this client is to be given, of what is kept, in order.
    fn due<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = &'a Record> {
        model.events.iter().filter(|event| self.topics.contains(&event.topic) && self.is_due(event, model))
    }

    fn is_due(&self, event: &Record, model: &Model) -> bool {
        if event.sequence <= self.base {
            return false;
        }
        if event.sequence <= self.present_through {
            let is_newest = |other: &Record| other.topic != event.topic || other.key.is_some() || !other.in_log;
            let newer = &model.events[event.sequence as usize..];
            return event.is_latest || (event.key.is_none() && event.in_log && newer.iter().all(is_newest));
        }
        match (self.lag, event.key) {
            (Lag::Latest, Some(_)) => event.is_latest,
            _ => event.in_log,
        }
    }
}
