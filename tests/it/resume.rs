//! Where a client left off: what the event service sees of `Last-Event-ID`.

use http::{HeaderValue, Request, Response};
use tower::{Layer, ServiceExt};
use tower_sse::{EventId, LastEventId, SseLayer};

use crate::support::answers;

/// What the event service finds in the extensions of this request.
async fn seen(query: Option<&str>, uri: &str, headers: &[&[u8]]) -> Option<Vec<u8>> {
    let mut request = Request::get(uri).header("accept", "text/event-stream").body(String::new()).unwrap();
    for value in headers {
        request.headers_mut().append("last-event-id", HeaderValue::from_bytes(value).unwrap());
    }
    let mut layer = SseLayer::from_fn(|request: Request<String>| async move {
        let last = request.extensions().get::<LastEventId>().map(|last| last.as_bytes().to_vec());
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
async fn the_header_is_taken_as_the_bytes_that_it_is() {
    assert_eq!(seen(None, "/", &[]).await, None, "there is none in the extensions then");
    assert_eq!(seen(None, "/", &[b"42"]).await.unwrap(), b"42");
    assert_eq!(seen(None, "/", &["größe 🦀".as_bytes()]).await.unwrap(), "größe 🦀".as_bytes());
    assert_eq!(seen(None, "/", &[b"\xff\xfe"]).await.unwrap(), b"\xff\xfe");
    assert_eq!(seen(None, "/", &[b""]).await, None, "empty is none");
    assert_eq!(seen(None, "/", &[b"1", b"2"]).await.unwrap(), b"1", "the first of several");
}

#[tokio::test]
async fn a_query_parameter_counts_only_if_it_is_named_and_the_header_is_absent() {
    let uri = "/events?room=5&last-event-id=7";
    assert_eq!(seen(None, uri, &[]).await, None);
    assert_eq!(seen(Some("last"), uri, &[]).await, None);
    assert_eq!(seen(Some("last-event-id"), uri, &[]).await.unwrap(), b"7");
    assert_eq!(seen(Some("last-event-id"), uri, &[b"8"]).await.unwrap(), b"8", "the header is newer");
    assert_eq!(seen(Some("last-event-id"), uri, &[b""]).await, None, "also where it is empty");
}

#[tokio::test]
async fn a_query_parameter_is_decoded_as_a_form_encodes() {
    let cases: [(&str, Option<&[u8]>); 12] = [
        ("/?id=a%20b+c", Some(b"a b c")),
        ("/?id=%2B%26%3D", Some(b"+&=")),
        ("/?id=a=b", Some(b"a=b")),
        ("/?id=%ff%00%0A", Some(b"\xff\0\n")),
        ("/?id=%zz%4", Some(b"%zz%4")),
        ("/?%69d=1", Some(b"1")),
        ("/?id=&id=2", Some(b"2")),
        ("/?id=1&id=2", Some(b"1")),
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
fn an_id_is_text_if_it_is_utf8_and_an_event_id_if_one_could_have_been_it() {
    let of = |value: &[u8]| {
        let mut headers = http::HeaderMap::new();
        headers.insert("last-event-id", HeaderValue::from_bytes(value).unwrap());
        LastEventId::from_headers(&headers)
    };
    let last = of("ж".as_bytes()).unwrap();
    assert_eq!(last.to_str(), Some("ж"));
    assert_eq!(EventId::try_from(&last).unwrap(), "ж");
    let last = of(b"\xff").unwrap();
    assert_eq!((last.to_str(), last.as_bytes()), (None, &b"\xff"[..]));
    assert!(EventId::try_from(&last).is_err());
    assert!(of(b"").is_none());
}
