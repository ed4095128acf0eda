use std::time::Duration;

use futures_util::StreamExt;
use tower_sse::decode::Item;
use tower_sse_e2e::example::Example;

use crate::support::{assert_page, events, get_events, get_page, next_json, send, within};

#[tokio::test]
async fn page_and_stream_have_one_address() {
    let example = Example::start("quickstart").await.unwrap();
    assert_page(example.url("/"), "tower-sse: quick start").await;
    let mut stream = events(send(get_events(example.url("/"))).await);
    let first = next_json(&mut stream).await;
    let second = next_json(&mut stream).await;
    assert_eq!(first["message"], "Hello, SSE!");
    assert!(second["time"].as_u64().unwrap() >= first["time"].as_u64().unwrap(), "{first} {second}");
}

#[tokio::test]
async fn page_and_stream_vary_by_accept() {
    let example = Example::start("quickstart").await.unwrap();
    for request in [get_page(example.url("/")), get_events(example.url("/"))] {
        assert_eq!(send(request).await.headers()["vary"], "accept");
    }
}

#[tokio::test]
async fn stream_begins_with_a_comment_and_a_retry() {
    let example = Example::start("quickstart").await.unwrap();
    let mut stream = events(send(get_events(example.url("/"))).await);
    assert_eq!(within(stream.next()).await.unwrap().unwrap(), Item::Comment(String::new()));
    assert_eq!(within(stream.next()).await.unwrap().unwrap(), Item::Retry(Duration::from_secs(1)));
}
