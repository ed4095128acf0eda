//! The routes, and what they share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::HeaderName,
    middleware,
    response::Html,
    routing::{get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{MissedTickBehavior, interval};
use tower_sse::{
    Event,
    hub::{Hub, Topic, TopicError},
    streams::Streams,
};

use crate::{STATUS_EVERY, client, health, live, notes, session, session::Sessions, settings::Settings};

/// What all requests share.
pub(crate) struct App {
    pub(crate) hub: Hub,
    /// What everybody may see.
    pub(crate) status: Topic,
    /// What everybody who is logged in may see.
    pub(crate) notes: Topic,
    pub(crate) streams: Streams,
    pub(crate) streams_limit: usize,
    pub(crate) sessions: Sessions,
    pub(crate) address_header: Option<HeaderName>,
    pub(crate) prometheus: PrometheusHandle,
    is_leaving: AtomicBool,
}

impl App {
    pub(crate) fn new(settings: &Settings, prometheus: PrometheusHandle) -> Result<Self, TopicError> {
        let hub = Hub::new();
        Ok(Self {
            status: hub.topic(live::STATUS)?,
            notes: hub.topic(live::NOTES)?,
            hub,
            streams: Streams::builder()
                .total(settings.streams)
                .per_key(settings.streams_per_client)
                .opens_per_key(settings.opens_per_minute, Duration::from_secs(60))
                .build(),
            streams_limit: settings.streams,
            sessions: Sessions::new(settings),
            address_header: settings.address_header.clone(),
            prometheus,
            is_leaving: AtomicBool::new(false),
        })
    }

    /// From here on the process is not ready.
    pub(crate) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Tells everybody how many there are. By a key: only the newest counts.
    pub(crate) async fn publish_status(self: Arc<Self>) {
        let mut ticks = interval(STATUS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let status = format!(r#"{{"streams":{}}}"#, self.streams.open());
            let event = Event::builder().name(live::STATUS_EVENT).data(status);
            self.status.publish_keyed("streams", event);
        }
    }
}

pub(crate) fn router(app: &Arc<App>, settings: &Settings) -> Router {
    Router::new()
        .route("/", get(Html(PAGE)))
        .route("/events", live::route(app, settings))
        .route("/me", get(session::who))
        .route("/login", post(session::log_in))
        .route("/logout", post(session::log_out))
        .route("/notes", post(notes::publish))
        .layer(DefaultBodyLimit::max(16 << 10))
        .layer(middleware::from_fn_with_state(Arc::clone(app), client::tell))
        // Whoever asks these has no session, and no time.
        .merge(health::routes())
        .with_state(Arc::clone(app))
}

const PAGE: &str = include_str!("../page.html");
