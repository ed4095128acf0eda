//! The routes, and their shared state.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::StatusCode,
    middleware::{self, Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tower_sse::{
    Event,
    hub::{Hub, Topic, TopicError},
    observe::Metrics,
    streams::Streams,
};

use crate::{
    STATUS_EVERY,
    client::{self, Proxies},
    health, live, notes,
    posts::{self, Posts},
    session,
    session::Sessions,
    settings::Settings,
};

/// The state that all requests share.
pub(crate) struct App {
    pub(crate) hub: Hub,
    /// The public topic.
    pub(crate) status: Topic,
    /// The topic of all logged-in users.
    pub(crate) notes: Topic,
    pub(crate) streams: Streams,
    pub(crate) streams_limit: usize,
    pub(crate) sessions: Sessions,
    pub(crate) posts: Posts,
    pub(crate) proxies: Option<Proxies>,
    pub(crate) metrics: Metrics,
    pub(crate) prometheus: PrometheusHandle,
    is_leaving: AtomicBool,
}

impl App {
    pub(crate) fn new(settings: &Settings, prometheus: PrometheusHandle) -> Result<Self, TopicError> {
        // Each stream may belong to another user, with a topic for each.
        let hub = Hub::builder().max_topics(settings.streams.saturating_add(TOPICS)).build();
        Ok(Self {
            status: hub.topic(live::STATUS)?,
            notes: hub.topic(live::NOTES)?,
            hub,
            streams: Streams::builder()
                .max_streams(settings.streams)
                .max_per_key(settings.streams_per_client)
                .rate_limit_per_key(settings.opens_per_minute, Duration::from_secs(60))
                // Tuned sockets buffer little, so a short timeout is enough.
                .stall_timeout(Duration::from_secs(30))
                .build(),
            streams_limit: settings.streams,
            sessions: Sessions::new(settings),
            posts: Posts::new(settings.posts_per_minute),
            proxies: settings.proxies.clone(),
            metrics: Metrics::new(),
            prometheus,
            is_leaving: AtomicBool::new(false),
        })
    }

    /// Marks the process as not ready.
    pub(crate) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Publishes the number of streams, with a key: only the newest counts.
    pub(crate) async fn publish_status(self: Arc<Self>) {
        let mut ticks = interval(STATUS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let status = format!(r#"{{"streams":{}}}"#, self.streams.len());
            let event = Event::builder().name(live::STATUS_EVENT).data(status);
            self.status.publish_keyed("streams", event);
            self.posts.sweep();
        }
    }
}

pub(crate) fn router(app: &Arc<App>, settings: &Settings) -> Router {
    let by_address = from_fn_with_state(Arc::clone(app), posts::by_address);
    let by_client = from_fn_with_state(Arc::clone(app), posts::by_client);
    let request = settings.request;
    Router::new()
        .route("/", get(Html(PAGE)))
        .route("/me", get(session::who))
        .route("/login", post(session::log_in).layer(by_address))
        .route("/logout", post(session::log_out).layer(by_client.clone()))
        .route("/notes", post(notes::publish).layer(by_client))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(move |asked: Request, next: Next| in_time(request, asked, next)))
        // A stream sends its head at once, and its body has no limit.
        .route("/events", live::route(app, settings))
        .layer(from_fn_with_state(Arc::clone(app), client::identify))
        // Probes have no session, and must be answered at once.
        .merge(health::routes())
        .with_state(Arc::clone(app))
}

/// Answers 408 if a request is not received and answered within this time.
async fn in_time(limit: Duration, request: Request, next: Next) -> Response {
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

/// Room for topics that no stream holds: the shared ones, and those of absent users with notes.
const TOPICS: usize = 1000;

/// The largest body: enough for a note, which is kept in memory.
const BODY: usize = 4 << 10;

const PAGE: &str = include_str!("../page.html");
