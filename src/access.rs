//! Whether a client may still see what it sees: a look at it again, while the stream is open.
//!
//! A stream may be open for longer than the permission that it began with. [`AccessCheck`] asks again, at a period of its own,
//! whether the stream is idle or busy and whether its heartbeat is on or off. A check that takes its time holds up no event
//! until its [time limit](AccessCheck::timeout); then its [answer on expiry](AccessCheck::on_timeout) holds.
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
    any::Any,
    borrow::Cow,
    error::Error,
    fmt,
    future::Future,
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    negotiate::request_head::{OwnedHead, RequestHead},
    time::deadline::saturating_deadline,
};

/// A check of access, and when it is made.
#[derive(Clone)]
#[must_use = "it checks nothing until a layer has it"]
pub struct AccessCheck {
    period: Duration,
    time_limit: Duration,
    on_expiry: AccessDecision,
    check: Arc<Check>,
}

/// What a check of access comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessDecision {
    /// The stream goes on.
    Allow,
    /// Ends the stream for this reason, which is given to observers and not to the client. The end has the form of
    /// [`EarlyEnd`](crate::EarlyEnd).
    Revoke(Cow<'static, str>),
}

/// Access was withdrawn, for this reason: the error that an observer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRevoked(pub(crate) Arc<str>);

type Check = dyn Fn(&RequestHead<'_>) -> Answer + Send + Sync;
type Answer = Pin<Box<dyn Future<Output = AccessDecision> + Send>>;

impl AccessCheck {
    /// A check at this period. It gets the head of the request that the stream is an answer to, kept for it. Below a
    /// millisecond the period is a millisecond.
    ///
    /// A check that needs not wait answers with [`std::future::ready`].
    pub fn every<F, Fut>(period: Duration, check: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = AccessDecision> + Send + 'static,
    {
        Self {
            period: period.max(Duration::from_millis(1)),
            time_limit: Duration::from_secs(10),
            on_expiry: AccessDecision::Revoke(Cow::Borrowed("the check of access did not answer")),
            check: Arc::new(move |head| Box::pin(check(head))),
        }
    }

    /// How long a check may take. Default 10 s.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// What holds when a check takes too long, or panics. Default: access is withdrawn; the client comes back and is asked
    /// as a new one.
    pub fn on_timeout(mut self, verdict: AccessDecision) -> Self {
        self.on_expiry = verdict;
        self
    }
}

impl AccessCheck {
    /// Returns whether both are the same check, made in the same way.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let Self { period, time_limit, on_expiry, check } = self;
        Arc::ptr_eq(check, &other.check)
            && (*period, *time_limit, on_expiry) == (other.period, other.time_limit, &other.on_expiry)
    }
}

impl AccessRevoked {
    pub(crate) fn new(why: &str) -> Self {
        Self(why.into())
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
        f.debug_struct("Access")
            .field("period", &self.period)
            .field("time_limit", &self.time_limit)
            .field("on_expiry", &self.on_expiry)
            .finish_non_exhaustive()
    }
}

/// The checks of one stream.
pub(crate) struct Checks {
    access: Arc<AccessCheck>,
    head: Arc<OwnedHead>,
    next: Instant,
    /// One that has not answered, and when its time is over. Nobody waits for the lock: it makes the body `Sync`, where its
    /// stream is, and a check need not be.
    under_way: Option<(Mutex<Answer>, Instant)>,
    /// The checks of another layer.
    others: Option<Box<Self>>,
}

impl Checks {
    /// The first is a period from now: the event service has seen to it that the client may begin.
    pub(crate) fn new(access: &Arc<AccessCheck>, head: &Arc<OwnedHead>) -> Box<Self> {
        let next = saturating_deadline(Instant::now(), access.period);
        Box::new(Self { access: Arc::clone(access), head: Arc::clone(head), next, under_way: None, others: None })
    }

    /// Appends the checks of another layer.
    pub(crate) fn append(mut list: &mut Option<Box<Self>>, checks: Box<Self>) {
        while let Some(node) = list {
            list = &mut node.others;
        }
        *list = Some(checks);
    }

    /// Drops the checks that are not to be kept.
    pub(crate) fn retain(list: &mut Option<Box<Self>>, keep: impl Fn(&Arc<AccessCheck>) -> bool) {
        let mut next = list.take();
        while let Some(mut node) = next {
            next = node.others.take();
            if keep(&node.access) {
                Self::append(list, node);
            }
        }
    }

    /// When to look again, if nobody wakes before.
    pub(crate) fn next_look(&self) -> Instant {
        let look = |checks: &Self| checks.under_way.as_ref().map_or(checks.next, |&(_, limit)| limit);
        let others = iter::successors(self.others.as_deref(), |checks| checks.others.as_deref());
        others.map(look).fold(look(self), Instant::min)
    }

    /// Why access is withdrawn, if it is. Begins a check when it is time.
    pub(crate) fn poll(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<AccessRevoked> {
        let mut next = Some(self);
        while let Some(checks) = next {
            let withdrawn = checks.poll_one(now, cx);
            if withdrawn.is_some() {
                return withdrawn;
            }
            next = checks.others.as_deref_mut();
        }
        None
    }

    fn poll_one(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<AccessRevoked> {
        if self.under_way.is_none() && self.next <= now {
            let begun = caught(|| (self.access.check)(&self.head.head()));
            self.under_way = match begun {
                Ok(answer) => Some((Mutex::new(answer), saturating_deadline(now, self.access.time_limit))),
                Err(_) => return self.verdict(self.access.on_expiry.clone(), now),
            };
        }
        let (answer, limit) = self.under_way.as_mut()?;
        let answer = answer.get_mut().unwrap_or_else(PoisonError::into_inner);
        let verdict = match caught(|| answer.as_mut().poll(cx)) {
            Ok(Poll::Ready(verdict)) => verdict,
            Ok(Poll::Pending) if now < *limit => return None,
            Ok(Poll::Pending) | Err(_) => self.access.on_expiry.clone(),
        };
        self.verdict(verdict, now)
    }

    /// Drops what is under way: its destructor is the user's too.
    fn let_go(&mut self) {
        let under_way = self.under_way.take();
        let _ = caught(|| drop(under_way));
    }

    fn verdict(&mut self, verdict: AccessDecision, now: Instant) -> Option<AccessRevoked> {
        self.let_go();
        self.next = saturating_deadline(now, self.access.period);
        match verdict {
            AccessDecision::Allow => None,
            AccessDecision::Revoke(why) => Some(AccessRevoked::new(&why)),
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks").field("access", &self.access).field("next", &self.next).finish_non_exhaustive()
    }
}

/// A panic of the user's is an answer that did not come.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(call))
}
