//! Selection of requests for the stream: `Accept`, method, predicate, and `Vary` for caches.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::ACCEPT};
use http_body::Body as _;
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde::Deserialize;
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::{BoxError, Negotiate, SseLayer};

use crate::support::{answers, answers_again, ask, event, events, get, paused, respond};

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    why: String,
    accept: Option<Vec<String>>,
    bytes: Option<Vec<Vec<u8>>>,
    listed: String,
    wildcards: String,
    require: String,
}

impl Case {
    fn lines(&self) -> Vec<Vec<u8>> {
        let text = self.accept.iter().flatten().map(|line| line.as_bytes().to_vec());
        text.chain(self.bytes.iter().flatten().cloned()).collect()
    }
}

/// Returns the service that answered, and whether `Vary: Accept` is set.
async fn who(negotiate: Negotiate, accept: &[Vec<u8>]) -> Result<(&'static str, bool), BoxError> {
    let mut request = Request::new(String::new());
    for line in accept {
        request.headers_mut().append(ACCEPT, HeaderValue::from_bytes(line)?);
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let inside = service_fn(|_| {
        asked.fetch_add(1, SeqCst);
        async { Ok::<_, BoxError>(Response::new(String::from("inside"))) }
    });
    let layer = SseLayer::new(answers(events([event("a")]))).negotiate(negotiate);
    let response = layer.layer(inside).oneshot(request).await?;
    let who = match (response.status(), response.headers().get("content-type")) {
        (StatusCode::NOT_ACCEPTABLE, _) => "406",
        (StatusCode::OK, Some(kind)) if kind == "text/event-stream" => "stream",
        (StatusCode::OK, None) => "inside",
        other => return Err(format!("{other:?}").into()),
    };
    assert_eq!(asked.load(SeqCst), usize::from(who == "inside"), "the inner service is called only if it answers");
    Ok((who, response.headers().get("vary").is_some_and(|vary| vary == "accept")))
}

#[tokio::test]
async fn accept_selects_as_the_table_says() {
    let Cases { case } = toml::from_str(include_str!("accept.toml")).unwrap();
    assert!(case.len() > 40);
    for case in case {
        let policies = [
            (Negotiate::Listed, case.listed.as_str()),
            (Negotiate::Wildcards, &case.wildcards),
            (Negotiate::Require, &case.require),
            (Negotiate::Always, "stream"),
        ];
        for (negotiate, expected) in policies {
            let (who, varies) = who(negotiate, &case.lines()).await.unwrap();
            assert_eq!(who, expected, "{negotiate:?}: {}", case.why);
            assert_eq!(varies, negotiate != Negotiate::Always, "`Vary` on every branch where `Accept` was consulted");
        }
    }
}

/// Header lines of pieces of the grammar, and of any bytes that a header may contain.
fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let pieces = [
        "text/event-stream",
        "text/*",
        "*/*",
        ";",
        ",",
        "q=",
        "0.5",
        "1",
        "0.",
        "\"",
        "\\",
        " ",
        "=",
        "/",
        "é",
        "charset=utf-8",
    ];
    let piece = prop::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec());
    let byte = any::<u8>().prop_filter("a header holds it", |byte| *byte == b'\t' || (*byte >= 32 && *byte != 127));
    let noise = prop::collection::vec(byte, 0..20);
    let line = prop::collection::vec(prop_oneof![9 => piece, 1 => noise], 0..20).prop_map(|pieces| pieces.concat());
    prop::collection::vec(line, 0..4)
}

proptest! {
    #[test]
    fn no_value_panics_or_errs(lines in lines()) {
        let mut chosen = Vec::new();
        for negotiate in [Negotiate::Listed, Negotiate::Wildcards, Negotiate::Require, Negotiate::Always] {
            chosen.push(paused(who(negotiate, &lines)).unwrap().0);
        }
        // Each policy selects what the stricter one selects.
        prop_assert!(chosen[0] != "stream" || chosen[1] == "stream", "{:?}", chosen);
        prop_assert!(chosen[1] != "stream" || chosen[2] == "stream", "{:?}", chosen);
        prop_assert_eq!(chosen[3], "stream");
    }
}

