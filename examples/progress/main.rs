//! A long job, started by a POST, and its progress for any number of watchers.
//!
//! ```sh
//! cargo run --example progress
//! curl -i -d 20000000 http://127.0.0.1:3000/jobs      # answers with the job's address
//! curl -N -H 'accept: text/event-stream' http://127.0.0.1:3000/jobs/1
//! curl http://127.0.0.1:3000/jobs/1/result
//! ```
//!
//! A late watcher sees the current progress; one that was away receives the latest event, not each step. The last event is
//! the result, and ends the stream. Later requests for events are answered with 204, so that a browser does not reconnect.

mod collatz;
mod jobs;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::{Request, StatusCode, header::LOCATION},
    response::{Html, IntoResponse},
    routing::{get, post},
};
use tokio::net::TcpListener;
use tower_sse::{BoxError, Events, LastEventId, Refusal, SseLayer, hub::Subscription};

use crate::jobs::{Job, Jobs, Refused};

async fn start(State(jobs): State<Jobs>, below: String) -> Result<impl IntoResponse, (StatusCode, &'static str)> {
    let below = below.trim().parse().ok().filter(|below| (2..=MOST).contains(below));
    let below = below.ok_or((StatusCode::BAD_REQUEST, "give a number from 2 to 100000000\n"))?;
    let id = jobs.start(below).map_err(|Refused| (StatusCode::SERVICE_UNAVAILABLE, "too many jobs are running\n"))?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/jobs/{id}"))]))
}

/// Serves the page of a job, running or ended.
async fn page(State(jobs): State<Jobs>, Path(id): Path<u64>) -> Result<Html<&'static str>, StatusCode> {
    jobs.with(id, |_| Html(PAGE)).ok_or(StatusCode::NOT_FOUND)
}

/// Serves the outcome of a job that has ended.
async fn result(State(jobs): State<Jobs>, Path(id): Path<u64>) -> Result<impl IntoResponse, StatusCode> {
    let outcome = jobs.with(id, |job| match job {
        Job::Runs(_) => None,
        Job::Ended(outcome) => Some(outcome.clone()),
    });
    match outcome.ok_or(StatusCode::NOT_FOUND)? {
        Some(outcome) => Ok((StatusCode::OK, Json(Some(outcome)))),
        None => Ok((StatusCode::ACCEPTED, Json(None))),
    }
}

async fn watch(jobs: Jobs, request: Request<Body>) -> Result<Events<Subscription>, Refusal> {
    let id = request.uri().path().strip_prefix("/jobs/").and_then(|id| id.parse().ok());
    let last = LastEventId::of(&request);
    jobs.watch(id.ok_or(StatusCode::NOT_FOUND)?, last)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let jobs = Jobs::default();
    let live = SseLayer::from_fn({
        let jobs = jobs.clone();
        move |request| watch(jobs.clone(), request)
    });
    let app = Router::new()
        .route("/", get(Html(PAGE)))
        .route("/jobs", post(start))
        .route("/jobs/{id}", get(page).layer(live))
        .route("/jobs/{id}/result", get(result))
        .with_state(jobs);

    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// The largest bound: about half a minute of one core.
const MOST: u64 = 100_000_000;

const PAGE: &str = include_str!("page.html");
