use serde_json::{Value, json};

use crate::server::{Server, cookie_of};

#[tokio::test]
async fn anonymous_client_receives_only_the_public_topic() {
    let server = Server::start(&[]).await;
    let ann = server.log_in("ann").await;
    assert_eq!(server.post("/notes", &[&ann], &json!({ "text": "hello" })).await.status, 201);
    assert_eq!(server.post("/notes", &[], &json!({ "text": "hello" })).await.status, 401);

    let mut stream = server.events(&[]).await;
    // Two status events: every note published before the second would have arrived.
    stream.until("event: status\n").await;
    let text = stream.until("data: {\"streams\":1}\n\n").await;
    assert!(!text.contains("event: note\n"), "{text}");
}

#[tokio::test]
async fn user_receives_public_and_own_notes() {
    let server = Server::start(&[]).await;
    let (ann, bob) = (server.log_in("ann").await, server.log_in("bob").await);
    let (mut to_ann, mut to_bob) = (server.events(&[&ann]).await, server.events(&[&bob]).await);
    for note in [json!({ "text": "one", "to": "bob" }), json!({ "text": "two" })] {
        assert_eq!(server.post("/notes", &[&ann], &note).await.status, 201);
    }

    let text = to_ann.until("two").await;
    assert!(!text.contains("one"), "{text}");
    let text = to_bob.until("two").await;
    assert!(text.contains(r#"data: {"from":"ann","text":"one","is_private":true}"#), "{text}");
    assert!(text.contains(r#"data: {"from":"ann","text":"two","is_private":false}"#), "{text}");
}

#[tokio::test]
async fn resuming_client_misses_nothing() {
    let server = Server::start(&[]).await;
    let ann = server.log_in("ann").await;
    let mut stream = server.events(&[&ann]).await;
    server.post("/notes", &[&ann], &json!({ "text": "one" })).await;
    let text = stream.until("one").await;
    let id = text.lines().rfind(|line| line.starts_with("id: ")).unwrap().replace("id: ", "last-event-id: ");
    drop(stream);
    for text in ["two", "three"] {
        server.post("/notes", &[&ann], &json!({ "text": text })).await;
    }

    let mut stream = crate::wire::Stream::open(&server.address, "/events", &[&ann, &id]).await;
    let text = stream.until("three").await;
    assert!(text.contains("two") && !text.contains("one") && !text.contains("event: gap"), "{text}");
}

#[tokio::test]
async fn wrong_password_is_refused() {
    let server = Server::start(&[("PASSWORD", "correct horse")]).await;
    for password in ["", "correct hors", "correct horsf", "correct horse "] {
        let answer = server.post("/login", &[], &json!({ "user": "ann", "password": password })).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{password:?}");
    }
    let answer = server.post("/login", &[], &json!({ "user": "ann", "password": "correct horse" })).await;
    assert_eq!(answer.status, 204);
    let answer = server.post("/login", &[], &json!({ "user": "an n", "password": "correct horse" })).await;
    assert_eq!(answer.status, 401, "no name");
}

#[tokio::test]
async fn cookie_is_secure_behind_tls() {
    for (settings, is_secure) in
        [(&[("TLS_OUTSIDE", "yes")][..], true), (&[("TLS_OUTSIDE", "no")], false), (&[], false)]
    {
        let server = Server::start(settings).await;
        let begin = server.post("/login", &[], &json!({ "user": "ann" })).await;
        let ann = cookie_of(&begin);
        let end = server.post("/logout", &[&ann], &json!({})).await;
        for answer in [begin, end] {
            let cookie = answer.header("set-cookie").unwrap();
            assert_eq!(cookie.split("; ").any(|part| part == "Secure"), is_secure, "{settings:?}: {cookie}");
        }
    }
}

#[tokio::test]
async fn forged_cookie_is_ignored() {
    let (server, other) = (Server::start(&[]).await, Server::start(&[]).await);
    let ann = server.log_in("ann").await;
    assert_eq!(server.who(&[&ann]).await, "ann");
    let forged = ann.replace(".ann", ".bob");
    assert_ne!(forged, ann);
    for cookie in
        [forged, ann[..ann.len() - 1].to_owned(), "cookie: session=1.ann".to_owned(), other.log_in("ann").await]
    {
        assert_eq!(server.who(&[&cookie]).await, Value::Null, "{cookie}");
    }
}

#[tokio::test]
async fn login_survives_a_restart_with_the_same_key() {
    let settings = [("COOKIE_KEY", &*"5e".repeat(64))];
    let ann = Server::start(&settings).await.log_in("ann").await;
    assert_eq!(Server::start(&settings).await.who(&[&ann]).await, "ann");
}

#[tokio::test]
async fn logout_ends_only_the_streams_of_the_user() {
    // A check of the session would be too late for this test.
    let server = Server::start(&[("ACCESS_SECONDS", "3600")]).await;
    let (ann, bob) = (server.log_in("ann").await, server.log_in("bob").await);
    let (mut one, mut two) = (server.events(&[&ann]).await, server.events(&[&ann]).await);
    let (mut to_bob, mut to_all) = (server.events(&[&bob]).await, server.events(&[]).await);

    let answer = server.post("/logout", &[&ann], &json!({})).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"), "{answer:?}");
    one.rest().await;
    two.rest().await;
    server.metric_becomes("sse_streams_closed_total{reason=\"access_revoked\"}", 2.0).await;
    server.metric_becomes("sse_streams_open", 2.0).await;
    assert_eq!(server.logged("logged out").await[0]["fields"]["streams"], 2);

    server.post("/notes", &[&bob], &json!({ "text": "still here" })).await;
    to_bob.until("still here").await;
    to_all.until("event: status\n").await;
}

#[tokio::test]
async fn cookie_is_invalid_after_a_logout() {
    let server = Server::start(&[]).await;
    let ann = server.log_in("ann").await;
    server.post("/logout", &[&ann], &json!({})).await;
    assert_eq!(server.who(&[&ann]).await, Value::Null);
    let again = server.log_in("ann").await;
    assert_eq!(server.who(&[&again]).await, "ann");
    assert_eq!(server.who(&[&ann]).await, Value::Null);
}

#[tokio::test]
async fn expired_session_ends_only_its_own_stream() {
    let server = Server::start(&[("SESSION_SECONDS", "15"), ("ACCESS_SECONDS", "1")]).await;
    let mut to_all = server.events(&[]).await;
    let ann = server.log_in("ann").await;
    let mut stream = server.events(&[&ann]).await;
    stream.rest().await;
    assert_eq!(server.who(&[&ann]).await, Value::Null);
    let closed = server.logged("stream closed").await;
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0]["fields"]["error"], "the session is over");
    to_all.until("data: {\"streams\":1}\n").await;
}
