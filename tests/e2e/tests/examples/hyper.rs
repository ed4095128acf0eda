use http::StatusCode;
use serde_json::Value;
use tower_sse_e2e::example::Example;

use crate::support::{assert_page, events, get, get_events, next, send};

#[tokio::test]
async fn inner_service_serves_the_page() {
    let example = Example::start("hyper").await.unwrap();
    assert_page(example.url("/"), "tower-sse: a job").await;
    assert_eq!(send(get_events(example.url("/other"))).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(send(get(example.url("/other"))).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn job_sends_each_step_and_its_end() {
    let mut example = Example::start("hyper").await.unwrap();
    let mut stream = events(send(get_events(example.url("/"))).await);
    let mut steps = 0;
    loop {
        let event = next(&mut stream).await.expect("the job is finished before the stream ends");
        let data: Value = serde_json::from_str(event.data()).unwrap();
        if event.name().unwrap().as_str() == "finished" {
            assert_eq!(event.id().unwrap().as_str(), "finished");
            assert_eq!(data["letters"].as_u64(), Some(130));
            break;
        }
        steps += 1;
        assert_eq!(event.name().unwrap().as_str(), "step");
        assert_eq!(data["done"], steps);
        assert!(steps <= data["of"].as_i64().unwrap());
    }
    assert!(next(&mut stream).await.is_none());
    example.line("a job is finished").await.unwrap();
}

#[tokio::test]
async fn client_that_received_the_end_gets_204() {
    let example = Example::start("hyper").await.unwrap();
    let again = get_events(example.url("/")).header("last-event-id", "finished");
    assert_eq!(send(again).await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_job_stops_when_its_client_leaves() {
    let mut example = Example::start("hyper").await.unwrap();
    let mut stream = events(send(get_events(example.url("/"))).await);
    next(&mut stream).await.unwrap();
    drop(stream);
    assert_eq!(example.line("a job ").await.unwrap(), "stops: the client has left");
}
