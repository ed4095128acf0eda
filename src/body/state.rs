//! What a running stream knows of itself, beside its source and its timer.

use crate::event::encode::PRELUDE;
use std::{error::Error, pin::Pin, sync::Arc, task::Waker, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    access::Checks,
    error::BoxError,
    event::{boundary::Boundary, chunk::Chunk, encode, gap::Gap},
    observe::{Reason, Sent},
    settings::{
        EarlyEnd, OnDrain, StreamSettings,
        heartbeat::{self, COMMENT, Heartbeat},
    },
    streams::{
        attached::{Client, Tighter},
        control::StreamControl,
        end_cause::EndCause,
    },
    time::jitter,
};

use super::{
    abort::{Abort, EarlyEndError, Held},
    attach::MarkedStream,
    deadlines::Deadline,
    source::{Beat, PollSource},
};

/// How far a stream has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing was polled yet.
    Prelude,
    /// Events go out.
    Open,
    /// It is to end, and waits for the end of the event that it is in.
    Ending(Box<Ending>),
    /// These bytes are the last.
    Last(Box<Bytes>),
    /// After the last bytes comes an error.
    Aborting(Box<Abort>),
    /// All is said.
    Done,
}

/// Why a stream is to end, and until when it waits for the end of its event.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) why: EndCause,
    pub(super) until: Instant,
}

/// The record, the settings, and the phase. What most streams have no need of has a box of its own.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(super) record: Arc<StreamControl>,
    pub(super) settings: Arc<StreamSettings>,
    /// When it ends at the latest.
    pub(super) end: Option<Box<Deadline>>,
    pub(super) checks: Option<Box<Checks>>,
    /// The demands of outer layers.
    tighter: Option<Box<Tighter>>,
    client: Client,
    /// No bytes may be added to those of the source.
    is_sealed: bool,
    /// An early end may have no bytes of its own, and has to wait for those before.
    tracks_frames: bool,
    /// The last frame of a stream that tracks its frames.
    last_frame: Option<Arc<Held>>,
    /// Neither the stream nor a layer has set a heartbeat.
    has_default_heartbeat: bool,
    /// Those outside know what the source is to others.
    holds: bool,
    /// The task that is woken by the record, and by the timer.
    pub(super) task: Option<Waker>,
    /// How many bytes of large events were given since it last had nothing, or paused.
    pub(super) burst_bytes: u32,
}

impl State {
    /// A stream with these settings. What layers ask of it stands in its record.
    pub(crate) fn new(settings: Arc<StreamSettings>, record: Arc<StreamControl>, client: Client) -> Self {
        Self {
            phase: Phase::Prelude,
            record,
            settings,
            end: None,
            checks: None,
            tighter: None,
            client,
            is_sealed: false,
            tracks_frames: false,
            last_frame: None,
            has_default_heartbeat: false,
            holds: false,
            task: None,
            burst_bytes: 0,
        }
    }

    /// Has nothing added to the bytes of the source. An early end is an abort then.
    pub(crate) fn seal(&mut self) {
        self.is_sealed = true;
    }

    pub(crate) fn record(&self) -> &StreamControl {
        &self.record
    }

    /// The stream begins: its first bytes. Sent with the head, since Firefox fires `open` at the first byte.
    pub(crate) fn begin(&mut self) -> Option<Bytes> {
        self.phase = Phase::Open;
        let own_retry = self.settings.retry;
        let has_begun = self.take_attached();
        if self.is_sealed || self.settings.omits_comments() {
            return None;
        }
        if has_begun {
            return own_retry.map(|retry| retry_line(retry, b""));
        }
        Some(match self.settings.retry {
            None => Bytes::from_static(PRELUDE),
            Some(retry) => retry_line(retry, PRELUDE),
        })
    }

    /// Takes what layers that met the stream after its first poll have attached. Its prelude and its `retry:` are out.
    pub(super) fn take_attached_later(&mut self) {
        if std::mem::take(&mut self.has_default_heartbeat) {
            Arc::make_mut(&mut self.settings).heartbeat = None;
        }
        self.take_attached();
        // What the timer waits for may be sooner.
        self.task = None;
    }

