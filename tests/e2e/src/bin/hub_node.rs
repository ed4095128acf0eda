//! A node of a hub on Redis, as a separate process: `GET /events`, with `as=NAME` as a member, and `POST /publish` with the
//! data as body.

use std::{env, time::Duration};

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use tokio::net::TcpListener;
use tower_sse::{
    BoxError, Event, SseLayer,
    backplane::redis::Redis,
    hub::{Hub, PublishError, Retention, Start, Subscribe},
};

async fn publish(State(hub): State<Hub>, data: String) -> Result<String, (StatusCode, String)> {
    let topic = hub.topic("topic").map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    match topic.publish(Event::new(data)).await {
        Ok(id) => Ok(id.to_string()),
        Err(error @ PublishError::Unknown(_)) => Err((StatusCode::GATEWAY_TIMEOUT, error.to_string())),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    // Longer than any step takes on a busy machine.
    let mut redis = Redis::builder(env::var("REDIS_URL")?).publish_timeout(Duration::from_secs(10));
    if let Ok(seconds) = env::var("NODE_EXPIRES") {
        redis = redis.presence_ttl(Duration::from_secs(seconds.parse()?));
    }
    let hub =
        Hub::builder().retention(Retention::new().events(100_000).bytes(64 << 20)).build_with_backplane(redis.build()?);
    let streams = hub.service(|head| {
        let all = Subscribe::to("topic").start(Start::Beginning);
        match head.uri().query().and_then(|query| query.strip_prefix("as=")) {
            Some(name) => all.member(name),
            None => all,
        }
    });
    let mut layer = SseLayer::new(streams).last_event_id_query("after");
    if let Ok(millis) = env::var("HEARTBEAT") {
        layer = layer.heartbeat(Duration::from_millis(millis.parse()?));
    }
    let app = Router::new()
        .route("/events", get(StatusCode::NO_CONTENT).layer(layer))
        .route("/publish", post(publish))
        .with_state(hub);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
