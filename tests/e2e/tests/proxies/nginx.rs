//! nginx.

use std::fs;

use axum::http::Version;
use tower_sse::Heartbeat;

use crate::{
    front::{By, Front, documented, sooner},
    link::{Link, Silence, assert_prompt},
    origin::Origin,
};

const AS_IT_IS: &str = "location /events {\n    proxy_pass http://127.0.0.1:3000;\n}\n";

#[tokio::test]
#[ignore = "needs nginx and curl; run by ./tests/run"]
async fn nginx_by_default_passes_events_at_once_over_http_1_0() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    let front = Front::nginx(&documented("nginx", AS_IT_IS), &origin).await;
    let mut link = Link::open(&mut origin, &front, By::Http1, "/events", &[]).await;
    assert_eq!(link.opened.version, Version::HTTP_10);
    assert_prompt("nginx as it is, HTTP/1.1", &mut link).await;
}

#[tokio::test]
#[ignore = "needs nginx and curl; run by ./tests/run"]
async fn events_arrive_one_by_one_through_nginx() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    let front = Front::nginx_server(&documented("nginx", "listen 443"), &origin).await;
    for by in [By::Http1, By::Http1Tls, By::Http2Tls] {
        let mut link = Link::open(&mut origin, &front, by, "/events", &[]).await;
        assert_eq!(link.opened.version, Version::HTTP_11);
        assert_prompt(&format!("nginx, {by}"), &mut link).await;
    }
}

#[tokio::test]
#[ignore = "needs nginx and curl; run by ./tests/run"]
async fn events_arrive_one_by_one_through_compressing_nginx() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    let lines = [documented("nginx", "gzip on;"), documented("nginx", AS_IT_IS)].concat();
    let front = Front::nginx(&lines, &origin).await;
    let head = front.file("head");
    let options = ["--compressed", "--dump-header", &head];
    let mut link = Link::open(&mut origin, &front, By::Http1, "/events", &options).await;
    assert_prompt("nginx with gzip, HTTP/1.1", &mut link).await;
    let head = fs::read_to_string(head).expect("a head");
    assert!(head.to_ascii_lowercase().contains("content-encoding: gzip"), "{head}");
}

#[tokio::test]
#[ignore = "needs nginx and curl; run by ./tests/run"]
async fn nginx_buffers_without_the_header_or_the_documented_lines() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    let plain = |lines: &str| lines.replace("/events", "/plain");

    let front = Front::nginx(&plain(&documented("nginx", AS_IT_IS)), &origin).await;
    let link = Link::open(&mut origin, &front, By::Http1, "/plain", &[]).await;
    let delays = link.at_a_pace().await;
    println!("nginx as it is, HTTP/1.1, without the header: {delays}");
    assert!(delays.first_waits_for_the_end(), "{delays}");

    let lines = [documented("nginx", "gzip on;"), plain(&documented("nginx", "proxy_buffering off"))].concat();
    let front = Front::nginx(&lines, &origin).await;
    let mut link = Link::open(&mut origin, &front, By::Http1, "/plain", &["--compressed"]).await;
    assert_prompt("nginx with lines, HTTP/1.1, without the header", &mut link).await;
}

#[tokio::test]
#[ignore = "needs nginx and curl; run by ./tests/run"]
async fn heartbeats_keep_a_stream_open_through_nginx() {
    let server = sooner(&documented("nginx", "listen 443"));
    for silence in [Silence::Heartbeats, Silence::Nothing] {
        let mut origin = Origin::start(silence.heartbeat()).await;
        let front = Front::nginx_server(&server, &origin).await;
        let link = Link::open(&mut origin, &front, By::Http2Tls, "/events", &[]).await;
        assert_eq!(link.outlives_the_proxy().await, silence == Silence::Heartbeats, "{silence:?}");
    }
}

#[tokio::test]
#[ignore = "needs nginx and curl; run by ./tests/run"]
async fn nginx_reports_a_disconnect_to_a_silent_origin() {
    let mut origin = Origin::start(Heartbeat::off()).await;
    let front = Front::nginx_server(&documented("nginx", "listen 443"), &origin).await;
    for by in [By::Http1, By::Http1Tls, By::Http2Tls] {
        let link = Link::open(&mut origin, &front, by, "/events", &[]).await;
        println!("nginx, {by}: the origin detects {:?} later that a client has left", link.leave().await);
    }
}
