//! The README's and the documentation's statements on the routes of an app, tested as stated.

use std::{fs, path::Path, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, Response, StatusCode},
    middleware::{Next, from_fn},
    routing::get,
};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_sse::{BoxError, Event, Events, Negotiate, Reply, Source, SseLayer};

const README: &str = include_str!("../../README.md");

fn events() -> Events<impl Source> {
    Events::every(Duration::from_secs(1), || async { Event::new("tick") })
}

async fn ask(app: &Router, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(path).header("accept", "text/event-stream");
    for &(name, value) in headers {
        request = request.header(name, value);
    }
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn is_stream(response: &Response<Body>) -> bool {
    response.headers().get("content-type").is_some_and(|value| value == "text/event-stream")
}

/// An authentication that accepts one name.
async fn auth(request: axum::extract::Request, next: Next) -> Result<Response<Body>, StatusCode> {
    if request.headers().get("x-user").is_some_and(|user| user == "ann") {
        Ok(next.run(request).await)
    } else {
        Err(StatusCode::UNAUTHORIZED)
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_served_at_their_route_only() {
    assert!(README.contains(r#".route("/events", get(StatusCode::NOT_ACCEPTABLE).layer(events))"#));
    let layer = SseLayer::from_fn(|_request| async { events() });
    let app = Router::new().route("/", get("the page")).route("/events", get(StatusCode::NOT_ACCEPTABLE).layer(layer));
    assert!(is_stream(&ask(&app, "/events", &[]).await));
    for (path, status) in [("/", 200), ("/nowhere", 404)] {
        let response = ask(&app, path, &[]).await;
        assert!(!is_stream(&response), "{path}");
        assert_eq!(response.status(), status, "{path}");
    }
    let page = app.oneshot(Request::get("/events").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(page.status(), 406, "refused, as the request does not accept events");
}

#[tokio::test(start_paused = true)]
async fn a_routes_stream_passes_the_routers_authentication() {
    let layer = SseLayer::from_fn(|_request| async { events() });
    let app = Router::new().route("/events", get(StatusCode::NOT_ACCEPTABLE).layer(layer)).route_layer(from_fn(auth));
    assert_eq!(ask(&app, "/events", &[]).await.status(), 401);
    assert!(is_stream(&ask(&app, "/events", &[("x-user", "ann")]).await));
}

#[tokio::test(start_paused = true)]
async fn layer_around_a_router_serves_events_at_each_path() {
    let layer = || SseLayer::from_fn(|_request| async { events() });
    let app = || Router::new().route("/", get("the page")).route_layer(from_fn(auth));
    for path in ["/", "/nowhere"] {
        assert!(is_stream(&ask(&app().layer(layer()), path, &[]).await), "{path}");
    }
    let app = app().layer(layer().when(|head| head.uri().path() == "/events"));
    assert!(is_stream(&ask(&app, "/events", &[]).await));
    assert_eq!(ask(&app, "/", &[]).await.status(), 401);
    assert_eq!(ask(&app, "/nowhere", &[]).await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn post_requests_events_by_its_body() {
    assert!(README.contains("`.methods([Method::POST]).negotiate(Negotiate::Always)`, and return a `Reply`"));
    let layer = SseLayer::from_fn(|request: Request<Body>| async {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, BoxError>(match &body[..] {
            b"stream" => Reply::Events(events()),
            _ => Reply::Response(Response::new(String::from("an answer"))),
        })
    })
    .methods([Method::POST])
    .negotiate(Negotiate::Always);
    let app = Router::new().route("/", get("the page").layer(layer));
    let answer = async |method: Method, body: &'static str| {
        let request = Request::builder().method(method).uri("/").body(Body::from(body)).unwrap();
        app.clone().oneshot(request).await.unwrap()
    };
    assert!(is_stream(&answer(Method::POST, "stream").await));
    for (method, body, text) in [(Method::POST, "whole", "an answer"), (Method::GET, "", "the page")] {
        let answer = answer(method, body).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), text);
    }
}

/// The examples are complete when copied, but for a runtime and what stands for the reader's own code.
#[test]
fn no_example_hides_an_import() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut directories = vec![root.join("src"), root.join("docs")];
    let mut files = vec![root.join("README.md")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    assert!(files.len() > 50, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines() {
            let line = line.trim_start().trim_start_matches(['/', '!']).trim_start();
            assert!(!line.starts_with("# use "), "{}: {line}", file.display());
        }
    }
}
