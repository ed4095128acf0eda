use serde_json::json;

use crate::{
    server::{Server, cookie_of},
    wire::request,
};

const ACCEPT: &str = "accept: text/event-stream";

/// A refusal after which a browser reconnects: 200, a `retry:`, a clean end; counted with its reason.
async fn is_refused(server: &Server, headers: &[&str], why: &str) {
    let counter = format!("sse_streams_refused_total{{status=\"200\",cause=\"{why}\"}}");
    let before = server.metric(&counter).await.unwrap_or(0.0);
    let answer = request(&server.address, "GET", "/events", &[headers, &[ACCEPT]].concat(), "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let retry = answer.body.strip_prefix(":\nretry: ").and_then(|rest| rest.trim_end().parse().ok());
    assert!((10_000..=15_000).contains(&retry.unwrap_or(0)), "{answer:?}");
    assert_eq!(server.metric(&counter).await, Some(before + 1.0), "{counter}");
}

#[tokio::test]
async fn each_user_has_a_limit_of_streams() {
    let server = Server::start(&[("STREAMS_PER_CLIENT", "2")]).await;
    let (ann, bob) = (server.log_in("ann").await, server.log_in("bob").await);
    let first = server.events(&[&ann]).await;
    let _second = server.events(&[&ann]).await;
    is_refused(&server, &[&ann], "full_for_key").await;
    let _bobs = server.events(&[&bob]).await;
    let _anybodys = server.events(&[]).await;

    // No stream was evicted, and a stream that leaves makes room.
    server.metric_becomes("sse_streams_open", 4.0).await;
    drop(first);
    server.metric_becomes("sse_streams_open", 3.0).await;
    let _third = server.events(&[&ann]).await;
}

#[tokio::test]
async fn streams_have_a_total_limit() {
    let server = Server::start(&[("STREAMS", "2")]).await;
    let ann = server.log_in("ann").await;
    let _streams = [server.events(&[]).await, server.events(&[&ann]).await];
    is_refused(&server, &[], "full").await;
    is_refused(&server, &[&ann], "full").await;
    assert_eq!(server.metric("app_streams_limit").await, Some(2.0));
}

/// Each user has a topic: the last users were refused by the hub, below the set number of streams.
#[tokio::test]
async fn total_limit_holds_for_different_users() {
    for streams in [10_000, 50_000] {
        let server = Server::start(&[("STREAMS", &streams.to_string())]).await;
        // In addition there are the topic of the status and that of public notes.
        let topics = server.metric("app_topics_limit").await.expect("a gauge");
        assert!(topics >= f64::from(streams + 2), "{topics} for {streams}");
    }
}

#[tokio::test]
async fn client_over_its_rate_is_refused_with_later() {
    let server = Server::start(&[("OPENS_PER_MINUTE", "1")]).await;
    drop(server.events(&[]).await);
    is_refused(&server, &[], "too_often").await;
    let ann = server.log_in("ann").await;
    let _anns = server.events(&[&ann]).await;
}

/// The settings of a server behind so many proxies, each of which appends to `x-forwarded-for`.
fn behind(proxies: &str) -> [(&'static str, &str); 3] {
    [("STREAMS_PER_CLIENT", "1"), ("ADDRESS_HEADER", "x-forwarded-for"), ("PROXIES", proxies)]
}

#[tokio::test]
async fn clients_behind_a_proxy_are_counted_by_header() {
    let server = Server::start(&[("STREAMS_PER_CLIENT", "1"), ("ADDRESS_HEADER", "x-real-ip")]).await;
    let _one = server.events(&["x-real-ip: 192.0.2.1"]).await;
    let _two = server.events(&["x-real-ip: 2001:db8::1"]).await;
    is_refused(&server, &["x-real-ip: 192.0.2.1"], "full_for_key").await;
}

#[tokio::test]
async fn address_claimed_by_the_client_is_ignored() {
    let server = Server::start(&behind("1")).await;
    let _one = server.events(&["x-forwarded-for: 192.0.2.1"]).await;
    // A proxy appends to the client's own line, or adds a line below it.
    for claim in ["203.0.113.1", "203.0.113.2, 203.0.113.3", "unknown", "é", ",,"] {
        let one_line = format!("x-forwarded-for: {claim}, 192.0.2.1");
        is_refused(&server, &[&one_line], "full_for_key").await;
        let first_line = format!("x-forwarded-for: {claim}");
        is_refused(&server, &[&first_line, "x-forwarded-for: 192.0.2.1"], "full_for_key").await;
    }
    let _other = server.events(&["x-forwarded-for: 192.0.2.1", "x-forwarded-for: 192.0.2.2"]).await;
}

#[tokio::test]
async fn number_of_proxies_selects_the_address_from_the_end() {
    let server = Server::start(&behind("2")).await;
    let _one = server.events(&["x-forwarded-for: 203.0.113.1, 192.0.2.1, 198.51.100.7"]).await;
    is_refused(&server, &["x-forwarded-for: 203.0.113.2, 192.0.2.1, 198.51.100.8"], "full_for_key").await;
    let _two = server.events(&["x-forwarded-for: 192.0.2.1, 192.0.2.2, 198.51.100.7"]).await;

    // A request that has not passed both proxies has the address of its connection.
    let _direct = server.events(&["x-forwarded-for: 192.0.2.3"]).await;
    is_refused(&server, &["x-forwarded-for: 192.0.2.4"], "full_for_key").await;
    is_refused(&server, &[], "full_for_key").await;
}

#[tokio::test]
async fn port_of_an_address_is_ignored() {
    let server = Server::start(&behind("1")).await;
    for (address, again) in [("192.0.2.1", "192.0.2.1:4711"), ("2001:db8::1", "[2001:db8::1]:4711")] {
        let _stream = server.events(&[&format!("x-forwarded-for: {address}")]).await;
        is_refused(&server, &[&format!("x-forwarded-for: {again}")], "full_for_key").await;
    }
    let _other = server.events(&["x-forwarded-for: [2001:db8:1::1]"]).await;
}

#[tokio::test]
async fn zone_of_an_address_is_ignored() {
    let server = Server::start(&behind("1")).await;
    let _stream = server.events(&["x-forwarded-for: fe80::1"]).await;
    for again in ["fe80::1%eth0", "[fe80::1%eth0]", "[fe80::1%2]:4711", "[fe80::1%eth0]:4711"] {
        is_refused(&server, &[&format!("x-forwarded-for: {again}")], "full_for_key").await;
    }
    // An invalid address counts as the proxy's.
    let _proxys = server.events(&["x-forwarded-for: [fe80::1%eth0]:x"]).await;
}

#[tokio::test]
async fn addresses_of_one_ipv6_network_are_one_client() {
    let server = Server::start(&behind("1")).await;
    let _one = server.events(&["x-forwarded-for: 2001:db8:0:1::1"]).await;
    is_refused(&server, &["x-forwarded-for: 2001:db8:0:1:ffff:ffff:ffff:ffff"], "full_for_key").await;
    let _two = server.events(&["x-forwarded-for: 2001:db8:0:2::1"]).await;
}

#[tokio::test]
async fn ipv4_mapped_address_counts_as_ipv4() {
    let server = Server::start(&behind("1")).await;
    let _one = server.events(&["x-forwarded-for: ::ffff:192.0.2.1"]).await;
    let _two = server.events(&["x-forwarded-for: ::ffff:192.0.2.2"]).await;
    is_refused(&server, &["x-forwarded-for: 192.0.2.1"], "full_for_key").await;
}

#[tokio::test]
async fn header_is_ignored_without_proxies() {
    let server = Server::start(&[("STREAMS_PER_CLIENT", "1")]).await;
    let _one = server.events(&["x-real-ip: 192.0.2.1"]).await;
    is_refused(&server, &["x-real-ip: 192.0.2.2"], "full_for_key").await;
}

#[tokio::test]
async fn each_user_has_a_rate_of_posts() {
    let server = Server::start(&[("POSTS_PER_MINUTE", "5")]).await;
    let (ann, bob) = (server.log_in("ann").await, server.log_in("bob").await);
    let note = json!({ "text": "hello" });
    let mut published = 0;
    let refused = loop {
        let answer = server.post("/notes", &[&ann], &note).await;
        if answer.status != 201 {
            break answer;
        }
        published += 1;
        assert!(published < 1000, "posts of a user are not limited");
    };
    assert!(published >= 5, "refused after {published}");
    assert_eq!(refused.status, 429);
    let seconds: u64 =
        refused.header("retry-after").expect("a refusal has a Retry-After").parse().expect("whole seconds");
    assert!((1..=13).contains(&seconds), "{seconds}");
    assert_eq!(server.post("/notes", &[&bob], &note).await.status, 201);
}

#[tokio::test]
async fn logins_are_limited_by_address() {
    let server = Server::start(&[("POSTS_PER_MINUTE", "3")]).await;
    let mut cookie = server.log_in("user").await;
    for number in 1..1000 {
        let answer = server.post("/login", &[&cookie], &json!({ "user": format!("user{number}") })).await;
        if answer.status == 429 {
            assert!(number >= 3 && answer.header("set-cookie").is_none(), "{answer:?}");
            return;
        }
        assert_eq!(answer.status, 204);
        cookie = cookie_of(&answer);
    }
    panic!("logins of a client are not limited");
}

#[tokio::test]
async fn unread_notes_do_not_fill_the_hub() {
    let server = Server::start(&[]).await;
    let (ann, bob) = (server.log_in("ann").await, server.log_in("bob").await);
    let before = server.metric("sse_hub_topics").await.expect("a gauge");
    let mut published = 0.0;
    for number in 0..1000 {
        let note = json!({ "text": "hello", "to": format!("noname{number}") });
        match server.post("/notes", &[&ann], &note).await.status {
            201 => published += 1.0,
            429 if published >= 60.0 => break,
            status => panic!("{status} after {published}"),
        }
    }
    assert!(published < 1000.0, "topics of a user are not limited");
    assert!(server.metric("sse_hub_topics").await <= Some(before + published));
    assert_eq!(server.metric("sse_hub_refused_total").await, Some(0.0));
    assert_eq!(server.get("/readyz", &[]).await.status, 200);
    let mut stream = server.events(&[&bob]).await;
    assert_eq!(server.post("/notes", &[&bob], &json!({ "text": "still", "to": "bob" })).await.status, 201);
    stream.until("still").await;
}
