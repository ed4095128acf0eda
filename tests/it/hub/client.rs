//! A client that trusts nothing: each update that it receives is compared with the model's list of all events.

mod due;

use tower_sse::{
    hub::{Hub, LagPolicy, Start, Subscribe},
    observe::Reason,
};

use super::{
    lineage::Lineage,
    model::{Model, Record},
    reader::{Reader, Received, Through, sequence_of},
};

/// The id with which a client subscribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    /// No id: a new client.
    Nothing,
    /// This position.
    Position(u64),
    /// A position of another hub.
    Foreign,
    /// A text that no hub assigns as an id.
    Garbage,
}

impl Has {
    fn id(self, epoch: &str) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Position(sequence) => Some(format!("{epoch}-{sequence}")),
            Self::Foreign => Some(format!("{}-1", epoch.chars().rev().collect::<String>())),
            Self::Garbage => Some("{\"garbage\":1}".to_owned()),
        }
    }
}

/// One connection, and its expected state.
pub(super) struct Client {
    source: Reader,
    topics: Vec<usize>,
    lag: LagPolicy,
    has: Has,
    is_stream: bool,
    /// Ends behind this position count for the client.
    begins: u64,
    /// The position of the hub when the client subscribed.
    head: u64,
    /// The client has received everything up to an end.
    may_end: bool,
    /// The end of the last gap.
    reported_to: u64,
    /// Everything after this is to be delivered or reported; for a new client that starts at the beginning, what is retained of it.
    base: u64,
    /// Everything up to here is hidden from the client.
    floor: u64,
    /// The position of the hub when the client joined as a new one.
    joined_at: u64,
    /// Up to here only the snapshot counts.
    present_through: u64,
    /// The position evicted before the client joined, which does not concern a new client.
    before: Vec<u64>,
    /// The expected `from` of its gaps.
    from: Option<String>,
    /// The position when the gap was found.
    found_at: u64,
    /// Everything up to here was delivered, reported as missing, or received before.
    reached: u64,
    /// Everything up to here may have been read.
    seen: u64,
    /// Forgotten ends up to the first position were reported. If not all of them, up to the second.
    reported_ends: (u64, u64),
    /// The position up to which ends were forgotten after the last read.
    was_forgotten: Option<u64>,
    /// The last id that the client received.
    pub(super) position: Option<u64>,
    /// A gap was found up to here, and is not reported yet.
    owed: Option<u64>,
    /// The event that follows the last gap. It is delivered even if it is evicted meanwhile.
    promised: Option<u64>,
    has_read: bool,
    is_first: bool,
    pub(super) ended: Option<Reason>,
    /// The events over all connections of the client.
    pub(super) lineage: Lineage,
}

/// The kind of a client.
#[derive(Debug, Clone)]
pub(super) struct Wants {
    pub(super) names: Vec<&'static str>,
    pub(super) through: Through,
    pub(super) lag: LagPolicy,
    pub(super) start: Start,
    pub(super) has: Has,
    /// The position before which nothing may be delivered.
    pub(super) not_before: Option<u64>,
}

impl Wants {
    /// Everything up to here is hidden. A position that the hub has not assigned is unknown: all of the past is hidden.
    fn floor(&self, head: u64) -> u64 {
        self.not_before.map_or(0, |bound| if bound <= head { bound.saturating_sub(1) } else { head })
    }
}

impl Client {
    /// Subscribes a client. With a lineage it resumes after the last id that it received.
    pub(super) fn new(hub: &Hub, epoch: &str, model: &mut Model, wants: &Wants, lineage: Option<Lineage>) -> Self {
        let Wants { names, through, lag, start, has, not_before } = wants.clone();
        let id = has.id(epoch);
        let not_before = not_before.map(|bound| format!("{epoch}-{bound}").try_into().expect("the id is valid"));
        let subscribe = Subscribe::to_all(names.clone()).lag(lag).start(start).not_before(not_before);
        let floor = wants.floor(model.head());
        let topics: Vec<_> = names.iter().map(|&name| model.topic(name)).collect();
        let is_ahead = matches!(has, Has::Position(sequence) if sequence > model.head());
        let has = if is_ahead { Has::Foreign } else { has };
        let (base, present_through) = match (has, start) {
            (Has::Position(sequence), _) => (sequence, 0),
            (Has::Nothing, Start::Live) => (model.head(), 0),
            (Has::Nothing, Start::Snapshot) => (0, model.head()),
            (Has::Nothing, Start::Beginning) => (floor, 0),
            _ => (0, 0),
        };
        let mut client = Self {
            from: id.clone().filter(|_| has != Has::Garbage),
            source: Reader::new(hub, subscribe, id, through),
            topics,
            lag,
            has,
            is_stream: through == Through::Stream,
            begins: base,
            head: model.head(),
            may_end: false,
            reported_to: 0,
            base,
            floor,
            joined_at: if has == Has::Nothing { model.head() } else { 0 },
            present_through,
            before: Vec::new(),
            found_at: base,
            reached: base,
            seen: base,
            reported_ends: (0, 0),
            was_forgotten: None,
            position: None,
            owed: None,
            promised: None,
            has_read: false,
            is_first: true,
            ended: None,
            lineage: Lineage::default(),
        };
        let is_before = |event: &&Record| has == Has::Nothing && client.is_gone(event);
        client.before = model.events.iter().filter(is_before).map(Record::number).collect();
        client.begin_behind_nothing(model);
        let no_loss = client.before.iter().copied().chain(1..=present_through).collect();
        client.lineage = lineage.unwrap_or_else(|| Lineage::new(base, client.joined_at, no_loss));
        client
    }

