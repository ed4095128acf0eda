//! The jobs: a topic for each running one, and the outcomes of those that have ended.

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

/// The progress of a running job.
#[derive(Serialize)]
struct Progress {
    percent: u64,
    so_far: Longest,
    watchers: usize,
}

/// The outcome of a job. The variant is the event's name.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Done(Longest),
    Failed(String),
}

/// The limit of running jobs is reached.
pub(crate) struct Refused;

impl Jobs {
    /// Starts a job, which runs with or without watchers.
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

    /// Calls `look` with the job of this number. Returns `None` if there is none.
    pub(crate) fn with<T>(&self, id: u64, look: impl FnOnce(&Job) -> T) -> Option<T> {
        self.jobs(|jobs| jobs.get(&id).map(look))
    }

    /// Subscribes to a running job. The lock is held from the look-up to the subscription, so that the job cannot end
    /// between.
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

    /// Publishes the outcome to all watchers, and keeps it for later requests.
    fn end(&self, id: u64, outcome: &Outcome) {
        self.jobs(|jobs| {
            let before = jobs.insert(id, Job::Ended(outcome.clone()));
            if let Some(Job::Runs(topic)) = before {
                topic.close(Event::tagged(outcome).ok());
            }
        });
    }

    /// Admits one more job, if there is room. Drops the oldest outcomes.
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
        // Only the newest event of each job is read.
        let hub = Hub::builder().retention(Retention::new().events(1).keys(1)).build();
        Self { hub, jobs: Arc::default() }
    }
}

/// Publishes from the worker thread, which never waits for readers.
fn publish(topic: &Topic, percent: u64, so_far: Longest) {
    let progress = Progress { percent, so_far, watchers: topic.presence().count() };
    if let Ok(event) = Event::builder().name(event_name!("progress")).json(&progress) {
        topic.publish_keyed("progress", event);
    }
}

/// The limit of running jobs, each of which has a thread.
const RUNNING: usize = 4;

const KEPT: usize = 1000;
