//! Provides the times, checks and requests that end a stream before its source does.

use std::{sync::Arc, task::Context, time::Duration};

use tokio::time::Instant;

use crate::{
    access::{AccessCheck, Checks},
    streams::{attached::OuterLimits, control::StreamControl, end_cause::EndCause},
};

/// The limits of one stream: its deadline or lifetime, its checks of access, and its grace period once it is ending.
///
/// Most streams have none of these, so they are boxed.
#[derive(Debug, Default)]
pub(super) struct Deadlines(Option<Box<Limits>>);

#[derive(Debug, Default)]
struct Limits {
    /// The earlier of deadline and end of lifetime, or the end of the grace period.
    end: Option<Deadline>,
    checks: Option<Box<Checks>>,
    /// The limits of outer layers, which hold whatever the stream's own settings are.
    outer: Option<Box<OuterLimits>>,
}

#[derive(Debug)]
struct Deadline {
    at: Instant,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Explicit,
    Lifetime,
    /// The stream is ending for this cause, and waits for the end of the event that it is in.
    Grace(Box<EndCause>),
}

impl Deadline {
    fn cause(&self) -> EndCause {
        match &self.kind {
            Kind::Explicit => EndCause::Deadline,
            Kind::Lifetime => EndCause::Lifetime,
            Kind::Grace(cause) => (**cause).clone(),
        }
    }
}

impl Deadlines {
    /// Adds the limits and the checks of a layer.
    pub(super) fn add(&mut self, outer: &OuterLimits, checks: Option<Box<Checks>>) {
        if let Some(checks) = checks {
            Checks::append(&mut self.0.get_or_insert_default().checks, checks);
        }
        if outer.is_any() {
            let merged = self.0.get_or_insert_default().outer.get_or_insert_default();
            merged.tighten(outer.ends_at, outer.leaves);
            merged.opened = merged.opened.or(outer.opened);
        }
    }

    /// Sets the deadline, and the lifetime of a stream that was opened at this time unless an outer stream was before.
    pub(super) fn set(&mut self, deadline: Option<Instant>, lifetime: Option<Duration>, opened: Instant) {
        if self.is_in_grace() {
            return;
        }
        let outer = self.outer();
        let opened = outer.and_then(|outer| outer.opened).unwrap_or(opened);
        let own = lifetime.and_then(|lifetime| opened.checked_add(lifetime));
        let lifetime = [own, outer.and_then(|outer| outer.ends_at)].into_iter().flatten().min();
        let deadline = deadline.map(|at| Deadline { at, kind: Kind::Explicit });
        let lifetime = lifetime.map(|at| Deadline { at, kind: Kind::Lifetime });
        let end = [deadline, lifetime].into_iter().flatten().min_by_key(|end| end.at);
        if end.is_some() || self.0.is_some() {
            self.0.get_or_insert_default().end = end;
        }
    }

    fn outer(&self) -> Option<&OuterLimits> {
        self.0.as_ref()?.outer.as_deref()
    }

    fn end(&self) -> Option<&Deadline> {
        self.0.as_ref()?.end.as_ref()
    }

    /// Returns whether an outer layer has the stream end when a drain begins.
    pub(super) fn leaves_on_drain(&self) -> bool {
        self.outer().is_some_and(|outer| outer.leaves)
    }

    /// Returns the limits of outer layers, the time at which the stream ends, and the checks that are to be kept.
    pub(super) fn into_parts(
        self,
        keep: impl Fn(&Arc<AccessCheck>) -> bool,
    ) -> (OuterLimits, Option<Instant>, Option<Box<Checks>>) {
        let Limits { end, mut checks, outer } = self.0.map_or_else(Limits::default, |limits| *limits);
        Checks::retain(&mut checks, keep);
        (outer.map_or_else(OuterLimits::default, |outer| *outer), end.map(|end| end.at), checks)
    }

    /// Returns whether nothing but a request ends the stream.
    #[inline]
    pub(super) fn is_unlimited(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the next time at which something is due, without requests.
    #[inline]
    pub(super) fn next(&self) -> Option<Instant> {
        let limits = self.0.as_ref()?;
        let check = limits.checks.as_ref().map(|checks| checks.next_deadline());
        [limits.end.as_ref().map(|end| end.at), check].into_iter().flatten().min()
    }

    /// Returns the cause for which the stream is to end now. Polls checks of access that are in flight, and starts those
    /// that are due.
    pub(super) fn due(&mut self, control: &StreamControl, cx: &mut Context<'_>) -> Option<EndCause> {
        if let Some(cause) = self.requested(control) {
            return Some(cause);
        }
        let limits = self.0.as_mut()?;
        if let Some(end) = limits.end.as_ref().filter(|end| end.at <= Instant::now()) {
            return Some(end.cause());
        }
        let revoked = limits.checks.as_mut()?.poll(Instant::now(), cx)?;
        Some(EndCause::Revoked(revoked))
    }

    /// Returns the cause for which a drain, the watchdog or the end of a key requests the end of the stream.
    pub(super) fn requested(&self, control: &StreamControl) -> Option<EndCause> {
        let requested = control.requested_end()?;
        if let Some(cause) = self.grace() {
            // The deadline of a drain cuts the grace period short, unless that began with it.
            let is_cut = matches!(requested, EndCause::DrainDeadline) && !matches!(cause, EndCause::DrainDeadline);
            return is_cut.then(|| cause.clone());
        }
        match requested {
            EndCause::Drain if control.finishes() => None,
            // The stream was to end when the drain began, and was not polled in between.
            EndCause::DrainDeadline if !control.finishes() => Some(EndCause::Drain),
            cause => Some(cause),
        }
    }

    /// Starts the grace period of a stream that is to end for this cause, and is within an event.
    pub(super) fn start_grace(&mut self, cause: EndCause) {
        let grace = if matches!(cause, EndCause::DrainDeadline) { GRACE_AT_DRAIN_DEADLINE } else { GRACE };
        let limits = self.0.get_or_insert_default();
        limits.checks = None;
        limits.end = Some(Deadline { at: Instant::now() + grace, kind: Kind::Grace(Box::new(cause)) });
    }

    /// Returns the cause for which the stream is ending, within its grace period.
    pub(super) fn grace(&self) -> Option<&EndCause> {
        match &self.end()?.kind {
            Kind::Grace(cause) => Some(cause),
            Kind::Explicit | Kind::Lifetime => None,
        }
    }

    pub(super) fn is_in_grace(&self) -> bool {
        self.grace().is_some()
    }
}

/// The longest wait for the end of the event that an ending stream is in.
const GRACE: Duration = Duration::from_secs(5);

/// The same at the deadline of a drain, which leaves a second for all streams.
const GRACE_AT_DRAIN_DEADLINE: Duration = Duration::from_millis(500);