    /// Takes what layers have attached to the record. Returns whether a prelude is out already.
    fn take_attached(&mut self) -> bool {
        let mut has_begun = false;
        if let Some(attached) = self.record.take_attached() {
            if let Some(below) = &attached.below {
                self.settings = (*self.settings).clone().over(below);
                self.client = attached.client;
            }
            if let Some(checks) = attached.checks {
                Checks::append(&mut self.checks, checks);
            }
            if attached.tighter.is_any() {
                let tighter = self.tighter.get_or_insert_default();
                tighter.tighten(attached.tighter.ends_at, attached.tighter.leaves);
                tighter.opened = tighter.opened.or(attached.tighter.opened);
            }
            has_begun = attached.has_begun;
        }
        if self.settings.heartbeat.is_none() {
            self.has_default_heartbeat = true;
            Arc::make_mut(&mut self.settings).heartbeat = Some(Heartbeat::default());
        }
        self.take_settings();
        has_begun
    }

    /// A late answer has settings of its own. The `retry:` among them is still to be said.
    pub(crate) fn answered(&mut self, own: StreamSettings, stream: Option<&MarkedStream>) -> Option<Bytes> {
        let retry = own.retry.map(|retry| retry_line(retry, b""));
        self.settings = own.over(&self.settings);
        let retry = retry.filter(|_| !self.settings.omits_comments());
        self.take_settings();
        if let Some((marked, record)) = stream.and_then(|marked| Some((marked, marked.record()?))) {
            self.hand_over(&record, marked);
        }
        retry
    }

    /// Leaves what is left to do and to tell to a stream of this crate's that was answered: it knows how it ends.
    fn hand_over(&mut self, record: &Arc<StreamControl>, marked: &MarkedStream) {
        let is_bare = marked.is_bare();
        let mut tighter = self.tighter.take().map_or_else(Tighter::default, |tighter| *tighter);
        if is_bare {
            tighter.opened = Some(self.record.opened());
        } else {
            tighter.tighten(self.end.as_ref().map(|end| end.at), self.settings.on_drain == Some(OnDrain::Leave));
        }
        Checks::retain(&mut self.checks, |access| !marked.has_access(access));
        record.attach(|attached| {
            // A layer that it has met is the innermost, and has attached its own.
            if is_bare {
                attached.below = Some(Arc::clone(&self.settings));
                attached.client = self.client;
            }
            attached.tighter.tighten(tighter.ends_at, tighter.leaves);
            attached.tighter.opened = attached.tighter.opened.or(tighter.opened);
            attached.has_begun = true;
            if let Some(checks) = self.checks.take() {
                Checks::append(&mut attached.checks, checks);
            }
        });
        record.succeed(&self.record);
        self.end = None;
        // An error that this stream gives is meant for the client.
        let comments = self.settings.comments.unwrap_or_default();
        let settings = StreamSettings::new().heartbeat(Heartbeat::off()).comments(comments);
        // A drain that has begun is asked of the other stream, too.
        self.settings = Arc::new(settings.early_end(EarlyEnd::Abort).on_drain(OnDrain::Finish));
        self.tracks_frames = self.may_abort_without_bytes();
    }

    /// Takes from the settings what is looked at often, or from outside.
    fn take_settings(&mut self) {
        self.tracks_frames = self.may_abort_without_bytes();
        let tighter = self.tighter.as_deref();
        let opened = tighter.and_then(|tighter| tighter.opened).unwrap_or(self.record.opened());
        let lifetime = self.settings.lifetime.map(jitter::shorter);
        let lifetime = lifetime.and_then(|lifetime| opened.checked_add(lifetime));
        let deadline = self.settings.deadline.map(|at| Deadline { at, is_lifetime: false });
        let lifetimes = [lifetime, tighter.and_then(|tighter| tighter.ends_at)];
        let lifetime = lifetimes.into_iter().flatten().min().map(|at| Deadline { at, is_lifetime: true });
        self.end = [deadline, lifetime].into_iter().flatten().min_by_key(|end| end.at).map(Box::new);
        self.record.set_finishes(self.finishes());
    }

