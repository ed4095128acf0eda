//! `Last-Event-ID` as the event service receives it.

use std::{
    future::ready,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::{
    BodyError, Event, EventId, LastEventId, Refusal, SseLayer,
    hub::{Hub, Subscribe},
};

use crate::support::{Reading, answers, answers_again, respond};

/// Returns the id that the event service finds in this request.
async fn seen(query: Option<&str>, uri: &str, headers: &[&[u8]]) -> Option<Vec<u8>> {
    let mut request = Request::get(uri).header("accept", "text/event-stream").body(String::new()).unwrap();
    for value in headers {
        request.headers_mut().append("last-event-id", HeaderValue::from_bytes(value).unwrap());
    }
    let mut layer = SseLayer::from_fn(|request: Request<String>| async move {
        let last = LastEventId::of(&request).map(|last| last.as_bytes().to_vec());
        let mut response = Response::new(String::new());
        response.extensions_mut().insert(last);
        response
    });
    if let Some(parameter) = query {
        layer = layer.last_event_id_query(parameter);
    }
    let response = layer.layer(answers(Response::new(String::new()))).oneshot(request).await.unwrap();
    response.extensions().get::<Option<Vec<u8>>>().unwrap().clone()
}

#[tokio::test]
async fn header_is_read_as_bytes() {
    assert_eq!(seen(None, "/", &[]).await, None);
    assert_eq!(seen(None, "/", &[b"42"]).await.unwrap(), b"42");
    assert_eq!(seen(None, "/", &["größe 🦀".as_bytes()]).await.unwrap(), "größe 🦀".as_bytes());
    assert_eq!(seen(None, "/", &[b"\xff\xfe"]).await.unwrap(), b"\xff\xfe");
    assert_eq!(seen(None, "/", &[b""]).await, None, "an empty id is absent");
}

#[tokio::test]
async fn query_parameter_counts_only_if_named_and_without_header() {
    let uri = "/events?room=5&last-event-id=7";
    assert_eq!(seen(None, uri, &[]).await, None);
    assert_eq!(seen(Some("last"), uri, &[]).await, None);
    assert_eq!(seen(Some("last-event-id"), uri, &[]).await.unwrap(), b"7");
    assert_eq!(seen(Some("last-event-id"), uri, &[b"8"]).await.unwrap(), b"8", "the header is newer");
    assert_eq!(seen(Some("last-event-id"), uri, &[b""]).await, None, "also if it is empty");
}

#[tokio::test]
async fn a_query_parameter_is_decoded_as_a_form_encodes() {
    let cases: [(&str, Option<&[u8]>); 11] = [
        ("/?id=a%20b+c", Some(b"a b c")),
        ("/?id=%2B%26%3D", Some(b"+&=")),
        ("/?id=a=b", Some(b"a=b")),
        ("/?id=%ff%00%0A", Some(b"\xff\0\n")),
        ("/?id=%zz%4", Some(b"%zz%4")),
        ("/?%69d=1", Some(b"1")),
        ("/?id=&id=2", Some(b"2")),
        ("/?ID=1", None),
        ("/?id", None),
        ("/?id=", None),
        ("/", None),
    ];
    for (uri, expected) in cases {
        assert_eq!(seen(Some("id"), uri, &[]).await.as_deref(), expected, "{uri}");
    }
    assert_eq!(seen(Some("last id"), "/?last+id=1", &[]).await.unwrap(), b"1");
}

/// Clients that reconnect append the newer value to the address that the page gave them.
#[tokio::test]
async fn the_last_of_several_values_counts() {
    for uri in ["/?id=1&id=2", "/?id=1&other=3&id=2&other=4", "/?id=1&%69d=2"] {
        assert_eq!(seen(Some("id"), uri, &[]).await.unwrap(), b"2", "{uri}");
    }
    for uri in ["/?id=1&id=", "/?id=1&id"] {
        assert_eq!(seen(Some("id"), uri, &[]).await, None, "{uri}");
    }
    assert_eq!(seen(Some("id"), "/", &[b"1", b"2"]).await.unwrap(), b"2");
    assert_eq!(seen(Some("id"), "/?id=3", &[b"", b"2"]).await.unwrap(), b"2");
    assert_eq!(seen(Some("id"), "/?id=3", &[b"1", b""]).await, None);
}

/// A service that answers the id that it finds, as an event stream.
fn tells() -> impl Service<Request<String>, Response = Response<String>, Error = Refusal, Future: Send> + Clone {
    service_fn(|request: Request<String>| {
        let last = LastEventId::of(&request).map_or(String::from("none"), |last| last.to_str().unwrap().to_owned());
        ready(Ok(Response::builder()
            .header("content-type", "text/event-stream")
            .body(format!("data: {last}\n\n"))
            .unwrap()))
    })
}

/// Returns the id that each entry point finds in this request.
async fn on_each_way(uri: &'static str, header: Option<&'static str>) -> Vec<(&'static str, String)> {
    let request = || {
        let mut request = Request::get(uri).header("accept", "text/event-stream").body(String::new()).unwrap();
        header.map(|value| request.headers_mut().insert("last-event-id", HeaderValue::from_static(value)));
        request
    };
    let page = || answers_again(|| Response::new(String::new()));
    let named = SseLayer::decorate().last_event_id_query("id");
    let mut found = Vec::new();
    let mut note = async |way, body: Result<Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>, Refusal>| {
        let text = body.unwrap().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        found.push((way, text.trim_start_matches(":\n").replace("data: ", "").trim_end().to_owned()));
    };
    macro_rules! note {
        ($way:literal, $service:expr) => {
            note($way, $service.oneshot(request()).await.map(|response| Box::pin(response.into_body()) as _)).await
        };
    }
    note!("event service", SseLayer::new(tells()).last_event_id_query("id").layer(page()));
    note!("behind decorate", named.layer(tells()));
    note!("behind two layers", named.layer(SseLayer::decorate().layer(tells())));
    note!("event service behind decorate", named.layer(SseLayer::new(tells()).layer(page())));
    note!("behind another name", named.layer(SseLayer::decorate().last_event_id_query("other").layer(tells())));
    note!(
        "event service from a function",
        SseLayer::from_fn(|request| tells().oneshot(request)).last_event_id_query("id").layer(page())
    );
    found
}

#[tokio::test]
async fn each_entry_point_finds_the_same_id() {
    for (uri, header, expected) in [
        ("/", None, "none"),
        ("/", Some("7"), "7"),
        ("/?id=8", None, "8"),
        ("/?id=8", Some("7"), "7"),
        ("/?id=8", Some(""), "none"),
        ("/?id=8&id=9", None, "9"),
    ] {
        for (way, found) in on_each_way(uri, header).await {
            assert_eq!(found, expected, "{way}: {uri} {header:?}");
        }
    }
}

/// A hub, too, resumes after the id in the query, and a head serves as well as a request.
#[tokio::test]
async fn request_heads_have_the_same_accessors() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let hub = Hub::new();
    let first = hub.topic("topic").unwrap().publish(Event::new("first")).try_result().unwrap();
    hub.topic("topic").unwrap().publish(Event::new("second")).try_result().unwrap();
    let seen = Arc::clone(&heads);
    let service = hub.service(move |head| {
        seen.lock().unwrap().push(LastEventId::of(head).map(|last| last.as_bytes().to_vec()));
        Subscribe::to("topic")
    });
    let layer = SseLayer::new(service).last_event_id_query("id");
    let request =
        Request::get(format!("/?id={first}")).header("accept", "text/event-stream").body(String::new()).unwrap();
    let mut body = Reading::new(respond(layer, request).await.into_body());
    assert_eq!(body.next().await.unwrap(), ":\n");
    assert!(body.next().await.unwrap().ends_with("data: second\n\n"));
    assert_eq!(*heads.lock().unwrap(), [Some(first.as_str().as_bytes().to_vec())]);
    let (parts, ()) = Request::get("/").header("last-event-id", "5").body(()).unwrap().into_parts();
    assert_eq!(LastEventId::of(&parts).unwrap().as_bytes(), b"5");
}

#[tokio::test]
async fn hostile_bytes_are_no_event_id() {
    for (uri, valid) in [
        ("/?id=1%0Adata:x", false),
        ("/?id=%0D", false),
        ("/?id=%00", false),
        ("/?id=%ff", false),
        ("/?id=%C3%A9", true),
    ] {
        let bytes = seen(Some("id"), uri, &[]).await.unwrap();
        assert_eq!(EventId::try_from(&bytes[..]).is_ok(), valid, "{uri}");
    }
}

#[test]
fn last_event_id_converts_to_text_and_event_id_if_valid() {
    let of = |value: &[u8]| LastEventId::of(&Request::get("/").header("last-event-id", value).body(()).unwrap());
    let last = of("ж".as_bytes()).unwrap();
    assert_eq!(last.to_str(), Some("ж"));
    assert_eq!(EventId::try_from(&last).unwrap(), "ж");
    let last = of(b"\xff").unwrap();
    assert_eq!((last.to_str(), last.as_bytes()), (None, &b"\xff"[..]));
    assert!(EventId::try_from(&last).is_err());
    assert!(of(b"").is_none());
}
