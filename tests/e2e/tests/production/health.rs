use crate::{server::Server, wire::Stream};

#[tokio::test]
async fn server_is_alive_and_ready() {
    let server = Server::start(&[]).await;
    assert_eq!(server.get("/healthz", &[]).await.status, 200);
    assert_eq!(server.get("/readyz", &[]).await.status, 200);
    let page = server.get("/", &[]).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.contains("<title>tower-sse: production</title>"), "{}", page.body);
    assert_eq!(server.get("/events", &["accept: text/html"]).await.status, 406);
}

/// A load balancer needs time to detect it, and sends clients until then.
#[tokio::test]
async fn draining_server_serves_and_is_not_ready() {
    let server = Server::start(&[("LEAVE_AFTER_SECONDS", "3600")]).await;
    let mut stream = server.events(&[]).await;
    server.process.signal("TERM").await.unwrap();
    server.is_leaving().await;
    assert_eq!(server.get("/healthz", &[]).await.status, 200);
    server.events(&[]).await;
    stream.until("event: status\n").await;
}

#[tokio::test]
async fn streams_and_events_are_counted() {
    let server = Server::start(&[]).await;
    let mut stream = Stream::open(&server.address, "/events", &["last-event-id: of another process"]).await;
    stream.until("event: gap\n").await;
    server.events(&[]).await;
    server.metric_becomes("sse_streams_opened_total", 2.0).await;
    server.metric_becomes("sse_streams_closed_total{reason=\"client_gone\"}", 1.0).await;
    server.metric_becomes("sse_stream_duration_seconds_count", 1.0).await;
    for (metric, value) in [("sse_streams_open", 1.0), ("sse_gaps_total", 1.0), ("sse_first_event_seconds_count", 2.0)]
    {
        assert_eq!(server.metric(metric).await, Some(value), "{metric}");
    }
    assert!(server.metric("sse_bytes_sent_total").await > Some(100.0));
    assert!(server.metric("process_open_fds").await > Some(5.0));
}
