//! Provides the settings in effect for a stream: its own over those of its layer, and the limits that its bytes set.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{last_bytes::LastBytes, source::Beat};
use crate::{
    event::encode::{self, PRELUDE},
    settings::{
        EarlyEnd, OnDrain, StreamSettings,
        heartbeat::{self, COMMENT, Heartbeat},
    },
    streams::attached::ClientProfile,
    time::{alarm::Alarm, jitter},
};

/// The settings in effect for a stream.
#[derive(Debug)]
pub(super) struct EffectiveSettings {
    settings: Arc<StreamSettings>,
    client: ClientProfile,
    /// No bytes may be added to those of the source.
    is_sealed: bool,
}

impl EffectiveSettings {
    pub(super) fn new(settings: Arc<StreamSettings>, client: ClientProfile) -> Self {
        Self { settings, client, is_sealed: false }
    }

    /// Forbids to add bytes to those of the source. Each early end is an abort then.
    pub(super) fn seal(&mut self) {
        self.is_sealed = true;
    }

    /// Puts the settings over those of the innermost layer, which also knows the client.
    pub(super) fn set_layer(&mut self, layer: &Arc<StreamSettings>, client: ClientProfile) {
        self.settings = (*self.settings).clone().over(layer);
        self.client = client;
    }

    /// Puts these settings over those in effect.
    pub(super) fn override_with(&mut self, own: StreamSettings) {
        self.settings = own.over(&self.settings);
    }

    /// Returns the settings and the client, and passes on each byte, error and end from here on: another stream, which
    /// has them, adds its own.
    pub(super) fn hand_over(&mut self) -> (Arc<StreamSettings>, ClientProfile) {
        let comments = self.settings.comments.unwrap_or_default();
        let passed = StreamSettings::new().heartbeat(Heartbeat::off()).comments(comments);
        // An error of the other stream is meant for the client. That stream takes part in a drain, and this one follows it.
        let passed = passed.early_end(EarlyEnd::Abort).on_drain(OnDrain::Finish);
        (std::mem::replace(&mut self.settings, Arc::new(passed)), self.client)
    }

    pub(super) fn retry(&self) -> Option<Duration> {
        self.settings.retry
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.settings.deadline
    }

    /// Returns a lifetime, up to a fifth shorter than the one that is set.
    pub(super) fn draw_lifetime(&self) -> Option<Duration> {
        self.settings.lifetime.map(jitter::shorter)
    }

    pub(super) fn on_drain(&self) -> Option<OnDrain> {
        self.settings.on_drain
    }

    pub(super) fn adds_no_comments(&self) -> bool {
        self.is_sealed || self.settings.omits_comments()
    }

    /// Returns the first bytes of the stream.
    pub(super) fn prelude(&self) -> Bytes {
        self.settings.retry.map_or(Bytes::from_static(PRELUDE), |retry| retry_line(retry, PRELUDE))
    }

    /// Returns the heartbeat, unless nothing may be added to the stream, or it is a comment and comments are omitted.
    fn heartbeat(&self) -> Option<&Heartbeat> {
        let heartbeat = self.settings.heartbeat.as_ref().unwrap_or(&heartbeat::DEFAULT);
        let is_omitted = self.is_sealed || (self.settings.omits_comments() && heartbeat.is_comment());
        (!is_omitted).then_some(heartbeat)
    }

    /// Returns the time of the next heartbeat after a frame at this time.
    pub(super) fn next_heartbeat(&self, last_frame: Instant) -> Option<Alarm> {
        self.heartbeat()?.next(last_frame)
    }

    /// Returns the heartbeat, if one is due.
    pub(super) fn heartbeat_due(&self, last_frame: Instant, now: Instant) -> Option<Beat> {
        let bytes = self.heartbeat()?.due(last_frame, now)?.clone();
        let comment = if self.client.counts_frames { heartbeat::LONG_COMMENT } else { COMMENT };
        let bytes = if bytes == COMMENT { comment.clone() } else { bytes };
        Some(Beat { bytes, comment: Some(comment).filter(|_| !self.settings.omits_comments()) })
    }

    /// Returns whether an early end aborts the stream.
    pub(super) fn aborts(&self) -> bool {
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
    pub(super) fn may_abort_without_bytes(&self) -> bool {
        self.adds_no_comments() && self.aborts()
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    pub(super) fn last_bytes(&self) -> LastBytes<'_> {
        LastBytes::new(&self.settings)
    }
}

/// Returns these bytes and a `retry:` line.
pub(super) fn retry_line(retry: Duration, before: &[u8]) -> Bytes {
    let mut buffer = before.to_vec();
    encode::put_retry(retry, &mut buffer);
    buffer.into()
}
