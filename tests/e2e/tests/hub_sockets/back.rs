//! Reconnecting clients miss nothing, or receive a gap.

use tower_sse::{
    Event,
    hub::{Hub, Subscribe},
};

use crate::support::{Watcher, serve};

#[tokio::test]
async fn client_cut_before_its_first_event_misses_nothing() {
    let hub = Hub::new();
    let news = hub.topic("news").expect("the hub has room");
    let server = serve(&hub, || Subscribe::to("news")).await;

    let mut cut = Watcher::open(&server, None).await;
    assert_eq!(cut.word().await, "subscribed");
    let id = cut.last_event_id().to_owned();
    drop(cut);
    news.publish(Event::new("while it was away")).try_result().expect("the event is small");

    let mut back = Watcher::open(&server, Some(&id)).await;
    assert_eq!(back.word().await, "while it was away");
    news.publish(Event::new("now")).try_result().expect("the event is small");
    assert_eq!(back.word().await, "now");
}

#[tokio::test]
async fn restart_is_one_gap_without_duplicates() {
    let before = Hub::new();
    let server = serve(&before, || Subscribe::to("news")).await;
    let mut watcher = Watcher::open(&server, None).await;
    assert_eq!(watcher.word().await, "subscribed");
    before.topic("news").expect("the hub has room").publish(Event::new("1")).try_result().expect("the event is small");
    assert_eq!(watcher.word().await, "1");
    let id = watcher.last_event_id().to_owned();
    drop((watcher, server, before));

    // Another process is another hub.
    let after = Hub::new();
    let news = after.topic("news").expect("the hub has room");
    news.publish(Event::new("2")).try_result().expect("the event is small");
    let server = serve(&after, || Subscribe::to("news")).await;
    let mut back = Watcher::open(&server, Some(&id)).await;
    let gap = back.next().await.expect("the stream continues");
    assert_eq!(gap.name().map(ToString::to_string).as_deref(), Some("gap"));
    assert!(gap.data().contains(&format!("\"from\":\"{id}\"")), "{}", gap.data());
    assert_eq!(back.word().await, "2");
    let id = back.last_event_id().to_owned();
    drop(back);

    let mut again = Watcher::open(&server, Some(&id)).await;
    news.publish(Event::new("3")).try_result().expect("the event is small");
    assert_eq!(again.word().await, "3", "one gap was sent, and 2 is not sent again");
}
