//! Each documented metric, in the text format of Prometheus.

use std::collections::BTreeMap;

use http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, ServiceExt};
use tower_sse::{
    Event, SseLayer,
    hub::{Hub, Subscribe},
    observe::Metrics,
};

use crate::{page, show, show_link};

/// The samples of a text, by name and labels.
fn samples(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name, value.parse().unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn metrics_count_what_has_happened() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    show(Metrics::new().label("service", "prices")).await;

    let text = recorder.handle().render();
    let samples = samples(&text);
    let expected = [
        (r#"sse_streams_open{service="prices"}"#, 0.0),
        (r#"sse_streams_opened_total{service="prices"}"#, 3.0),
        (r#"sse_streams_closed_total{service="prices",reason="failed"}"#, 1.0),
        (r#"sse_streams_closed_total{service="prices",reason="client_gone"}"#, 1.0),
        (r#"sse_streams_closed_total{service="prices",reason="topic_closed"}"#, 1.0),
        (r#"sse_streams_refused_total{service="prices",status="200",cause="full"}"#, 1.0),
        (r#"sse_streams_refused_total{service="prices",status="503",cause="full"}"#, 1.0),
        (r#"sse_streams_refused_total{service="prices",status="403",cause="other"}"#, 1.0),
        (r#"sse_gaps_total{service="prices"}"#, 1.0),
        // Two, and two of the stream that left; those that the log still had.
        (r#"sse_events_sent_total{service="prices"}"#, 6.0),
        (r#"sse_heartbeats_sent_total{service="prices"}"#, 2.0),
        (r#"sse_first_event_seconds_count{service="prices"}"#, 3.0),
        (r#"sse_first_event_seconds_sum{service="prices"}"#, 0.0),
        (r#"sse_stream_duration_seconds_count{service="prices"}"#, 3.0),
        (r#"sse_stream_duration_seconds_sum{service="prices"}"#, 10.0),
    ];
    for (name, value) in expected {
        assert_eq!(samples.get(name), Some(&value), "{name}\n{text}");
    }
    assert!(samples[r#"sse_bytes_sent_total{service="prices"}"#] > 100.0, "{text}");
}

#[test]
fn link_of_a_backplane_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    show_link(&Metrics::new().label("hub", "chat"));
    let text = recorder.handle().render();
    let samples = samples(&text);
    let expected = [
        ("up", 1.0),
        ("lost_total", 2.0),
        ("failures_total", 2.0),
        ("events_total", 6.0),
        ("lag_seconds_count", 2.0),
        ("lag_seconds_sum", 0.5),
        ("skipped_total", 1.0),
        ("renewed_total", 1.0),
    ];
    for (name, value) in expected {
        let name = format!(r#"sse_backplane_{name}{{hub="chat"}}"#);
        assert_eq!(samples.get(&*name), Some(&value), "{name}\n{text}");
    }
}

/// Records a hub that has evicted a topic, with its keyed value, and has refused another.
fn record_full_hub(metrics: &Metrics) {
    let hub = Hub::builder().max_topics(2).build();
    let _held = hub.topic("held").expect("the hub has room");
    let goes = hub.topic("goes").expect("the hub has room");
    goes.publish_keyed("key", Event::new("value")).try_result().expect("the publish succeeds");
    drop(goes);
    let _comes = hub.topic("comes").expect("an unheld topic is evicted");
    assert!(hub.topic("refused").is_err());
    assert!(hub.health().is_full());
    metrics.record(&hub);
}

#[test]
fn refusals_and_evictions_of_a_full_hub_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    record_full_hub(&Metrics::new().label("hub", "chat"));
    let text = recorder.handle().render();
    let samples = samples(&text);
    let expected =
        [("topics", 2.0), ("refused_total", 1.0), ("topics_evicted_total", 1.0), ("keys_evicted_total", 1.0)];
    for (name, value) in expected {
        let name = format!(r#"sse_hub_{name}{{hub="chat"}}"#);
        assert_eq!(samples.get(&*name), Some(&value), "{name}\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn stream_refused_by_a_full_hub_has_its_own_label() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let hub = Hub::builder().max_topics(1).build();
    let _held = hub.topic("held").expect("the hub has room");
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("another"))).observer(Metrics::new());
    let request = Request::get("/").header("accept", "text/event-stream").body(String::new()).unwrap();
    layer.layer(page!()).oneshot(request).await.unwrap();
    let text = recorder.handle().render();
    let name = r#"sse_streams_refused_total{status="200",cause="hub_full"}"#;
    assert_eq!(samples(&text).get(name), Some(&1.0), "{text}");
}

#[tokio::test(start_paused = true)]
async fn described_metrics_are_the_documented_ones() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    show(Metrics::new()).await;
    show_link(&Metrics::new());
    record_full_hub(&Metrics::new());
    let text = recorder.handle().render();
    let names = |of: &str| -> Vec<_> {
        let mut names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(of)?.split(' ').next()).collect();
        names.sort_unstable();
        names
    };
    let recorded = names("# TYPE ");
    let source = include_str!("../../../../src/metrics.rs");
    let mut named: Vec<_> = source.lines().filter_map(|line| line.strip_prefix("/// | `")?.split('`').next()).collect();
    named.sort_unstable();
    assert_eq!(recorded, named);
    assert_eq!(names("# HELP "), named);
}
