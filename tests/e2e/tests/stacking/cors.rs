//! `CorsLayer`.

use http::{Method, StatusCode};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::*;

fn from_elsewhere(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(header::ORIGIN, http::HeaderValue::from_static("https://elsewhere.example"));
    request
}

fn is_allowed(response: &Response<Body>) -> bool {
    response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
}

fn vary(response: &Response<Body>) -> String {
    let values = response.headers().get_all(header::VARY).iter().map(|value| value.to_str().unwrap_or("?"));
    values.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn cors_outside_admits_other_origins_to_streams() {
    let any_with_cookies = CorsLayer::new().allow_origin(AllowOrigin::mirror_request()).allow_credentials(true);
    let app = site().layer(events()).layer(any_with_cookies);
    let stream = ask(&app, from_elsewhere(for_events())).await;
    assert!(is_allowed(&stream));
    let vary = vary(&stream);
    assert!(vary.contains("accept") && vary.contains("origin"), "each layer adds the headers that it reads: {vary}");
    assert!(is_allowed(&ask(&app, from_elsewhere(for_page())).await));
}

#[tokio::test]
async fn cors_inside_does_not_see_streams() {
    let app = site().layer(CorsLayer::permissive()).layer(events());
    assert!(!is_allowed(&ask(&app, from_elsewhere(for_events())).await));
    assert!(is_allowed(&ask(&app, from_elsewhere(for_page())).await));
}

#[tokio::test]
async fn cors_answers_the_preflight_of_a_long_last_event_id() {
    let outside = site().layer(events()).layer(CorsLayer::very_permissive());
    let inside = site().layer(CorsLayer::very_permissive()).layer(events());
    for app in [outside, inside] {
        let mut preflight = from_elsewhere(for_events());
        *preflight.method_mut() = Method::OPTIONS;
        let headers = preflight.headers_mut();
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, http::HeaderValue::from_static("GET"));
        headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, http::HeaderValue::from_static("last-event-id"));
        let answer = ask(&app, preflight).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS], "last-event-id");
    }
}

#[tokio::test]
async fn cors_headers_inside_decorate_are_kept() {
    let app = site().layer(CorsLayer::permissive()).layer(SseLayer::decorate());
    assert!(is_allowed(&ask(&app, from_elsewhere(for_foreign())).await));
}