    /// A client without anything to receive begins at the head. The ends that there are were reported to it, or none are
    /// to be reported.
    fn begin_behind_nothing(&mut self, model: &Model) {
        let is_mine = |event: &&Record| event.sequence > self.base && self.topics.contains(&event.topic);
        let is_missing = |event: &Record| self.has != Has::Nothing && self.is_gone(event);
        if self.due(model).next().is_none() && !model.events.iter().filter(is_mine).any(is_missing) {
            self.begins = self.head;
            if !model.is_careful {
                (self.reached, self.seen) = (self.head, self.head);
            }
        }
    }

    /// The topics that the client keeps from eviction.
    pub(super) fn holds(&self) -> &[usize] {
        if self.ended.is_some() { &[] } else { &self.topics }
    }

    /// The position of the client's id.
    pub(super) fn came_with(&self) -> Option<u64> {
        match self.has {
            Has::Position(position) => Some(position),
            _ => None,
        }
    }

    /// Reads one update, or one frame. Returns whether there was any.
    pub(super) fn read_one(&mut self, model: &Model) -> bool {
        self.read(model, usize::MAX)
    }

    /// Reads one update, or as much of a frame as arrives before the connection is cut.
    pub(super) fn read(&mut self, model: &Model, arrive: usize) -> bool {
        self.read_until(model, |_, arrived| arrived == arrive)
    }

    /// Reads one update, or as much of a frame as is needed for an id.
    pub(super) fn read_to_id(&mut self, model: &Model) -> bool {
        self.read_until(model, |client, arrived| arrived > 0 && client.position.is_some())
    }

    fn read_until(&mut self, model: &Model, is_cut: impl Fn(&Self, usize) -> bool) -> bool {
        self.looks(model);
        let given = self.source.read();
        if given.is_empty() {
            self.waits(model);
        }
        let any = !given.is_empty();
        let is_in_present = self.is_in_present();
        for (arrived, given) in given.into_iter().enumerate() {
            if is_cut(self, arrived) {
                break;
            }
            self.check(given, model);
        }
        self.has_seen(is_in_present, model);
        any
    }

    /// With its last update, a client may have read everything up to an end that has to be reported.
    fn has_seen(&mut self, was_in_present: bool, model: &Model) {
        let is_more = |event: &&Record| event.sequence > self.reached && self.promised != Some(event.sequence);
        let next = self.due(model).find(is_more).map(Record::number);
        let end = self.end(model);
        let must = self.must_report(model);
        self.may_end |= end.is_some() && next.is_none() && must.is_none();
        let through = match (self.owed, was_in_present) {
            (Some(owed), _) => owed,
            (_, true) => self.present_through,
            _ => model.head().min(end.unwrap_or(u64::MAX)),
        };
        let last = must.map_or(u64::MAX, |(at, _)| at - 1);
        if next.is_none_or(|next| next > through) {
            self.seen = self.seen.max(through.min(last));
        }
        self.seen = self.seen.max(self.reached.min(last));
        self.was_forgotten = self.may_report(model);
    }

    pub(super) fn read_all(&mut self, model: &Model) {
        while self.ended.is_none() && self.read_one(model) {}
    }

    /// A gap is found by the read that finds an event evicted, and its extent is fixed then.
    fn looks(&mut self, model: &Model) {
        if self.is_in_present() && self.next_of_present(model).is_none() {
            // The event was superseded or evicted.
            self.reached = if self.is_first { self.reached } else { self.present_through };
        }
        let is_disconnected = self.lag == LagPolicy::Disconnect && self.has_read;
        if self.promised.is_none() && self.owed.is_none() && !is_disconnected {
            self.owed = self.missing(model);
            self.found_at = self.reached;
        }
    }