#[tokio::test]
async fn vary_is_merged_on_both_branches() {
    let cases: [(&[&str], &[&str]); 6] = [
        (&[], &["accept"]),
        (&["origin"], &["origin", "accept"]),
        (&["origin, Accept"], &["origin, Accept"]),
        (&["origin", "ACCEPT "], &["origin", "ACCEPT "]),
        (&["*"], &["*"]),
        (&["accept-encoding"], &["accept-encoding", "accept"]),
    ];
    for (own, expected) in cases {
        let answer = || own.iter().fold(Response::builder(), |response, vary| response.header("vary", *vary));
        let inside = || answers(answer().body(String::new()).unwrap());
        let varies = |response: &http::HeaderMap| response.get_all("vary").iter().cloned().collect::<Vec<_>>();

        let layer = SseLayer::new(answers(events([event("a")])));
        let response = layer.layer(inside()).oneshot(Request::new(String::new())).await.unwrap();
        assert_eq!(varies(response.headers()), expected, "a response of the inner service");
        let response = SseLayer::new(inside()).layer(inside()).oneshot(get()).await.unwrap();
        assert_eq!(varies(response.headers()), expected, "a response of the event service");
        let events = own.iter().fold(events([event("a")]), |events, vary| {
            events.append_header(http::header::VARY, HeaderValue::from_static(vary))
        });
        let response = SseLayer::new(answers(events)).layer(inside()).oneshot(get()).await.unwrap();
        assert_eq!(varies(response.headers()), expected, "events");
    }
}

#[tokio::test]
async fn vary_is_unchanged_if_accept_was_not_read() {
    let layer = || SseLayer::new(answers(events([event("a")])));
    let cases = [
        respond(layer(), ask(Method::POST)).await.headers().clone(),
        respond(layer().when(|_| false), get()).await.headers().clone(),
        respond(layer().negotiate(Negotiate::Always), get()).await.headers().clone(),
        respond(layer().negotiate(Negotiate::Always).when(|_| false), get()).await.headers().clone(),
    ];
    for headers in cases {
        assert!(!headers.contains_key("vary"), "{headers:?}");
    }
}

#[tokio::test]
async fn other_methods_reach_the_inner_service_unless_chosen() {
    let layer = || SseLayer::new(answers_again(|| events([event("a")])));
    for (method, expected) in
        [(Method::GET, true), (Method::HEAD, true), (Method::POST, false), (Method::OPTIONS, false)]
    {
        let response = respond(layer(), ask(method.clone())).await;
        assert_eq!(response.headers().contains_key("content-type"), expected, "{method}");
    }
    let query = Method::from_bytes(b"QUERY").unwrap();
    for (method, expected) in [(Method::POST, true), (query.clone(), true), (Method::GET, false), (Method::HEAD, false)]
    {
        let response = respond(layer().methods([Method::POST, query.clone()]), ask(method.clone())).await;
        assert_eq!(response.headers().contains_key("content-type"), expected, "{method}");
    }
}

#[tokio::test]
async fn predicate_sees_the_head_and_only_allowed_methods() {
    let layer = || {
        SseLayer::new(answers_again(|| events([event("a")]))).when(|head| {
            assert_eq!(head.method(), Method::GET);
            head.uri().path() == "/events"
                && head.headers().contains_key("x-room")
                && head.extensions().get() == Some(&7)
        })
    };
    let request = |uri: &str, room: bool, user: i32| {
        let mut request = Request::get(uri).header("accept", "text/event-stream");
        if room {
            request = request.header("x-room", "5");
        }
        request.extension(user).body(String::new()).unwrap()
    };
    let cases =
        [("/events", true, 7, true), ("/", true, 7, false), ("/events", false, 7, false), ("/events", true, 8, false)];
    for (uri, room, user, expected) in cases {
        let response = respond(layer(), request(uri, room, user)).await;
        assert_eq!(response.headers().contains_key("content-type"), expected, "{uri} {room} {user}");
    }
    respond(layer(), ask(Method::POST)).await;
}

#[tokio::test]
async fn head_gets_the_head_of_get_and_no_body() {
    let layer = || SseLayer::new(answers_again(|| events([event("a")]).retry(std::time::Duration::from_secs(1))));
    let get = respond(layer(), get()).await;
    let head = respond(layer(), ask(Method::HEAD)).await;
    assert_eq!((head.status(), head.headers()), (get.status(), get.headers()));
    assert!(head.body().is_end_stream(), "a body on HEAD is a protocol error on HTTP/2");
    assert_eq!(head.body().size_hint().exact(), None, "the length of the stream is not given as zero");
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn not_acceptable_names_the_event_stream() {
    for (method, has_body) in [(Method::GET, true), (Method::HEAD, false)] {
        let layer = SseLayer::new(answers(events([event("a")]))).negotiate(Negotiate::Require);
        let mut request = ask(method);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/html"));
        let response = respond(layer, request).await;
        assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
        assert_eq!(response.headers()["vary"], "accept");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(std::str::from_utf8(&body).unwrap().contains("accept: text/event-stream"), has_body);
    }
}
