//! haproxy.

use std::fs;

use tower_sse::Heartbeat;
use tower_sse_e2e::document::with;

use crate::{
    front::{By, Front, documented, sooner},
    link::{Link, PROMPT, Silence, assert_prompt},
    origin::Origin,
};

#[tokio::test]
#[ignore = "needs haproxy and curl; run by ./tests/run"]
async fn events_arrive_one_by_one_through_haproxy() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    let front = Front::haproxy(&config(), &origin).await;
    for by in [By::Http1, By::Http1Tls, By::Http2Tls] {
        let mut link = Link::open(&mut origin, &front, by, "/events", &[]).await;
        assert_prompt(&format!("haproxy, {by}"), &mut link).await;
    }
}

#[tokio::test]
#[ignore = "needs haproxy and curl; run by ./tests/run"]
async fn haproxy_without_no_delay_delays_events_without_tls() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    let front = Front::haproxy(&with(&config(), "    option http-no-delay\n", ""), &origin).await;
    for by in [By::Http1, By::Http1Tls, By::Http2Tls] {
        let mut link = Link::open(&mut origin, &front, by, "/events", &[]).await;
        if by != By::Http1 {
            assert_prompt(&format!("haproxy without http-no-delay, {by}"), &mut link).await;
            continue;
        }
        let delays = link.one_by_one().await;
        println!("haproxy without http-no-delay, {by}: {delays}");
        assert!(delays.median() >= PROMPT, "{by}: {delays}");
    }
}

#[tokio::test]
#[ignore = "needs haproxy and curl; run by ./tests/run"]
async fn compressing_haproxy_delays_only_streams_of_others() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    let lines = documented("haproxy", "compression algo");
    let front = Front::haproxy(&(config() + &lines), &origin).await;
    let head = front.file("head");
    let options = ["--compressed", "--dump-header", &head];
    let is_compressed = || fs::read_to_string(&head).expect("a head").contains("content-encoding: gzip");

    for path in ["/events", "/decorated"] {
        let mut link = Link::open(&mut origin, &front, By::Http2Tls, path, &options).await;
        assert_prompt(&format!("haproxy with compression, HTTP/2 by TLS, {path}"), &mut link).await;
        assert!(!is_compressed(), "{path}");
    }

    let link = Link::open(&mut origin, &front, By::Http2Tls, "/plain", &options).await;
    let delays = link.at_a_pace().await;
    println!("haproxy with compression, HTTP/2 by TLS, without no-transform: {delays}");
    assert!(delays.first_waits_for_the_second(), "{delays}");
    assert!(is_compressed());
}

#[tokio::test]
#[ignore = "needs haproxy and curl; run by ./tests/run"]
async fn heartbeats_keep_a_stream_open_through_haproxy() {
    let config = sooner(&config());
    for silence in [Silence::Heartbeats, Silence::Nothing] {
        let mut origin = Origin::start(silence.heartbeat()).await;
        let front = Front::haproxy(&config, &origin).await;
        let link = Link::open(&mut origin, &front, By::Http2Tls, "/events", &[]).await;
        assert_eq!(link.outlives_the_proxy().await, silence == Silence::Heartbeats, "{silence:?}");
    }
}

#[tokio::test]
#[ignore = "needs haproxy and curl; run by ./tests/run"]
async fn haproxy_reports_a_disconnect_to_a_silent_origin() {
    let mut origin = Origin::start(Heartbeat::off()).await;
    let front = Front::haproxy(&config(), &origin).await;
    for by in [By::Http1, By::Http1Tls, By::Http2Tls] {
        let link = Link::open(&mut origin, &front, by, "/events", &[]).await;
        println!("haproxy, {by}: the origin detects {:?} later that a client has left", link.leave().await);
    }
}

#[tokio::test]
#[ignore = "needs haproxy and curl; run by ./tests/run"]
async fn haproxy_without_abortonclose_reports_a_disconnect_late() {
    let mut origin = Origin::start(Heartbeat::off()).await;
    let front = Front::haproxy(&with(&config(), "    option abortonclose\n", ""), &origin).await;
    for by in [By::Http1, By::Http1Tls, By::Http2Tls] {
        let link = Link::open(&mut origin, &front, by, "/events", &[]).await;
        let events = link.leave_and_send().await;
        println!("haproxy without abortonclose, {by}: the origin detects with event {events} that a client has left");
        assert!(events >= 2, "{by}: with event {events}");
    }
}

fn config() -> String {
    documented("haproxy", "option http-no-delay")
}
