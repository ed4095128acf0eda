//! An observer that records its callbacks.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_sse::{
    Refusal, RequestHead,
    hub::Gap,
    observe::{Closed, Observer, Sent, StreamObserver},
};

/// All callbacks, a line each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recording(Arc<Mutex<Vec<String>>>);

impl Recording {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the lines of ends.
    pub(crate) fn closed(&self) -> Vec<String> {
        self.lines().iter().filter_map(|line| line.strip_prefix("closed ").map(String::from)).collect()
    }

    fn write(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Observer for Recording {
    fn opened(&self, head: &RequestHead<'_>) -> Option<Box<dyn StreamObserver>> {
        self.write(format!("opened {} {}", head.method(), head.uri()));
        Some(Box::new(self.clone()))
    }

    fn refused(&self, head: &RequestHead<'_>, refusal: &Refusal) {
        let source = refusal.source().map_or(String::new(), |source| format!(", {source}"));
        self.write(format!("refused {} {}{source}", head.method(), refusal.status_for(head.method())));
    }
}

impl StreamObserver for Recording {
    fn first_event(&mut self, after: Duration) {
        self.write(format!("first event after {} ms", after.as_millis()));
    }

    fn sent(&mut self, sent: &Sent) {
        self.write(format!("sent {}", counts(sent)));
    }

    fn lagged(&mut self, _: &Gap) {
        self.write(String::from("lagged"));
    }

    fn closed(&mut self, closed: &Closed<'_>) {
        let error = closed.error.map_or(String::new(), |error| format!(", {error}"));
        let millis = closed.duration.as_millis();
        self.write(format!("closed {} after {millis} ms: {}{error}", closed.reason, counts(&closed.totals)));
    }
}

fn counts(sent: &Sent) -> String {
    format!("{} events, {} bytes, {} heartbeats", sent.events, sent.bytes, sent.heartbeats)
}
