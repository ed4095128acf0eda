use std::collections::BTreeMap;

use tower_sse_e2e::{
    example::{Example, command},
    process::Process,
};

use crate::support::{assert_page, events, get_events, next_json, send};

#[tokio::test]
async fn one_port_has_page_and_stream() {
    let example = Example::start(NAME).await.unwrap();
    assert_page(example.url("/"), "tower-sse: gRPC and events").await;
    let mut stream = events(send(get_events(example.url("/"))).await);
    let first = next_json(&mut stream).await["number"].as_u64().unwrap();
    let second = next_json(&mut stream).await["number"].as_u64().unwrap();
    assert!(first < second, "{first} {second}");
}

#[tokio::test]
async fn grpc_and_events_share_one_source() {
    let example = Example::start(NAME).await.unwrap();
    let mut grpc = command(NAME).unwrap();
    grpc.args(["watch", &example.url("/")]);
    let mut grpc = Process::start(grpc).unwrap();
    let mut stream = events(send(get_events(example.url("/"))).await);

    // A slow reader may miss some, so they are compared where both have one.
    let mut by_event = BTreeMap::new();
    let mut same = 0;
    while same < 3 {
        let reading = next_json(&mut stream).await;
        by_event.insert(reading["number"].as_u64().unwrap(), format!("{:.2} °C", reading["celsius"].as_f64().unwrap()));
        let line = grpc.line("").await.unwrap();
        let (number, celsius) = line.split_once(": ").unwrap();
        if let Some(sent) = by_event.get(&number.parse().unwrap()) {
            assert_eq!(sent, celsius);
            same += 1;
        }
    }
}

const NAME: &str = "tower-sse-example-tonic";
