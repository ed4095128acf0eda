//! Checks of authorization while a stream is open.
//!
//! A stream can stay open for longer than the authorization that it began with. An [`AccessCheck`] runs at a period of
//! its own, whether the stream is idle or busy, with or without a heartbeat. A check that waits does not delay events
//! until its [timeout](AccessCheck::timeout). Then the [decision for a timeout](AccessCheck::on_timeout) applies.
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{SseLayer, access::{AccessCheck, AccessDecision}};
//!
//! # async fn is_valid(_: Option<String>) -> bool { true }
//! let layer = SseLayer::decorate().access(AccessCheck::every(Duration::from_secs(60), |head| {
//!     let cookie = head.headers().get("cookie").and_then(|cookie| Some(cookie.to_str().ok()?.to_owned()));
//!     async move {
//!         if is_valid(cookie).await { AccessDecision::Allow } else { AccessDecision::Revoke("the session is over".into()) }
//!     }
//! }));
//! ```

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    future::Future,
    iter,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    negotiate::request_head::{OwnedHead, RequestHead},
    panic,
    time::deadline::saturating_deadline,
};

/// A check of access that is repeated while a stream is open. Added to a layer by
/// [`SseLayer::access`](crate::SseLayer::access).
#[derive(Clone)]
#[must_use = "a check does nothing until it is added to a layer"]
pub struct AccessCheck {
    period: Duration,
    timeout: Duration,
    on_timeout: AccessDecision,
    check: Arc<Check>,
}

/// The decision of a check of access.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessDecision {
    /// Lets the stream continue.
    Allow,
    /// Ends the stream for this reason. Observers receive the reason; the client does not. The end has the form of
    /// [`EarlyEnd`](crate::EarlyEnd).
    Revoke(Cow<'static, str>),
}

/// The error that observers receive if access was revoked. It displays as the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRevoked(pub(crate) Arc<str>);

type Check = dyn Fn(&RequestHead<'_>) -> Answer + Send + Sync;
type Answer = Pin<Box<dyn Future<Output = AccessDecision> + Send>>;

impl AccessCheck {
    /// Creates a check that runs at this period, of at least a millisecond. It receives the head of the stream's
    /// request, which the stream keeps for it. The first check runs one period after the stream opens.
    ///
    /// Return [`std::future::ready`] from a check that does not wait.
    pub fn every<F, Fut>(period: Duration, check: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = AccessDecision> + Send + 'static,
    {
        Self {
            period: period.max(Duration::from_millis(1)),
            timeout: Duration::from_secs(10),
            on_timeout: AccessDecision::Revoke(Cow::Borrowed("access check timed out")),
            check: Arc::new(move |head| Box::pin(check(head))),
        }
    }

    /// Sets how long a check may take. Defaults to 10 s.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets the decision for a check that takes too long or panics. Defaults to [`Revoke`](AccessDecision::Revoke): the
    /// client reconnects, and is authorized like a new one.
    pub fn on_timeout(mut self, decision: AccessDecision) -> Self {
        self.on_timeout = decision;
        self
    }
}

impl AccessCheck {
    /// Returns `true` if both are the same check, with the same settings.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let Self { period, timeout, on_timeout, check } = self;
        Arc::ptr_eq(check, &other.check)
            && (*period, *timeout, on_timeout) == (other.period, other.timeout, &other.on_timeout)
    }
}

impl AccessRevoked {
    pub(crate) fn new(reason: &str) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for AccessRevoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for AccessRevoked {}

impl fmt::Debug for AccessCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessCheck")
            .field("period", &self.period)
            .field("timeout", &self.timeout)
            .field("on_timeout", &self.on_timeout)
            .finish_non_exhaustive()
    }
}

/// The checks of one stream, as a linked list with one node for each layer.
pub(crate) struct Checks {
    access: Arc<AccessCheck>,
    head: Arc<OwnedHead>,
    next: Instant,
    /// The check that is running, and the end of its timeout. The mutex is never locked: it makes the body `Sync` if
    /// its stream is, also with a future that is not.
    in_flight: Option<(Mutex<Answer>, Instant)>,
    /// The check of the next layer.
    others: Option<Box<Self>>,
}

impl Checks {
    /// Creates the checks of a stream that opens now. The first runs in a period, since the event service has
    /// authorized the client.
    pub(crate) fn new(access: &Arc<AccessCheck>, head: &Arc<OwnedHead>) -> Box<Self> {
        let next = saturating_deadline(Instant::now(), access.period);
        Box::new(Self { access: Arc::clone(access), head: Arc::clone(head), next, in_flight: None, others: None })
    }

    /// Appends the checks of another layer.
    pub(crate) fn append(mut list: &mut Option<Box<Self>>, checks: Box<Self>) {
        while let Some(node) = list {
            list = &mut node.others;
        }
        *list = Some(checks);
    }

    /// Drops the checks for which `keep` returns `false`.
    pub(crate) fn retain(list: &mut Option<Box<Self>>, keep: impl Fn(&Arc<AccessCheck>) -> bool) {
        let mut next = list.take();
        while let Some(mut node) = next {
            next = node.others.take();
            if keep(&node.access) {
                Self::append(list, node);
            }
        }
    }

    /// Returns the time of the next poll that is needed without a wake: of the next check, or of a timeout.
    pub(crate) fn next_deadline(&self) -> Instant {
        let deadline = |checks: &Self| checks.in_flight.as_ref().map_or(checks.next, |&(_, limit)| limit);
        let others = iter::successors(self.others.as_deref(), |checks| checks.others.as_deref());
        others.map(deadline).fold(deadline(self), Instant::min)
    }

    /// Starts the checks that are due, and polls those that run. Returns the cause if access is revoked.
    pub(crate) fn poll(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<AccessRevoked> {
        let mut next = Some(self);
        while let Some(checks) = next {
            let revoked = checks.poll_one(now, cx);
            if revoked.is_some() {
                return revoked;
            }
            next = checks.others.as_deref_mut();
        }
        None
    }

    fn poll_one(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<AccessRevoked> {
        if self.in_flight.is_none() && self.next <= now {
            let started = panic::catch(|| (self.access.check)(&self.head.head()));
            self.in_flight = match started {
                Some(answer) => Some((Mutex::new(answer), saturating_deadline(now, self.access.timeout))),
                None => return self.decide(self.access.on_timeout.clone(), now),
            };
        }
        let (answer, limit) = self.in_flight.as_mut()?;
        let answer = answer.get_mut().unwrap_or_else(PoisonError::into_inner);
        let decision = match panic::catch(|| answer.as_mut().poll(cx)) {
            Some(Poll::Ready(decision)) => decision,
            Some(Poll::Pending) if now < *limit => return None,
            Some(Poll::Pending) | None => self.access.on_timeout.clone(),
        };
        self.decide(decision, now)
    }

    /// Drops the future of the check that is running. Its destructor is the user's code and may panic, too.
    fn cancel(&mut self) {
        let in_flight = self.in_flight.take();
        panic::catch(|| drop(in_flight));
    }

    fn decide(&mut self, decision: AccessDecision, now: Instant) -> Option<AccessRevoked> {
        self.cancel();
        self.next = saturating_deadline(now, self.access.period);
        match decision {
            AccessDecision::Allow => None,
            AccessDecision::Revoke(reason) => Some(AccessRevoked::new(&reason)),
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks").field("access", &self.access).field("next", &self.next).finish_non_exhaustive()
    }
}
