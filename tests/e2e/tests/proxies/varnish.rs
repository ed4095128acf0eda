//! Varnish.

use tower_sse::Heartbeat;

use crate::{
    front::{By, Front, documented},
    link::{Link, assert_prompt},
    origin::Origin,
};

#[tokio::test]
#[ignore = "needs varnishd and curl; run by ./tests/run"]
async fn events_arrive_one_by_one_through_varnish() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    for (named, config) in [("with a pipe", piped()), ("as it is", plain())] {
        let front = Front::varnish(&config, &origin).await;
        let mut link = Link::open(&mut origin, &front, By::Http1, "/events", &[]).await;
        assert_prompt(&format!("Varnish {named}, HTTP/1.1"), &mut link).await;
    }
}

#[tokio::test]
#[ignore = "needs varnishd and curl; run by ./tests/run"]
async fn compressing_varnish_holds_all_events_to_the_end() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    let config = plain() + "sub vcl_backend_response { set beresp.do_gzip = true; }\n";
    let front = Front::varnish(&config, &origin).await;
    for options in [&["--compressed"][..], &[]] {
        let delays = Link::open(&mut origin, &front, By::Http1, "/events", options).await.at_a_pace().await;
        println!("Varnish with do_gzip, HTTP/1.1, {options:?}: {delays}");
        assert!(delays.first_waits_for_the_end(), "{options:?}: {delays}");
    }
}

#[tokio::test]
#[ignore = "needs varnishd and curl; run by ./tests/run"]
async fn varnish_that_excludes_streams_passes_events() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    let front = Front::varnish(&(plain() + &documented("vcl", "do_gzip")), &origin).await;
    let mut link = Link::open(&mut origin, &front, By::Http1, "/events", &["--compressed"]).await;
    assert_prompt("Varnish with do_gzip for others, HTTP/1.1", &mut link).await;
}

#[tokio::test]
#[ignore = "needs varnishd and curl; run by ./tests/run"]
async fn varnish_with_pipe_reports_a_disconnect_at_once() {
    let mut origin = Origin::start(Heartbeat::off()).await;
    let front = Front::varnish(&piped(), &origin).await;
    let link = Link::open(&mut origin, &front, By::Http1, "/events", &[]).await;
    println!("Varnish with a pipe, HTTP/1.1: the origin detects {:?} later that a client has left", link.leave().await);
}

#[tokio::test]
#[ignore = "needs varnishd and curl; run by ./tests/run"]
async fn varnish_without_pipe_reports_a_disconnect_late() {
    let mut origin = Origin::start(Heartbeat::off()).await;
    let front = Front::varnish(&plain(), &origin).await;
    let link = Link::open(&mut origin, &front, By::Http1, "/events", &[]).await;
    let events = link.leave_and_send().await;
    println!("Varnish as it is, HTTP/1.1: the origin detects with event {events} that a client has left");
    assert!(events >= 2, "with event {events}");
}

fn piped() -> String {
    documented("vcl", "return (pipe)")
}

/// The same without the lines for streams.
fn plain() -> String {
    let piped = piped();
    let (plain, _) = piped.split_once("sub vcl_recv").expect("the lines for streams");
    plain.to_owned()
}
