//! Apache.

use tower_sse::Heartbeat;

use crate::{
    front::{By, Front, documented},
    link::{Link, assert_prompt},
    origin::Origin,
};

#[tokio::test]
#[ignore = "needs apache2 and curl; run by ./tests/run"]
async fn events_arrive_one_by_one_through_apache() {
    let mut origin = Origin::start(Heartbeat::default()).await;
    let front = Front::apache(&config(), &origin).await;
    let mut link = Link::open(&mut origin, &front, By::Http1, "/events", &[]).await;
    assert_prompt("Apache, HTTP/1.1", &mut link).await;
}

#[tokio::test]
#[ignore = "needs apache2 and curl; run by ./tests/run"]
async fn apache_reports_a_disconnect_with_the_second_event() {
    let mut origin = Origin::start(Heartbeat::off()).await;
    let front = Front::apache(&config(), &origin).await;
    let link = Link::open(&mut origin, &front, By::Http1, "/events", &[]).await;
    let events = link.leave_and_send().await;
    println!("Apache, HTTP/1.1: the origin detects with event {events} that a client has left");
    assert!(events >= 2, "with event {events}");
}

fn config() -> String {
    documented("apache", "ProxyPass")
}
