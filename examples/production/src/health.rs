//! Liveness, readiness and metrics for operators. A proxy must not expose these to the public.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tokio::time::sleep;

use crate::app::App;

/// Installs the recorder whose metrics `/metrics` serves.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("sse_first_event_seconds".into()), FIRST_EVENT)?
        .set_buckets_for_metric(Matcher::Full("sse_stream_duration_seconds".into()), DURATION)?
        .install_recorder()?;
    Collector::default().describe();
    describe_gauge!("app_streams_limit", "Streams that there may be at a time");
    describe_gauge!("app_topics_limit", "Topics that there may be at a time");

    // Without it, each value recorded between two scrapes is kept separately.
    let upkeep = prometheus.clone();
    tokio::spawn(async move {
        loop {
            sleep(UPKEEP_EVERY).await;
            upkeep.run_upkeep();
        }
    });
    Ok(prometheus)
}

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/healthz", get("it is alive\n")).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.is_leaving() {
        (StatusCode::SERVICE_UNAVAILABLE, "it is leaving\n")
    } else {
        (StatusCode::OK, "it is ready\n")
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    Collector::default().collect();
    gauge!("app_streams_limit").set(app.streams_limit as f64);
    gauge!("app_topics_limit").set(app.hub.health().max_topics as f64);
    app.metrics.record(&app.hub);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.prometheus.render())
}

/// The buckets of the time from a stream's opening to its first event, in seconds.
const FIRST_EVENT: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

/// The buckets of a stream's duration, in seconds.
const DURATION: &[f64] = &[1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 14_400.0];

const UPKEEP_EVERY: Duration = Duration::from_secs(5);
