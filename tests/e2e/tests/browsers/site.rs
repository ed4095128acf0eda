//! The server of the browser: the page with its scripts, its messages and reports, and the layer around all of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::Request,
    response::Html,
    routing::{get, post},
};
use tokio::sync::Notify;
use tower_sse::SseLayer;

use crate::{
    recipes,
    streams::{self, Words},
    visits::Visits,
};

/// The entries of a scenario, in order: each is a name and its arguments.
pub(crate) type Report = Vec<Vec<String>>;

/// The reports of a page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) visits: Visits,
    reports: Arc<Mutex<HashMap<String, Report>>>,
    words: Words,
    /// The page has finished, or failed.
    pub(crate) done: Arc<Notify>,
}

impl Seen {
    pub(crate) fn reports(&self) -> HashMap<String, Report> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) fn router(seen: Seen) -> Router {
    let (visits, words) = (seen.visits.clone(), seen.words.clone());
    let sse = SseLayer::from_fn(move |request: Request<axum::body::Body>| {
        let number = visits.note(&request);
        let answer = streams::answer(request.uri().path(), number, &words, &visits);
        std::future::ready(answer)
    })
    .last_event_id_query("last-event-id")
    .observer(seen.visits.clone());

    Router::new()
        .route("/", get(Html(include_str!("page.html"))))
        .route("/quickstart", get(Html(include_str!("../../../../examples/quickstart.html"))))
        .route("/recipe/{name}", get(recipe))
        .route("/until/{path}/{number}", get(until))
        .route("/say/{word}", post(say))
        .route("/report/{scenario}", post(report))
        .route("/done", post(done))
        .with_state(seen)
        .layer(sse)
}

async fn recipe(Path(name): Path<String>) -> Html<String> {
    Html(recipes::page(&name))
}

/// Answers when the path below `/events/` was requested so many times.
async fn until(State(seen): State<Seen>, Path((path, number)): Path<(String, usize)>) {
    seen.visits.until(&format!("/events/{path}"), number).await;
}

async fn say(State(seen): State<Seen>, Path(word): Path<String>) {
    seen.words.say(&word);
}

async fn report(State(seen): State<Seen>, Path(scenario): Path<String>, Json(report): Json<Report>) {
    let broken = scenario == BROKEN;
    seen.reports.lock().unwrap_or_else(PoisonError::into_inner).insert(scenario, report);
    if broken {
        seen.done.notify_one();
    }
}

async fn done(State(seen): State<Seen>) {
    seen.done.notify_one();
}

/// The report of a page whose script failed.
pub(crate) const BROKEN: &str = "broken";
