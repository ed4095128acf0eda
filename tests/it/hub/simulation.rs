//! A hub and its model, through which a schedule runs step by step.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tower_sse::{
    Event,
    hub::{Hub, LagPolicy, Retention, Start, Topic, Update},
    observe::Reason,
};

use super::{
    client::{Client, Has, Wants},
    lineage::Lineage,
    model::{KNOWN_CLOSINGS, Limits, Model},
    reader::Through,
};

/// One step of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Publish(&'static str),
    PublishKeyed(&'static str, &'static str),
    /// Publishes two events at once.
    PublishAll(&'static str),
    /// Closes a topic, with a last event or without.
    Close(&'static str, bool),
    /// Closes a topic as often as closings are remembered, without a last event.
    CloseOften(&'static str),
    RemoveKey(&'static str, &'static str),
    /// Reads one update or frame as this client.
    Read(usize),
    ReadAll(usize),
    /// Cuts a connection, and resumes with the last id that the client received, if any.
    Resume(usize),
    /// Reads once more, and cuts the connection after so many updates: the client resumes.
    Cut(usize, usize),
    /// Reconnects a client with another id.
    Come(usize, Has),
    /// Resumes with the id of the head: the client has everything.
    ComeWithHead(usize),
    /// Removes a client.
    Leave(usize),
    /// Runs the pump once, if there is one.
    Pump,
}

/// A hub and its model, and clients of both.
pub(super) struct Simulation {
    hub: Hub,
    epoch: String,
    model: Model,
    beginning: Beginning,
    /// The number of closed topics.
    closed: usize,
    clients: Vec<Option<Client>>,
}

/// The initial state of a schedule.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    pub(super) limits: Limits,
    pub(super) topics: usize,
    pub(super) wants: Vec<Wants>,
    /// The bytes of each event's data, so that some share a frame or do not.
    pub(super) data: usize,
    /// The clients that subscribe before the first step.
    pub(super) is_there: bool,
    /// The time for which topics gather events.
    pub(super) linger: Duration,
}

impl Simulation {
    pub(super) fn new(beginning: &Beginning) -> Self {
        let Limits { events, keys, bytes } = beginning.limits;
        let bounds = Retention::new().events(events).keys(keys).age(None);
        let hub = Hub::builder().retention(bounds).max_bytes(bytes).max_topics(beginning.topics);
        let hub = hub.linger(beginning.linger).build();
        let first = hub.subscribe("a").map(|mut new| new.next().now_or_never()).expect("the hub has room");
        let Some(Some(Update::Subscribed(Some(at)))) = first else {
            unreachable!("a new client receives its position")
        };
        let epoch = at.as_str().rsplit_once('-').expect("the id is valid").0.to_owned();
        let mut simulation = Self {
            hub,
            epoch,
            model: Model::new(beginning.limits),
            beginning: beginning.clone(),
            closed: 0,
            clients: beginning.wants.iter().map(|_| None).collect(),
        };
        for number in (0..beginning.wants.len()).filter(|_| beginning.is_there) {
            simulation.come(number, Has::Nothing);
        }
        simulation
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Publish(name) => {
                let data = self.data(0);
                self.topic(name).publish(Event::new(&data)).try_result().expect("the event is small");
                self.model.publish(name, None, data);
            }
            Step::PublishKeyed(name, key) => {
                let data = self.data(0);
                self.topic(name).publish_keyed(key, Event::new(&data)).try_result().expect("the event is small");
                self.model.publish(name, Some(key), data);
            }
            Step::PublishAll(name) => {
                let data = [self.data(0), self.data(1)];
                self.topic(name).publish_all(data.iter().map(Event::new)).try_result().expect("the events are small");
                self.model.publish_all(name, data);
            }
            Step::Close(name, says) => self.close(name, says),
            Step::CloseOften(name) => (0..KNOWN_CLOSINGS).for_each(|_| self.close(name, false)),
            Step::RemoveKey(name, key) => {
                self.topic(name).remove_key(key);
                self.model.remove_key(name, key);
            }
            Step::Read(number) => self.with(number, |client, model| _ = client.read_one(model)),
            Step::ReadAll(number) => self.with(number, Client::read_all),
            Step::Resume(number) => self.resume(number),
            Step::Cut(number, after) => {
                self.with(number, |client, model| _ = client.read(model, after));
                self.resume(number);
            }
            Step::Come(number, has) => self.come(number, has),
            Step::ComeWithHead(number) => self.come(number, Has::Position(self.model.head())),
            Step::Leave(number) => self.clients[number] = None,
            Step::Pump => {}
        }
        let held: Vec<usize> = self.clients.iter().flatten().flat_map(Client::holds).copied().collect();
        self.model.let_go(&held);
    }

    fn close(&mut self, name: &'static str, says: bool) {
        let last = says.then(|| self.data(0));
        self.topic(name).close(last.as_ref().map(Event::new)).try_result().expect("the event is small");
        self.model.close(name, last);
        self.closed += 1;
        self.model.is_careful |= self.closed > self.beginning.topics;
    }

    pub(super) fn keeps_what_it_should(&self) {
        assert_eq!(self.hub.bytes_used(), self.model.bytes(), "retained bytes");
    }

    /// Asserts that the final state matches the model, too.
    pub(super) fn end(&mut self, ending: Ending) {
        for number in 0..self.clients.len() {
            match ending {
                Ending::ReadAll => self.with(number, Client::read_all),
                Ending::CutEach => self.cut_each(number),
            }
        }
    }

    /// Cuts a client after each update, and resumes it, until there is nothing more.
    fn cut_each(&mut self, number: usize) {
        // Each event, a gap before each, and the first update.
        for _ in 0..2 * self.model.head() + 3 {
            let mut any = false;
            self.with(number, |client, model| any = client.read_to_id(model));
            let Some(client) = &self.clients[number] else { return };
            if !any || client.ended == Some(Reason::TopicClosed) {
                return;
            }
            // A client without an id would begin again: it reads on.
            if client.position.is_some() {
                self.resume(number);
            }
        }
        unreachable!("a client that is cut after each event makes no progress");
    }

    /// Resumes a client after the last id that it received, or with its first id.
    fn resume(&mut self, number: usize) {
        let Some(client) = &self.clients[number] else { return self.come(number, Has::Nothing) };
        match client.position.or(client.came_with()) {
            Some(position) => {
                let lineage = client.lineage.clone();
                self.come_back(number, Has::Position(position), Some(lineage));
            }
            None => self.come(number, Has::Nothing),
        }
    }

    fn come(&mut self, number: usize, has: Has) {
        self.come_back(number, has, None);
    }

    fn come_back(&mut self, number: usize, has: Has, lineage: Option<Lineage>) {
        self.clients[number] = None;
        let held: Vec<usize> = self.clients.iter().flatten().flat_map(Client::holds).copied().collect();
        self.model.let_go(&held);
        let wants = Wants { has, ..self.beginning.wants[number].clone() };
        self.clients[number] = Some(Client::new(&self.hub, &self.epoch, &mut self.model, &wants, lineage));
    }

    fn with(&mut self, number: usize, act: impl FnOnce(&mut Client, &Model)) {
        if let Some(client) = self.clients[number].as_mut().filter(|client| client.ended.is_none()) {
            act(client, &self.model);
        }
    }

    fn topic(&self, name: &str) -> Topic {
        self.hub.topic(name).expect("the hub has room")
    }

    /// Every other event is short.
    fn data(&self, more: u64) -> String {
        let number = self.model.head() + 1 + more;
        let len = if number % 2 == 0 { 3 } else { self.beginning.data };
        format!("{number:0len$}")
    }
}

