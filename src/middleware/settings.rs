//! The settings of a layer, and its choice of requests.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use http::{Method, Request};

use crate::{
    access::AccessCheck,
    body::attach::MetLayer,
    negotiate::{
        accept::{self, Decision, Negotiate},
        request_head::RequestHead,
    },
    observe::Observer,
    settings::{Comments, StreamSettings, heartbeat::Heartbeat},
    streams::{error::AdmissionError, registry::StreamRegistry},
};

/// The settings of a layer, shared by the services that it creates.
#[derive(Clone)]
pub(crate) struct LayerSettings {
    pub(crate) decorates: bool,
    pub(crate) negotiate: Negotiate,
    pub(crate) methods: Arc<[Method]>,
    pub(crate) predicate: Option<Predicate>,
    /// Matches requests that `decorate` admits before the inner service is called.
    pub(crate) expects: Option<Predicate>,
    pub(crate) omits_comments: Option<Predicate>,
    pub(crate) last_event_id_query: Option<Arc<str>>,
    pub(crate) commit: Commit,
    pub(crate) stream: Arc<StreamSettings>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
    pub(crate) streams: Option<Arc<StreamRegistry>>,
    pub(crate) key: Option<KeyFn>,
    pub(crate) access: Option<Arc<AccessCheck>>,
}

/// The time after which a head is sent without an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Commit {
    Default,
    After(Duration),
    Never,
}

pub(crate) type KeyFn = Arc<dyn Fn(&RequestHead<'_>) -> Option<Arc<str>> + Send + Sync>;

pub(crate) type Predicate = Arc<dyn Fn(&RequestHead<'_>) -> bool + Send + Sync>;

impl MetLayer for LayerSettings {
    fn observers(&self) -> &[Arc<dyn Observer>] {
        &self.observers
    }

    fn access(&self) -> Option<&Arc<AccessCheck>> {
        self.access.as_ref()
    }
}

impl LayerSettings {
    pub(crate) fn new(decorates: bool) -> Self {
        Self {
            decorates,
            negotiate: Negotiate::default(),
            methods: Arc::new([Method::GET, Method::HEAD]),
            predicate: None,
            expects: None,
            omits_comments: None,
            last_event_id_query: None,
            commit: Commit::Default,
            stream: Arc::new(StreamSettings::new().heartbeat(Heartbeat::default())),
            observers: Vec::new(),
            streams: None,
            key: None,
            access: None,
        }
    }

    /// Returns the key of a request, if the layer counts streams and has a key function.
    ///
    /// Errors if that function panics: without its key a stream cannot be counted, and the panic must not reach the other requests
    /// of the connection.
    pub(crate) fn stream_key(&self, head: &RequestHead<'_>) -> Result<Option<Arc<str>>, AdmissionError> {
        let (Some(_), Some(key)) = (&self.streams, &self.key) else { return Ok(None) };
        catch_unwind(AssertUnwindSafe(|| key(head))).map_err(|_| AdmissionError::KeyPanicked)
    }

    /// Returns whether the head of a request shows that the inner service will answer it with a stream.
    pub(crate) fn expects_stream(&self, head: &RequestHead<'_>) -> bool {
        let is_event_source = head.method() == Method::GET && accept::is_event_stream_alone(head.headers());
        is_event_source || self.expects.as_ref().is_some_and(|expects| expects(head))
    }

    /// Returns the settings for a request with this head.
    pub(crate) fn for_request(self: &Arc<Self>, head: &RequestHead<'_>) -> Arc<Self> {
        match &self.omits_comments {
            Some(omits) if omits(head) => {
                let stream = Arc::new((*self.stream).clone().comments(Comments::Omit));
                Arc::new(Self { stream, ..(**self).clone() })
            }
            _ => Arc::clone(self),
        }
    }

    pub(crate) fn commit_after(&self) -> Option<Duration> {
        match self.commit {
            Commit::After(deadline) => Some(deadline),
            // A client that did not ask for a stream must not get one because its answer takes long.
            Commit::Default if self.negotiate == Negotiate::Always => None,
            Commit::Default => Some(COMMIT_AFTER),
            Commit::Never => None,
        }
    }

    /// Returns the service that a request goes to, and whether its `Accept` was consulted.
    pub(crate) fn decide<B>(&self, request: &Request<B>) -> (Decision, bool) {
        let head = RequestHead::new(request);
        let is_candidate =
            self.methods.contains(head.method()) && self.predicate.as_ref().is_none_or(|fits| fits(&head));
        if is_candidate {
            (self.negotiate.decide(head.headers()), self.negotiate.depends_on_accept())
        } else {
            (Decision::Inner, false)
        }
    }
}

impl fmt::Debug for LayerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerSettings")
            .field("decorates", &self.decorates)
            .field("negotiate", &self.negotiate)
            .field("methods", &self.methods)
            .field("predicate", &self.predicate.is_some())
            .field("expects", &self.expects.is_some())
            .field("omits_comments", &self.omits_comments.is_some())
            .field("last_event_id_query", &self.last_event_id_query)
            .field("commit", &self.commit)
            .field("stream", &self.stream)
            .field("observers", &self.observers.len())
            .field("streams", &self.streams.is_some())
            .field("key", &self.key.is_some())
            .field("access", &self.access)
            .finish()
    }
}

/// Shorter than the time that proxies wait for a first byte, and as long as the default heartbeat period.
const COMMIT_AFTER: Duration = Duration::from_secs(15);