    fn check(&mut self, given: Received, model: &Model) {
        let is_first = std::mem::take(&mut self.is_first);
        match given {
            Received::Subscribed { at } => {
                assert!(is_first && self.has == Has::Nothing, "a first position is for new clients, and comes first");
                self.check_first(at, model);
            }
            Received::Gap { from, to, at } => {
                assert_eq!(to, at, "a client that is cut right after a gap does not receive it again");
                if self.is_in_place_of_end(to, model) {
                    // Missing events are found after that.
                    (self.owed, self.found_at) = (None, self.reached);
                }
                self.check_from(from.as_deref(), model);
                if is_first && matches!(self.has, Has::Foreign | Has::Garbage) {
                    self.check_foreign(to, model);
                } else {
                    self.check_gap(to, model);
                }
                self.lineage.reported(to);
            }
            Received::Event { id, topic, data } => {
                assert!(!is_first || matches!(self.has, Has::Position(_)), "nothing precedes a first report");
                let sequence = data.parse().expect("the data of each is its number");
                self.check_event(sequence, topic.as_deref(), &data, model);
                self.check_id(id, sequence, model);
            }
            Received::Ended(reason) => self.check_end(reason, model),
        }
    }

    fn check_first(&mut self, at: Option<u64>, model: &Model) {
        if self.is_in_present() {
            let has_present = self.next_of_present(model).is_some();
            assert_eq!(at, (!has_present).then_some(self.present_through), "the snapshot is not delivered yet");
        } else {
            let (at, next) = (at.expect("the event has an id"), self.next(model));
            assert!(at >= self.reached && next.is_none_or(|next| at < next), "{next:?} would be lost after {at}");
            let missing = self.missing(model);
            assert!(missing.is_none() || at == self.reached, "missing events would be lost after {at}");
        }
        self.is_at(at);
    }

    fn check_id(&mut self, id: Option<u64>, sequence: u64, model: &Model) {
        let expected = match (sequence <= self.present_through, self.next_of_present(model)) {
            (true, Some(_)) => None,
            (true, None) => Some(self.present_through),
            (false, _) => Some(sequence),
        };
        assert_eq!(id, expected, "the id of {sequence}");
        self.is_at(id);
    }

    fn is_at(&mut self, id: Option<u64>) {
        self.position = id.or(self.position);
        self.reached = id.unwrap_or(0).max(self.reached);
    }

    /// Returns the id of this connection or, without one, the position at which the gap was found.
    fn check_from(&self, from: Option<&str>, model: &Model) {
        if self.has != Has::Nothing {
            return assert_eq!(from, self.from.as_deref(), "the id of this connection");
        }
        let from = from.and_then(sequence_of).expect("the client has an id");
        let is_between = |event: &&Record| self.found_at < event.sequence && event.sequence <= from;
        let is_mine =
            |event: &&Record| self.topics.contains(&event.topic) && self.before.binary_search(&event.sequence).is_err();
        let between = model.events.iter().filter(is_between).filter(is_mine);
        let passed = between.filter(|event| self.is_gone(event) || self.is_due(event, model));
        assert!(self.found_at <= from && passed.count() == 0, "from {from}, where it was at {}", self.found_at);
    }

    fn check_foreign(&mut self, at: u64, model: &Model) {
        match (self.may_report(model), self.next(model)) {
            (Some(_), next) => assert!(next.is_none_or(|next| at < next), "{next:?} would be lost after {at}"),
            (None, Some(next)) => assert_eq!(at, next - 1, "the position before the oldest retained event"),
            (None, None) => assert_eq!(at, self.end(model).unwrap_or(model.head()), "nothing is retained"),
        }
        self.goes_behind_end(at, false, model);
        self.is_at(Some(at));
        self.reported_to = at;
        self.owed = self.missing(model);
    }

    fn check_gap(&mut self, to: u64, model: &Model) {
        assert!(
            self.lag != LagPolicy::Disconnect || !self.has_read || self.owed.is_some(),
            "a lagging client is disconnected"
        );
        let is_in_place_of_end = self.is_in_place_of_end(to, model);
        let (owed, may_report) = (self.owed.take(), self.may_report(model));
        match (owed, may_report) {
            (Some(owed), _) => assert!(to == owed || (model.is_careful && to > owed), "a gap up to {owed}, not {to}"),
            (None, Some(through)) => assert!(to <= through, "in place of an end up to {through}, not {to}"),
            (None, None) => assert!(model.is_careful, "a gap without missing events, up to {to}"),
        }
        assert!(to > self.reached || (to == self.reached && is_in_place_of_end), "{to} is not after {}", self.reached);
        let left_out = self.due(model).find(|event| event.sequence > self.reached && event.sequence <= to);
        assert!(left_out.is_none(), "{left_out:?} is kept, and given before the gap up to {to}");
        // A gap that stands for an end, too, is followed by no event before the next read.
        let last_seen = self.reached.min(self.seen).max(to.saturating_sub(1));
        let end = self.forgotten(last_seen, self.head.max(self.reported_ends.0), model);
        let stands_for_end = is_in_place_of_end || end.is_some_and(|(at, _)| at == to);
        self.goes_behind_end(to, is_in_place_of_end, model);
        self.is_at(Some(to));
        self.reported_to = to;
        if self.is_stream && !stands_for_end && self.missing(model).is_none() {
            self.promised = self.next(model);
        }
    }

