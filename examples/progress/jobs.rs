//! The jobs: which run, each with a topic, and what came of those that have ended.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::StatusCode;
use serde::Serialize;
use tower_sse::{
    Event, Events, LastEventId, Refusal, event_name,
    hub::{Hub, LagPolicy, Retention, Start, Subscribe, Subscription, Topic},
};

use crate::collatz::{self, Longest};

#[derive(Clone)]
pub(crate) struct Jobs {
    hub: Hub,
    jobs: Arc<Mutex<BTreeMap<u64, Job>>>,
}

pub(crate) enum Job {
    Runs(Topic),
    Ended(Outcome),
}

/// What is told while a job runs.
#[derive(Serialize)]
struct Progress {
    percent: u64,
    so_far: Longest,
    watchers: usize,
}

/// What is told when it ends. The variant is the event's name.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Done(Longest),
    Failed(String),
}

/// As many run as may.
pub(crate) struct Refused;

impl Jobs {
    /// Starts a job, whether anybody watches or not.
    pub(crate) fn start(&self, below: u64) -> Result<u64, Refused> {
        let (id, topic) = self.jobs(|jobs| self.admit(jobs)).ok_or(Refused)?;
        let work = tokio::task::spawn_blocking(move || {
            collatz::longest(below, |percent, so_far| publish(&topic, percent, so_far))
        });
        let jobs = self.clone();
        tokio::spawn(async move {
            let outcome = match work.await {
                Ok(longest) => Outcome::Done(longest),
                Err(error) => Outcome::Failed(error.to_string()),
            };
            jobs.end(id, &outcome);
        });
        Ok(id)
    }

    /// Looks at a job, if there is one of this number.
    pub(crate) fn with<T>(&self, id: u64, look: impl FnOnce(&Job) -> T) -> Option<T> {
        self.jobs(|jobs| jobs.get(&id).map(look))
    }

    /// The progress of a job that runs. No job ends between the look at it and the subscription.
    pub(crate) fn watch(&self, id: u64, last: Option<LastEventId>) -> Result<Events<Subscription>, Refusal> {
        self.jobs(|jobs| match jobs.get(&id) {
            Some(Job::Runs(topic)) => {
                let progress =
                    Subscribe::to(topic.name()).start(Start::Snapshot).lag(LagPolicy::Conflate).resume_after(last);
                Ok(self.hub.subscribe(progress)?.into())
            }
            Some(Job::Ended(_)) => Err(Refusal::stop()),
            None => Err(Refusal::status(StatusCode::NOT_FOUND)),
        })
    }

    /// The result is told to all who watch, and is there for all who come later.
    fn end(&self, id: u64, outcome: &Outcome) {
        self.jobs(|jobs| {
            let before = jobs.insert(id, Job::Ended(outcome.clone()));
            if let Some(Job::Runs(topic)) = before {
                topic.close(Event::tagged(outcome).ok());
            }
        });
    }

    /// A place for one more. The oldest results go.
    fn admit(&self, jobs: &mut BTreeMap<u64, Job>) -> Option<(u64, Topic)> {
        let is_running = |job: &Job| matches!(job, Job::Runs(_));
        if jobs.values().filter(|job| is_running(job)).count() >= RUNNING {
            return None;
        }
        let oldest = jobs.iter().find(|(_, job)| !is_running(job)).map(|(&id, _)| id);
        if let Some(oldest) = oldest.filter(|_| jobs.len() >= KEPT) {
            jobs.remove(&oldest);
        }
        let id = jobs.last_key_value().map_or(1, |(&last, _)| last + 1);
        let topic = self.hub.topic(format!("job/{id}")).ok()?;
        jobs.insert(id, Job::Runs(topic.clone()));
        Some((id, topic))
    }

    fn jobs<T>(&self, f: impl FnOnce(&mut BTreeMap<u64, Job>) -> T) -> T {
        f(&mut self.jobs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for Jobs {
    fn default() -> Self {
        // Only the newest of each job is of use to anybody.
        let hub = Hub::builder().retention(Retention::new().events(1).keys(1)).build();
        Self { hub, jobs: Arc::default() }
    }
}

/// From the thread that does the work, which waits for nobody.
fn publish(topic: &Topic, percent: u64, so_far: Longest) {
    let progress = Progress { percent, so_far, watchers: topic.presence().count() };
    if let Ok(event) = Event::builder().name(event_name!("progress")).json(&progress) {
        topic.publish_keyed("progress", event);
    }
}

/// Each has a thread for itself.
const RUNNING: usize = 4;

const KEPT: usize = 1000;
