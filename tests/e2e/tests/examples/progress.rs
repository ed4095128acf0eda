use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tower_sse::decode::{EventReader, Message};
use tower_sse_e2e::example::Example;

use crate::support::{assert_page, events, get, get_events, json, next, send, send_body, text};

#[tokio::test]
async fn location_of_a_started_job_has_its_page() {
    let jobs = Jobs::start().await;
    assert_page(jobs.0.url("/"), "tower-sse: progress").await;
    let job = jobs.post(LONG).await;
    assert_page(jobs.0.url(&job), "tower-sse: progress").await;
}

#[tokio::test]
async fn all_watchers_receive_progress_and_the_result_last() {
    let jobs = Jobs::start().await;
    for watcher in jobs.three_watchers().await {
        let mut told = watched(watcher).await;
        let last = told.pop().unwrap();
        assert_eq!(last.name().unwrap().as_str(), "done");
        let result: Value = serde_json::from_str(last.data()).unwrap();
        let percents: Vec<_> = told.iter().map(percent).collect();
        assert!(percents.is_sorted_by(|a, b| a < b), "{percents:?}");
        let all = told.last().map_or(Value::Null, |event| serde_json::from_str(event.data()).unwrap());
        assert_eq!((&all["percent"], &all["so_far"]), (&json!(100), &result));
    }
}

#[tokio::test]
async fn late_watcher_receives_the_current_progress() {
    let jobs = Jobs::start().await;
    let job = jobs.post(LONG).await;
    let mut early = jobs.watch(&job).await;
    let seen = until_percent(&mut early, 3).await;
    let mut late = jobs.watch(&job).await;
    let present = next_progress(&mut late).await;
    assert!(percent(&present) >= percent(&seen), "{present:?} after {seen:?}");
    // The stream continues, with the number of watchers.
    let on = next_progress(&mut late).await;
    assert!(percent(&on) > percent(&present), "{on:?} after {present:?}");
}

#[tokio::test]
async fn resuming_watcher_receives_only_the_current_progress() {
    let jobs = Jobs::start().await;
    let job = jobs.post(LONG).await;
    let mut watcher = jobs.watch(&job).await;
    let left_at = next_progress(&mut watcher).await;
    let meanwhile = until_percent(&mut watcher, percent(&left_at) + 3).await;
    let id = left_at.id().unwrap().as_str();
    let mut back = events(send(get_events(jobs.0.url(&job)).header("last-event-id", id)).await);
    let first = next(&mut back).await.unwrap();
    assert_eq!(first.name().unwrap().as_str(), "progress");
    assert!(percent(&first) >= percent(&meanwhile), "{first:?} after {meanwhile:?}");
}

#[tokio::test]
async fn finished_job_has_a_result_and_no_stream() {
    let jobs = Jobs::start().await;
    let job = jobs.post(100).await;
    let stream = send(get_events(jobs.0.url(&job))).await;
    if stream.status() == StatusCode::OK {
        let told = watched(events(stream)).await;
        assert_eq!(told.last().unwrap().name().unwrap().as_str(), "done");
    }
    assert_eq!(send(get_events(jobs.0.url(&job))).await.status(), StatusCode::NO_CONTENT);
    let result = json(send(get(jobs.0.url(&format!("{job}/result")))).await).await;
    assert_eq!(result, json!({ "done": { "below": 100, "number": 97, "steps": 118 } }));
}

#[tokio::test]
async fn running_job_has_no_result() {
    let jobs = Jobs::start().await;
    let job = jobs.post(LONG).await;
    let response = send(get(jobs.0.url(&format!("{job}/result")))).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(text(response).await, "null");
}

#[tokio::test]
async fn unknown_job_is_not_found() {
    let jobs = Jobs::start().await;
    for path in ["/jobs/1", "/jobs/x", "/jobs/18446744073709551616"] {
        assert_eq!(send(get_events(jobs.0.url(path))).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/jobs/1", "/jobs/1/result"] {
        assert_eq!(send(get(jobs.0.url(path))).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn invalid_job_is_refused_with_a_reason() {
    let jobs = Jobs::start().await;
    for below in ["", "1", "-2", "ten", "100000001", "18446744073709551616"] {
        let response = send_body(Request::post(jobs.0.url("/jobs")), below).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{below}");
        assert_eq!(text(response).await, "give a number from 2 to 100000000\n");
    }
}

#[tokio::test]
async fn number_of_running_jobs_is_limited() {
    let jobs = Jobs::start().await;
    for _ in 0..4 {
        jobs.post(LONG).await;
    }
    let response = send_body(Request::post(jobs.0.url("/jobs")), &LONG.to_string()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

struct Jobs(Example);

impl Jobs {
    async fn start() -> Self {
        Self(Example::start("progress").await.unwrap())
    }

    /// Starts a job and returns its path.
    async fn post(&self, below: u64) -> String {
        let response = send_body(Request::post(self.0.url("/jobs")), &below.to_string()).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    async fn watch(&self, job: &str) -> EventReader<Incoming> {
        events(send(get_events(self.0.url(job))).await)
    }

    /// Three watchers of the same job. A job that ends before they have joined is replaced by a longer one.
    async fn three_watchers(&self) -> [EventReader<Incoming>; 3] {
        let mut below = LONG / 1000;
        loop {
            let url = self.0.url(&self.post(below).await);
            let streams = [send(get_events(&url)).await, send(get_events(&url)).await, send(get_events(&url)).await];
            if streams.iter().all(|stream| stream.status() == StatusCode::OK) {
                return streams.map(events);
            }
            below = LONG.min(below * 2);
        }
    }
}

/// Reads everything to the end, but for the first position.
async fn watched(mut stream: EventReader<Incoming>) -> Vec<Message> {
    let mut told = Vec::new();
    while let Some(event) = next(&mut stream).await {
        told.push(event);
    }
    assert_eq!(told.remove(0).name().unwrap().as_str(), "subscribed");
    told
}

async fn next_progress(stream: &mut EventReader<Incoming>) -> Message {
    loop {
        let event = next(stream).await.expect("the job goes on");
        if event.name().is_some_and(|name| name.as_str() == "progress") {
            return event;
        }
    }
}

async fn until_percent(stream: &mut EventReader<Incoming>, at_least: u64) -> Message {
    loop {
        let event = next_progress(stream).await;
        if percent(&event) >= at_least {
            return event;
        }
    }
}

fn percent(event: &Message) -> u64 {
    serde_json::from_str::<Value>(event.data()).unwrap()["percent"].as_u64().unwrap()
}

/// Longer than any test.
const LONG: u64 = 100_000_000;
