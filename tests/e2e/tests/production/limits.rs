use crate::{server::Server, wire::request};

const ACCEPT: &str = "accept: text/event-stream";

/// As a browser is told to come back: 200, a `retry:`, a clean end; counted with its reason.
async fn is_refused(server: &Server, headers: &[&str], why: &str) {
    let counter = format!("sse_streams_refused_total{{status=\"200\",why=\"{why}\"}}");
    let before = server.metric(&counter).await.unwrap_or(0.0);
    let answer = request(&server.address, "GET", "/events", &[headers, &[ACCEPT]].concat(), "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let retry = answer.body.strip_prefix(":\nretry: ").and_then(|rest| rest.trim_end().parse().ok());
    assert!((10_000..=15_000).contains(&retry.unwrap_or(0)), "{answer:?}");
    assert_eq!(server.metric(&counter).await, Some(before + 1.0), "{counter}");
}

#[tokio::test]
async fn a_user_has_so_many_streams_and_another_has_as_many() {
    let server = Server::start(&[("STREAMS_PER_CLIENT", "2")]).await;
    let (ann, bob) = (server.log_in("ann").await, server.log_in("bob").await);
    let first = server.events(&[&ann]).await;
    let _second = server.events(&[&ann]).await;
    is_refused(&server, &[&ann], "full_for_key").await;
    let _bobs = server.events(&[&bob]).await;
    let _anybodys = server.events(&[]).await;

    // Nobody was evicted, and one that leaves makes room.
    server.metric_becomes("sse_streams_open", 4.0).await;
    drop(first);
    server.metric_becomes("sse_streams_open", 3.0).await;
    let _third = server.events(&[&ann]).await;
}

#[tokio::test]
async fn there_are_so_many_streams_in_all() {
    let server = Server::start(&[("STREAMS", "2")]).await;
    let ann = server.log_in("ann").await;
    let _streams = [server.events(&[]).await, server.events(&[&ann]).await];
    is_refused(&server, &[], "full").await;
    is_refused(&server, &[&ann], "full").await;
    assert_eq!(server.metric("app_streams_limit").await, Some(2.0));
}

#[tokio::test]
async fn who_opens_too_often_is_told_to_come_back() {
    let server = Server::start(&[("OPENS_PER_MINUTE", "2")]).await;
    for _ in 0..2 {
        drop(server.events(&[]).await);
    }
    is_refused(&server, &[], "too_often").await;
    let ann = server.log_in("ann").await;
    let _anns = server.events(&[&ann]).await;
}

#[tokio::test]
async fn behind_a_proxy_clients_are_counted_by_the_address_that_it_says() {
    let server = Server::start(&[("STREAMS_PER_CLIENT", "1"), ("ADDRESS_HEADER", "x-real-ip")]).await;
    let _one = server.events(&["x-real-ip: 192.0.2.1"]).await;
    let _two = server.events(&["x-real-ip: 2001:db8::1"]).await;
    is_refused(&server, &["x-real-ip: 192.0.2.1"], "full_for_key").await;
}

#[tokio::test]
async fn a_header_that_no_proxy_sets_is_not_believed() {
    let server = Server::start(&[("STREAMS_PER_CLIENT", "1")]).await;
    let _one = server.events(&["x-real-ip: 192.0.2.1"]).await;
    is_refused(&server, &["x-real-ip: 192.0.2.2"], "full_for_key").await;
}