    /// Returns whether a drain is to let the stream come to its end.
    pub(super) fn finishes(&self) -> bool {
        self.settings.on_drain == Some(OnDrain::Finish) && !self.tighter.as_ref().is_some_and(|tighter| tighter.leaves)
    }

    /// Returns the heartbeat, if there may be one: not where nothing can be added, and no comment where there are none.
    fn heartbeat(&self) -> Option<&Heartbeat> {
        let heartbeat = self.settings.heartbeat.as_ref().filter(|_| !self.is_sealed)?;
        (!self.settings.omits_comments() || !heartbeat.is_comment()).then_some(heartbeat)
    }

    /// When the timer has to look again.
    pub(crate) fn next_deadline(&self, last_frame: Instant) -> Option<Instant> {
        let beat = self.heartbeat().and_then(|beat| beat.next(last_frame));
        [beat, self.next_time()].into_iter().flatten().min()
    }

    /// The heartbeat, if it is time.
    pub(crate) fn heartbeat_due(&self, now: Instant) -> Option<Beat> {
        let last = self.record.last_frame();
        let bytes = self.heartbeat()?.due(last, now)?.clone();
        let comment = if self.client.counts_frames { heartbeat::LONG_COMMENT } else { COMMENT };
        let bytes = if bytes == COMMENT { comment.clone() } else { bytes };
        Some(Beat { bytes, comment: Some(comment).filter(|_| !self.settings.omits_comments()) })
    }

    /// A frame goes out.
    pub(crate) fn sent(&mut self, bytes: &Bytes, events: u64, heartbeats: u64) {
        self.record.note_frame(Instant::now());
        if let Some(outside) = self.record.outside() {
            outside.sent(Sent { events, bytes: bytes.len() as u64, heartbeats, gaps: 0 });
        }
    }

    /// Returns the bytes of a frame, tracked if an early end may have to wait for them.
    pub(crate) fn tracked(&mut self, bytes: Bytes) -> Bytes {
        if !self.tracks_frames {
            return bytes;
        }
        let (bytes, held) = Held::track(bytes);
        self.last_frame = Some(held);
        bytes
    }

    /// A source that gives something may be somebody to others. Who stops reading has been given a frame, so that is when
    /// whoever acts for it has to know.
    pub(crate) fn hold_for(&mut self, source: Pin<&mut impl PollSource>) {
        let Some(outside) = self.record.outside().filter(|_| !self.holds) else { return };
        if let Some(by_source) = source.detach_handle() {
            outside.hold_detach(by_source);
            self.holds = true;
        }
    }

    /// The client is told that it has missed something.
    pub(crate) fn lagged(&self, gap: &Gap) {
        if let Some(outside) = self.record.outside() {
            outside.lagged(gap);
        }
    }

    /// The stream is to end, and its source is within nothing.
    pub(crate) fn end(&mut self, why: &EndCause, place: Boundary) {
        let last = match why {
            EndCause::Deadline | EndCause::Lifetime | EndCause::Stalled => self.reconnect_hint(),
            EndCause::Drain => self.spread_reconnect_hint(&[]),
            EndCause::DrainDeadline => {
                let Chunk { bytes, events } = self.failed(place);
                Chunk { events, ..self.spread_reconnect_hint(&bytes) }
            }
            EndCause::Revoked(_) => Chunk::NONE,
        };
        self.end_early(why.reason(), why.clone().into_error(), last, place);
    }

    /// Returns whether an early end aborts the stream.
    pub(crate) fn aborts(&self) -> bool {
        if self.is_sealed {
            return true;
        }
        match self.settings.early_end.unwrap_or_default() {
            EarlyEnd::ByMethod => self.client.reads_answers,
            EarlyEnd::Close => false,
            EarlyEnd::Abort => true,
        }
    }

