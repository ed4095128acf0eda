//! The server's view: each request for events, and the end of each stream.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use http::{Request, Version};
use tokio::sync::watch;
use tower_sse::{
    LastEventId, RequestHead,
    observe::{Closed, Observer, Reason, Sent, StreamObserver},
};

/// A request for events.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) at: Instant,
    pub(crate) version: Version,
    /// The header, as bytes.
    pub(crate) header: Option<Vec<u8>>,
    /// The last event id, from the header or the query.
    pub(crate) last_event_id: Option<LastEventId>,
}

/// A stream that has ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) path: String,
    pub(crate) at: Instant,
    pub(crate) reason: Reason,
}

/// All visits, as they are recorded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visits {
    log: Arc<Mutex<Log>>,
    heartbeats: Arc<watch::Sender<u64>>,
    count: Arc<watch::Sender<usize>>,
}

#[derive(Debug, Default)]
struct Log {
    visits: Vec<Visit>,
    ends: Vec<End>,
    open: usize,
    most_open: usize,
}

impl Visits {
    /// Records a request. Returns its number among those for its path, from 0.
    pub(crate) fn note<B>(&self, request: &Request<B>) -> usize {
        let visit = Visit {
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            at: Instant::now(),
            version: request.version(),
            header: request.headers().get("last-event-id").map(|value| value.as_bytes().to_vec()),
            last_event_id: LastEventId::of(request),
        };
        let number = self.of(&visit.path).len();
        self.log(|log| log.visits.push(visit));
        self.count.send_modify(|count| *count += 1);
        number
    }

    /// Returns the requests for this path.
    pub(crate) fn of(&self, path: &str) -> Vec<Visit> {
        self.log(|log| log.visits.iter().filter(|visit| visit.path == path).cloned().collect())
    }

    /// Returns the ends of this path's streams.
    pub(crate) fn ends(&self, path: &str) -> Vec<End> {
        self.log(|log| log.ends.iter().filter(|end| end.path == path).cloned().collect())
    }

    /// Returns the largest number of streams of [`COUNTED`] that were open at once.
    pub(crate) fn most_open(&self) -> usize {
        self.log(|log| log.most_open)
    }

    /// Waits until this path was requested so many times.
    pub(crate) async fn until(&self, path: &str, number: usize) {
        let mut changed = self.count.subscribe();
        // The sender lives as long as `self`.
        let _ = changed.wait_for(|_| self.of(path).len() >= number).await;
    }

    /// Waits until so many more heartbeats of [`BEATING`] were sent.
    pub(crate) async fn heartbeats(&self, number: u64) {
        let mut beats = self.heartbeats.subscribe();
        let until = *beats.borrow_and_update() + number;
        let _ = beats.wait_for(|&count| count >= until).await;
    }

    fn log<T>(&self, f: impl FnOnce(&mut Log) -> T) -> T {
        f(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Visits {
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        let path = head.uri().path().to_owned();
        if path == COUNTED {
            self.log(|log| {
                log.open += 1;
                log.most_open = log.most_open.max(log.open);
            });
        }
        Some(Box::new(Stream { path, visits: self.clone() }))
    }
}

struct Stream {
    path: String,
    visits: Visits,
}

impl StreamObserver for Stream {
    fn sent(&mut self, sent: &Sent) {
        if self.path == BEATING {
            self.visits.heartbeats.send_modify(|count| *count += sent.heartbeats);
        }
    }

    fn closed(&mut self, closed: &Closed<'_>) {
        let end = End { path: self.path.clone(), at: Instant::now(), reason: closed.reason };
        self.visits.log(|log| {
            log.open -= usize::from(end.path == COUNTED);
            log.ends.push(end);
        });
    }
}

/// The path whose heartbeats are counted.
pub(crate) const BEATING: &str = "/events/comments";

/// The path whose open streams are counted.
pub(crate) const COUNTED: &str = "/events/many";
