//! The example `cluster`, two of it.

use std::net::SocketAddr;

use futures_util::StreamExt;
use http::{Method, Version};
use tower_sse::{EventReader, decode::Item};
use tower_sse_e2e::{client::Client, example::Example, redis::Redis};

use crate::nodes::{post, within};

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn what_is_said_on_one_node_is_read_on_the_other() {
    let redis = Redis::start(&[]).expect("it starts");
    let url = redis.url();
    let environment = [("REDIS_URL", &*url)];
    let start = || Example::start_with("tower-sse-example-cluster", &environment);
    let (one, two) = (start().await.expect("it listens"), start().await.expect("it listens"));
    let mut client = Client::connect(address(&one), Version::HTTP_11).await.expect("it listens");
    let stream = client.ask(Method::GET, "/rooms/lobby?as=ann").await.expect("it answers");
    let mut events = EventReader::new(stream.into_body());
    assert!(within(post(address(&two), "/rooms/lobby?as=bob", "hello")).await.is_some());
    loop {
        let item = within(events.next()).await.expect("it is open").expect("it is not cut");
        let Item::Event(message) = item else { continue };
        if message.name().is_none() {
            assert!(message.data().contains(r#""from":"bob","text":"hello""#), "{}", message.data());
            return;
        }
    }
}

fn address(example: &Example) -> SocketAddr {
    let url = example.url("");
    url.trim_start_matches("http://").parse().expect("it is an address")
}
