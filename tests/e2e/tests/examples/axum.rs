use http::StatusCode;
use serde_json::json;
use tower_sse_e2e::example::Example;

use crate::support::{assert_page, events, get, get_events, json, next, next_json, post_json, send};

#[tokio::test]
async fn routes_of_the_app_are_unchanged() {
    let example = Example::start("axum").await.unwrap();
    assert_page(example.url("/"), "tower-sse: auction").await;
    assert_eq!(json(send(get(example.url("/lots"))).await).await, json!(["painting", "teapot", "violin"]));
    assert_eq!(bid(&example, "violin", 20).await, StatusCode::CREATED);
    assert_eq!(bid(&example, "violin", 20).await, StatusCode::CONFLICT);
    let bids = json(send(get(example.url("/lots/violin"))).await).await;
    assert_eq!(bids, json!([{ "by": "ann", "amount": 20 }]));
    assert_eq!(send(get(example.url("/lots/hat"))).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn watchers_of_a_lot_receive_each_bid() {
    let example = Example::start("axum").await.unwrap();
    let mut teapot = events(send(get_events(example.url("/lots/teapot"))).await);
    bid(&example, "violin", 1000).await;
    for amount in [10, 30, 70] {
        bid(&example, "teapot", amount).await;
        assert_eq!(next_json(&mut teapot).await, json!({ "by": "ann", "amount": amount }));
    }
}

#[tokio::test]
async fn resuming_client_receives_missed_events_once() {
    let example = Example::start("axum").await.unwrap();
    for amount in [10, 20, 30] {
        bid(&example, "teapot", amount).await;
    }
    let again = get_events(example.url("/lots/teapot")).header("last-event-id", "1");
    let mut missed = events(send(again).await);
    for (id, amount) in [("2", 20), ("3", 30)] {
        let event = next(&mut missed).await.unwrap();
        assert_eq!(event.id().unwrap().as_str(), id);
        assert_eq!(event.data(), format!(r#"{{"by":"ann","amount":{amount}}}"#));
    }
}

#[tokio::test]
async fn unknown_id_begins_from_the_start() {
    let example = Example::start("axum").await.unwrap();
    bid(&example, "teapot", 10).await;
    for id in ["2", "-1", "99999999999999999999999", "caf\u{e9}", "1\0"] {
        let Ok(id) = http::HeaderValue::from_bytes(id.as_bytes()) else { continue };
        let again = get_events(example.url("/lots/teapot")).header("last-event-id", id);
        assert_eq!(next_json(&mut events(send(again).await)).await["amount"], 10);
    }
}

#[tokio::test]
async fn unknown_lot_is_refused() {
    let example = Example::start("axum").await.unwrap();
    let response = send(get_events(example.url("/lots/hat"))).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

async fn bid(example: &Example, lot: &str, amount: u32) -> StatusCode {
    let bid = json!({ "by": "ann", "amount": amount });
    post_json(example.url(&format!("/lots/{lot}")), &bid).await.status()
}
