//! `CompressionLayer`: by default it passes event streams unchanged; with another predicate it does not.

use http::HeaderMap;
use tokio::sync::mpsc;
use tower_http::{
    compression::{CompressionLayer, predicate::SizeAbove},
    decompression::DecompressionLayer,
};

use tower_sse::{EarlyEnd, streams::Streams};
use tower_sse_e2e::client::within;

use super::*;

fn compress_all() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new().compress_when(SizeAbove::new(1))
}

fn is_compressed(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_ENCODING)
}

#[tokio::test]
async fn compression_by_default_skips_event_streams() {
    let outside = site().layer(events()).layer(CompressionLayer::new());
    let inside = site().layer(CompressionLayer::new()).layer(events());
    for app in [outside, inside] {
        assert!(is_compressed(ask(&app, for_page()).await.headers()));
        let stream = ask(&app, for_events()).await;
        assert!(!is_compressed(stream.headers()));
        assert_eq!(ready_text(&mut stream.into_body()), ONE_EVENT);
    }
    let around = site().layer(CompressionLayer::new()).layer(SseLayer::decorate());
    let within = site().layer(SseLayer::decorate()).layer(CompressionLayer::new());
    for app in [around, within] {
        assert!(is_compressed(ask(&app, for_page()).await.headers()));
        let stream = ask(&app, for_foreign()).await;
        assert!(!is_compressed(stream.headers()));
        assert_eq!(ready_text(&mut stream.into_body()), ONE_EVENT);
    }
}

#[tokio::test]
async fn compression_of_everything_compresses_inner_event_streams() {
    let outside = site().layer(events()).layer(compress_all());
    assert!(is_compressed(ask(&outside, for_events()).await.headers()));
    let inside = site().layer(compress_all()).layer(events());
    assert!(!is_compressed(ask(&inside, for_events()).await.headers()));
}

#[tokio::test]
async fn decorate_passes_a_compressed_stream_unchanged() {
    let app = site().layer(compress_all()).layer(SseLayer::decorate());
    let compressed = ask(&app, for_foreign()).await;
    assert!(is_compressed(compressed.headers()));
    let plain = DecompressionLayer::new().layer(app).oneshot(for_foreign()).await.expect("the service is infallible");
    assert_eq!(ready_text(&mut Body::new(plain.into_body())), "data: 1\n\n", "no prelude, and so no heartbeat");
}

#[tokio::test]
async fn decorate_counts_and_ends_a_compressed_stream() {
    let handler = || async {
        Response::from(Events::new(stream::iter([Event::new("1")]).chain(stream::pending()))).map(Body::new)
    };
    let app = site().route("/handler", get(handler));
    for path in ["/foreign", "/handler"] {
        let streams = Streams::builder().max_streams(1).build();
        let layer = SseLayer::decorate().streams(&streams).stream_key(|_| Some("me".into()));
        let app = app.clone().layer(compress_all()).layer(layer);
        let mut held = ask(&app, request(path, "text/event-stream")).await;
        assert!(is_compressed(held.headers()));
        assert_eq!(streams.len(), 1, "{path}");
        let refused = ask(&app, request(path, "text/event-stream")).await;
        assert!(!is_compressed(refused.headers()), "{path}");
        assert_eq!(streams.end_key("me", "over"), 1);
        within(read_out(held.body_mut())).await;
        assert_eq!(streams.len(), 0, "{path}");
    }
}

/// Each coding flushes when its source is pending.
#[tokio::test]
async fn compression_of_everything_delays_no_event() {
    let codings = [
        ("gzip", DecompressionLayer::new().no_br().no_deflate().no_zstd()),
        ("deflate", DecompressionLayer::new().no_br().no_gzip().no_zstd()),
        ("br", DecompressionLayer::new().no_gzip().no_deflate().no_zstd()),
        ("zstd", DecompressionLayer::new().no_br().no_gzip().no_deflate()),
    ];
    for (coding, decompression) in codings {
        let (made, mut senders) = mpsc::unbounded_channel();
        let fed = SseLayer::from_fn(move |_: Request<Body>| {
            let (sender, events) = Events::channel(1);
            made.send(sender).expect("the test waits");
            std::future::ready(events)
        });
        let app = site().layer(fed).layer(compress_all());
        let mut request = for_events();
        request.headers_mut().remove(header::ACCEPT_ENCODING);
        let response = decompression.layer(app).oneshot(request).await.expect("the service is infallible");
        let sender = senders.recv().await.expect("a stream has opened");
        let mut body = Body::new(response.into_body());
        assert_eq!(ready_text(&mut body), ":\n", "{coding}");
        for number in 0..100 {
            sender.send(Event::new(number.to_string())).await.expect("the stream is open");
            assert_eq!(ready_text(&mut body), format!("data: {number}\n\n"), "{coding}");
            // tokio limits the work of a task in one poll.
            tokio::task::yield_now().await;
        }
    }
}

/// The coding is incomplete then, so the client detects that the answer is incomplete.
#[tokio::test]
async fn compression_of_everything_passes_events_before_an_abort() {
    let failing = || {
        let items = [Ok(Event::new("1")), Err("the model is gone")];
        Events::new(stream::iter(items)).early_end(EarlyEnd::Abort).on_failure(Event::new("sorry"))
    };
    let outside = site().layer(SseLayer::from_fn(move |_: Request<Body>| std::future::ready(failing())));
    let outside = outside.layer(compress_all());
    let handler = move || std::future::ready(Response::from(failing()).map(Body::new));
    let inside = site().route("/handler", get(handler)).layer(compress_all()).layer(SseLayer::decorate());
    for (app, path) in [(outside, "/"), (inside, "/handler")] {
        let response = DecompressionLayer::new().layer(app).oneshot(request(path, "text/event-stream")).await;
        let mut body = Body::new(response.expect("the service is infallible").into_body());
        let mut text = Vec::new();
        let error = loop {
            match within(body.frame()).await {
                Some(Ok(frame)) => text.extend_from_slice(&frame.into_data().expect("data")),
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        assert_eq!(String::from_utf8_lossy(&text), ":\ndata: 1\n\ndata: sorry\n\n", "{path}");
        assert!(error.is_some(), "{path}");
    }
}

/// Reads a body until it ends, or fails.
async fn read_out(body: &mut Body) {
    while let Some(Ok(_)) = body.frame().await {}
}