    /// Returns whether a gap reports a forgotten end, and no missing event.
    fn is_in_place_of_end(&self, to: u64, model: &Model) -> bool {
        self.owed != Some(to) && self.may_report(model).is_some_and(|through| to <= through)
    }

    /// Applies a gap for a forgotten end. A gap for missing events may stand for it.
    fn goes_behind_end(&mut self, to: u64, is_in_place_of_end: bool, model: &Model) {
        let joined_at = self.head.max(self.reported_ends.0);
        let end = self.forgotten(self.reached.min(self.seen), joined_at, model);
        if let Some((_, through)) = end.filter(|&(at, _)| at <= to || is_in_place_of_end) {
            self.reported_ends.0 = self.reported_ends.0.max(through + 1);
        }
        if let Some(through) = self.may_report(model).filter(|_| is_in_place_of_end) {
            self.reported_ends.1 = self.reported_ends.1.max(self.was_forgotten.unwrap_or(through) + 1);
        }
    }

    fn check_event(&mut self, sequence: u64, topic: Option<&str>, data: &str, model: &Model) {
        let Some(event) = model.events.get(sequence as usize - 1) else {
            unreachable!("{sequence} was never published")
        };
        assert_eq!(event.data, data, "the data of {sequence}");
        let name = model.topics[event.topic];
        assert!(self.topics.contains(&event.topic), "{sequence} is of another topic, {name}");
        assert!(topic.is_none_or(|topic| topic == name), "{sequence} is of {name}, not of {topic:?}");
        assert!(sequence > self.reached, "{sequence} comes after {}", self.reached);
        if self.promised.take() != Some(sequence) {
            assert!(self.is_due(event, model), "{sequence} is not for this client, or not any more");
            assert!(self.end(model).is_none_or(|end| sequence <= end), "{sequence} is behind the end");
            let reported_first = self.must_report(model);
            assert!(
                reported_first.is_none_or(|(_, through)| sequence <= through),
                "{reported_first:?} has to be reported before {sequence}"
            );
            let owed = self.owed.or_else(|| self.missing(model));
            assert!(owed.is_none_or(|to| sequence < to), "the gap up to {owed:?} has to be reported before {sequence}");
            self.owed = owed;
        }
        let left_out = self.due(model).find(|event| event.sequence > self.reached && event.sequence < sequence);
        assert!(left_out.is_none(), "{sequence} comes before {left_out:?}");
        self.reached = sequence;
        self.has_read = true;
        self.lineage.given(sequence);
    }

    fn check_end(&mut self, reason: Reason, model: &Model) {
        match reason {
            Reason::Lagged => {
                assert!(self.lag == LagPolicy::Disconnect && self.has_read, "the client had not lagged");
                assert_eq!(self.owed, None, "the gap comes first");
                let is_behind = self.missing(model).or(self.may_report(model)).is_some();
                assert!(is_behind || model.is_careful, "the client had missed nothing");
            }
            Reason::TopicClosed => {
                assert!(self.may_end || self.end(model).is_some(), "the topics were not closed at one time");
                // The client stays at its end, whatever is published or evicted behind it.
                if !self.may_end {
                    self.has_everything(model);
                }
            }
            other => unreachable!("{other}"),
        }
        self.ended = Some(reason);
    }

    fn waits(&mut self, model: &Model) {
        assert!(!self.is_first || matches!(self.has, Has::Position(_)), "the client receives a report first");
        assert!(model.is_careful || self.end(model).is_none(), "the client has reached its end");
        self.has_everything(model);
        self.has_read = true;
        self.is_first = false;
    }

    fn has_everything(&self, model: &Model) {
        assert_eq!((self.owed, self.missing(model)), (None, None), "an event is missing and was not reported");
        assert_eq!(self.must_report(model), None, "an end may have been passed without a report");
        let left = self.next(model);
        assert!(left.is_none(), "{left:?} was not delivered");
        self.lineage.lacks_nothing(self.reached, &self.topics, self.lag, model);
    }
}
