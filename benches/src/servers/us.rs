//! tower-sse as its documentation has it: the layer, around a service that is not found, and a hub behind it.

use std::{convert::Infallible, future::ready, io, time::Duration};

use crate::{
    control::{self, Command},
    text::{self, FLOOD},
};
use http::{Request, Response, StatusCode, Uri};
use tokio::net::TcpListener;
use tower::{Layer, service_fn};
use tower_sse::{
    Event, Events, SseLayer,
    hub::{Hub, Retention, Start, Subscribe, SubscribeError, Subscription, Topic},
};

use super::{
    Form,
    bodies::{Flood, Nothing},
    plain,
};

/// Serves what is published, replays the log, or floods.
pub(crate) async fn serve(listener: TcpListener, control: TcpListener, form: Form) -> io::Result<()> {
    let hub = Hub::builder().linger(if form.lingers { LINGER } else { Duration::ZERO }).build();
    let kept = Retention::new().events(20_000).bytes(32 << 20);
    let watched = hub.topic("events").map_err(io::Error::other)?;
    let log = hub.topic_with("log", kept).map_err(io::Error::other)?;

    let events = SseLayer::new(hub.service(|head| match head.uri().path() {
        "/log" => Subscribe::to("log").start(Start::Beginning),
        _ => Subscribe::to("events"),
    }));
    // Only where the path is another do the other layers come into play.
    let events = events.when(|head| !["/flood", "/beat"].contains(&head.uri().path()));
    let beats = SseLayer::from_fn(move |request: Request<_>| ready(beating(&hub, request.uri())));
    let beats = beats.when(|head| head.uri().path() == "/beat");
    let flood = SseLayer::from_fn(async |request: Request<_>| flood(request.uri()));
    let nothing = service_fn(async |_| Ok::<_, Infallible>(not_found()));

    tokio::select! {
        served = plain::serve(listener, events.layer(beats.layer(flood.layer(nothing))), form) => served,
        obeyed = control::obey(control, publisher(watched, log)) => obeyed,
    }
}

pub(super) fn publisher(watched: Topic, log: Topic) -> impl FnMut(Command) {
    let mut next = [0; 2];
    move |command| {
        let (topic, next) = if command.to_log { (&log, &mut next[1]) } else { (&watched, &mut next[0]) };
        let numbers = *next..*next + command.events;
        *next = numbers.end;
        let mut events = numbers.map(|number| Event::new(text::data(number, command.size)));
        // The client notices what is missing.
        let _ = match command.events {
            1 => events.next().map(|event| topic.publish(event)),
            _ => Some(topic.publish_all(events)),
        };
    }
}

/// The events that are published, with heartbeats at this interval.
fn beating(hub: &Hub, uri: &Uri) -> Result<Events<Subscription>, SubscribeError> {
    let interval = Duration::from_millis(number(uri, "ms=").unwrap_or(15_000) as u64);
    hub.subscribe("events").map(|subscription| Events::from(subscription).heartbeat(interval))
}

/// Events without an end: made one by one, or all made before.
fn flood(uri: &Uri) -> Events<impl tower_sse::Source + use<>> {
    let size = number(uri, "size=").unwrap_or(64);
    let texts: Vec<String> = (0..FLOOD).map(|number| text::data(number, size)).collect();
    let events = texts.iter().map(Event::new).collect::<Vec<_>>();
    let is_made = number(uri, "made=") == Some(1);
    Events::new(Flood::new(move |at| if is_made { events[at].clone() } else { Event::new(&texts[at]) }))
}

fn number(uri: &Uri, key: &str) -> Option<usize> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix(key))?.parse().ok()
}

pub(super) fn not_found() -> Response<Nothing> {
    let mut response = Response::new(Nothing);
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

const LINGER: Duration = Duration::from_millis(5);
