//! What a running stream knows of itself, beside its source and its timer.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    Heartbeat, Reason, StreamSettings,
    body::{
        place::Place,
        record::Record,
        slot::{Attach, Slot},
        source::Chunk,
    },
    encode,
    hub::Gap,
    jitter,
    observe::{Observed, Sent},
    refusal::PRELUDE,
};

/// How far a stream has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing was polled yet. A layer may have left something in the slot.
    Prelude(Option<Arc<Slot>>),
    /// Events go out.
    Open,
    /// It is to end, and waits for the end of the event that it is in.
    Ending(Reason, Instant),
    /// These bytes are the last.
    Last(Bytes),
    /// All is said.
    Done,
}

/// The record, the settings, who looks, and the phase.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    record: Arc<Record>,
    settings: Arc<StreamSettings>,
    observed: Option<Box<Observed>>,
}

impl State {
    pub(crate) fn new(settings: Arc<StreamSettings>, observed: Option<Box<Observed>>) -> Self {
        Self { phase: Phase::Prelude(None), record: Arc::new(Record::new()), settings, observed }
    }

    /// A stream without a layer, so far.
    pub(crate) fn with_slot(settings: StreamSettings, slot: Arc<Slot>) -> Self {
        Self { phase: Phase::Prelude(Some(slot)), ..Self::new(Arc::new(settings), None) }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The stream begins: its first bytes. Sent with the head, since Firefox fires `open` at the first byte.
    pub(crate) fn begin(&mut self) -> Option<Bytes> {
        let slot = match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Prelude(slot) => slot,
            _ => None,
        };
        let own_retry = self.settings.retry;
        let attached = slot.and_then(|slot| slot.take());
        let begun = matches!(attached, Some(Attach::Spliced(..)));
        if let Some(Attach::Layer(settings, observed) | Attach::Spliced(settings, observed)) = attached {
            self.settings = (*self.settings).clone().over(&settings);
            self.observed = observed;
        }
        if self.settings.heartbeat.is_none() {
            self.set_heartbeat(Heartbeat::default());
        }
        if begun {
            return own_retry.map(|retry| retry_line(retry, b""));
        }
        Some(match self.settings.retry {
            None => Bytes::from_static(PRELUDE),
            Some(retry) => retry_line(retry, PRELUDE),
        })
    }

    /// A late answer has settings of its own. The `retry:` among them is still to be said.
    pub(crate) fn answered(&mut self, own: StreamSettings, slot: Option<Arc<Slot>>) -> Option<Bytes> {
        let retry = own.retry.map(|retry| retry_line(retry, b""));
        self.settings = own.over(&self.settings);
        if let Some(slot) = slot {
            // What is left to do and to tell is up to the stream that has the slot: it knows how it ends.
            slot.fill(Attach::Spliced(Arc::clone(&self.settings), self.observed.take()));
            self.set_heartbeat(Heartbeat::off());
        }
        retry
    }

    fn set_heartbeat(&mut self, heartbeat: Heartbeat) {
        let settings = (*self.settings).clone();
        self.settings = Arc::new(settings.heartbeat(heartbeat));
    }

    /// Why the stream is to end now, if it is.
    pub(crate) fn over(&self) -> Option<Reason> {
        let deadline = || self.settings.deadline.is_some_and(|at| at <= Instant::now());
        self.record.asked().or_else(|| deadline().then_some(Reason::Deadline))
    }

    /// Whether the timer fired for an end, rather than for a heartbeat.
    pub(crate) fn is_time(&self, now: Instant) -> bool {
        self.end().is_some_and(|at| at <= now)
    }

    /// When the stream ends at the latest.
    fn end(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ending(_, until) => Some(until),
            _ => self.settings.deadline,
        }
    }

    /// When the timer has to look again.
    pub(crate) fn next_look(&self, last_frame: Instant) -> Option<Instant> {
        let beat = self.settings.heartbeat.as_ref().and_then(|beat| beat.next(last_frame));
        [beat, self.end()].into_iter().flatten().min()
    }

    /// The heartbeat, if it is time.
    pub(crate) fn heartbeat_due(&self, now: Instant) -> Option<Bytes> {
        let last = self.record.last_frame();
        self.settings.heartbeat.as_ref().and_then(|beat| beat.due(last, now)).cloned()
    }

    /// A frame goes out.
    pub(crate) fn sent(&mut self, bytes: &Bytes, events: u64, heartbeats: u64) {
        self.record.gave_frame(Instant::now());
        if let Some(observed) = &mut self.observed {
            let sent = Sent { events, bytes: bytes.len() as u64, heartbeats };
            observed.sent(sent);
        }
    }

    /// The client is told that it has missed something.
    pub(crate) fn lagged(&mut self, gap: &Gap) {
        if let Some(observed) = &mut self.observed {
            observed.lagged(gap);
        }
    }

    /// The stream is over, but for these bytes.
    pub(crate) fn finish(&mut self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>, last: Chunk) {
        let Chunk { bytes, events } = last;
        self.phase = Phase::Done;
        if !bytes.is_empty() {
            self.sent(&bytes, events, 0);
            self.phase = Phase::Last(bytes);
        }
        self.close(reason, error);
    }

    /// What a client that shall come back is told last: to wait a little, not all for the same time.
    pub(crate) fn come_back(&self) -> Chunk {
        let retry = jitter::at_least(self.settings.retry.unwrap_or(COME_BACK_AFTER));
        Chunk { bytes: retry_line(retry, b""), events: 0 }
    }

    /// The last bytes of a stream that failed where it had come to: the line is closed, then the last event, if there is
    /// to be one, behind a blank line.
    pub(crate) fn failed(&self, place: Place) -> Chunk {
        let line_end = place.line_end();
        let Some(event) = &self.settings.on_failure else {
            return Chunk { bytes: Bytes::from_static(line_end), events: 0 };
        };
        let blank_line: &[u8] = match place.after(line_end) {
            Place::Between => b"",
            _ => b"\n",
        };
        Chunk { bytes: [line_end, blank_line, &event.encode()].concat().into(), events: 1 }
    }

    /// The body is gone before its end.
    pub(crate) fn dropped(&mut self) {
        if let Phase::Prelude(Some(slot)) = &self.phase {
            if let Some(Attach::Layer(_, observed) | Attach::Spliced(_, observed)) = slot.take() {
                self.observed = observed;
            }
        }
        let reason = self.record.why_dropped();
        self.close(reason, None);
    }

    fn close(&mut self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        if let Some(observed) = self.observed.take() {
            observed.closed(reason, error);
        }
    }
}

fn retry_line(retry: Duration, before: &[u8]) -> Bytes {
    let mut buffer = before.to_vec();
    encode::put_retry(retry, &mut buffer);
    buffer.into()
}

/// For a client that was told no `retry:`. About what browsers do by themselves.
const COME_BACK_AFTER: Duration = Duration::from_secs(3);