    /// Returns whether an early end aborts the stream and may have no bytes of its own.
    fn may_abort_without_bytes(&self) -> bool {
        (self.is_sealed || self.settings.omits_comments()) && self.aborts()
    }

    /// The stream is over before its source, but for these bytes, and perhaps an error.
    pub(crate) fn end_early(&mut self, reason: Reason, error: Option<BoxError>, last: Chunk, place: Boundary) {
        if !self.aborts() {
            self.finish(reason, error.as_deref(), last);
            return;
        }
        // By the last bytes it is known when those before have left, so there are some if there may be.
        let last = match last {
            _ if self.is_sealed => Chunk::NONE,
            last if last.bytes.is_empty() => Chunk { bytes: self.no_op_bytes(place), events: 0 },
            last => last,
        };
        self.finish(reason, error.as_deref(), last);
        let last = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Last(bytes) => *bytes,
            _ => Bytes::new(),
        };
        let error = error.unwrap_or_else(|| EarlyEndError::new(reason).into());
        self.phase = Phase::Aborting(Box::new(Abort::new(last, self.last_frame.take(), error)));
    }

    /// The stream is over, but for these bytes.
    pub(crate) fn finish(&mut self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>, last: Chunk) {
        let Chunk { bytes, events } = last;
        self.phase = Phase::Done;
        self.checks = None;
        if !bytes.is_empty() {
            self.sent(&bytes, events, 0);
            self.phase = Phase::Last(Box::new(bytes));
        }
        self.close(reason, error);
    }

    /// Returns bytes that change nothing for a client, where the stream has come to.
    fn no_op_bytes(&self, place: Boundary) -> Bytes {
        match place {
            Boundary::BetweenEvents | Boundary::LineStart if self.settings.omits_comments() => Bytes::new(),
            Boundary::BetweenEvents | Boundary::LineStart => COMMENT,
            _ => Bytes::from_static(place.line_end()),
        }
    }

    /// What a client that shall come back is told last: to wait a little, not all for the same time.
    pub(crate) fn reconnect_hint(&self) -> Chunk {
        let retry = jitter::longer(self.settings.retry.unwrap_or(DEFAULT_RECONNECT));
        Chunk { bytes: self.last_retry(retry, b""), events: 0 }
    }

    /// The same for all clients of a drain, which are many.
    fn spread_reconnect_hint(&self, before: &[u8]) -> Chunk {
        let retry = self.settings.retry.unwrap_or(DEFAULT_RECONNECT);
        let retry = jitter::up_to(retry, self.record.spread());
        Chunk { bytes: self.last_retry(retry, before), events: 0 }
    }

    fn last_retry(&self, retry: Duration, before: &[u8]) -> Bytes {
        let mut buffer = before.to_vec();
        encode::put_last_retry(retry, self.settings.last_retry.unwrap_or_default(), &mut buffer);
        buffer.into()
    }

    /// The last bytes of a stream that failed where it had come to: the line is closed, then the last event, if there is
    /// to be one, behind a blank line.
    pub(crate) fn failed(&self, place: Boundary) -> Chunk {
        let line_end = place.line_end();
        let Some(event) = &self.settings.on_failure else {
            return Chunk { bytes: Bytes::from_static(line_end), events: 0 };
        };
        let blank_line: &[u8] = match place.after(line_end) {
            Boundary::BetweenEvents => b"",
            _ => b"\n",
        };
        Chunk { bytes: [line_end, blank_line, &event.encode()].concat().into(), events: 1 }
    }

    /// The body is gone before its end.
    pub(crate) fn dropped(&mut self) {
        self.close(self.record.drop_reason(), None);
    }

    fn close(&self, reason: Reason, error: Option<&(dyn Error + Send + Sync + 'static)>) {
        self.record.close(reason, error);
    }
}

fn retry_line(retry: Duration, before: &[u8]) -> Bytes {
    let mut buffer = before.to_vec();
    encode::put_retry(retry, &mut buffer);
    buffer.into()
}

/// For a client that was told no `retry:`. About what browsers do by themselves.
const DEFAULT_RECONNECT: Duration = Duration::from_secs(3);