/// A mode of reading the rest at the end of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    ReadAll,
    /// Clients are cut after each update.
    CutEach,
}

impl Ending {
    pub(super) const ALL: [Self; 2] = [Self::ReadAll, Self::CutEach];
}

pub(super) fn run(beginning: &Beginning, schedule: &[Step], ending: Ending) {
    let recording = Recording(beginning, schedule, ending);
    let mut simulation = Simulation::new(beginning);
    for &step in schedule {
        simulation.step(step);
        simulation.keeps_what_it_should();
    }
    simulation.end(ending);
    std::mem::forget(recording);
}

pub(super) async fn run_within(beginning: &Beginning, schedule: &[Step], ending: Ending) {
    let mut simulation = Simulation::new(beginning);
    for &step in schedule {
        simulation.step(step);
        // A removed topic is held by the pump's queue until its turn.
        let is_turn = matches!(step, Step::Pump | Step::Close(..) | Step::CloseOften(_));
        if step == Step::Pump && !beginning.linger.is_zero() {
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        for _ in 0..if is_turn { 4 } else { 0 } {
            tokio::task::yield_now().await;
        }
        simulation.keeps_what_it_should();
    }
    simulation.end(ending);
}

/// Prints the schedule if it ends in a panic.
pub(super) struct Recording<'a>(&'a Beginning, &'a [Step], Ending);

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        eprintln!("beginning: {:?}\nschedule: {:?}, then {:?}", self.0, self.1, self.2);
    }
}

pub(super) const LAGS: [LagPolicy; 3] = [LagPolicy::Disconnect, LagPolicy::Skip, LagPolicy::Conflate];

pub(super) const STARTS: [Start; 3] = [Start::Live, Start::Snapshot, Start::Beginning];

/// More updates than any schedule makes.
pub(super) const MANY: usize = 1 << 20;

pub(super) fn wants(names: &[&'static str], through: Through, lag: LagPolicy, start: Start) -> Wants {
    Wants { names: names.to_vec(), through, lag, start, has: Has::Nothing, not_before: None }
}

/// Each policy and each start, as a stream; on the wire those that differ.
pub(super) fn kinds(names: &[&'static str], limits: Limits, is_there: bool) -> Vec<Beginning> {
    let streams = LAGS.into_iter().flat_map(|lag| STARTS.map(|start| (Through::Stream, lag, start)));
    let bodies = LAGS.into_iter().map(|lag| (Through::Wire, lag, Start::Live));
    let bodies = bodies.chain([(Through::Wire, LagPolicy::Conflate, Start::Snapshot)]);
    let all = streams.chain(bodies).map(|(through, lag, start)| vec![wants(names, through, lag, start)]);
    all.map(|wants| Beginning { limits, topics: MANY, wants, data: 3, is_there, linger: Duration::ZERO }).collect()
}
