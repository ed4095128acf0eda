//! `CatchPanicLayer`.

use std::panic::AssertUnwindSafe;

use axum::routing::get;
use futures_util::future::lazy;
use http::StatusCode;
use tower_http::catch_panic::CatchPanicLayer;

use super::*;

#[expect(clippy::panic, reason = "the test is about the panic")]
fn bug<T>() -> T {
    panic!("a bug")
}

fn panicking() -> EventLayer {
    answering(|_| async { bug() }.boxed())
}

#[tokio::test]
async fn catch_panic_outside_answers_for_a_panicking_event_service() {
    let app = site().layer(panicking()).layer(CatchPanicLayer::new());
    assert_eq!(ask(&app, for_events()).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn catch_panic_inside_does_not_see_event_services() {
    let app = site().layer(CatchPanicLayer::new()).layer(panicking());
    assert!(AssertUnwindSafe(ask(&app, for_events())).catch_unwind().await.is_err());
}

#[tokio::test]
async fn catch_panic_on_either_side_answers_for_a_page() {
    let site = || Router::new().route("/", get(|| async { bug::<()>() }));
    let outside = site().layer(events()).layer(CatchPanicLayer::new());
    let inside = site().layer(CatchPanicLayer::new()).layer(events());
    for app in [outside, inside] {
        assert_eq!(ask(&app, for_page()).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[tokio::test]
async fn panicking_stream_ends_cleanly_with_and_without_catch_panic() {
    let panics = || answering(|_| answer(stream::iter([Event::new("1")]).chain(stream::once(lazy(|_| bug())))));
    for app in [site().layer(panics()), site().layer(panics()).layer(CatchPanicLayer::new())] {
        let body = ask(&app, for_events()).await.into_body();
        assert_eq!(body.collect().await.expect("a clean end").to_bytes(), ONE_EVENT);
    }
}
