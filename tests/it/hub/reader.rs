//! Readers of the schedules: a stream of values, or the bytes of a response.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http_body::Body;
use http_body_util::BodyExt;
use tower::Service;
use tower_layer::Layer;
use tower_sse::{
    BodyError, EventId, Heartbeat, LastEventId, Refusal, RequestHead, SseLayer,
    decode::{Decoder, Item, Message},
    hub::{Hub, Subscribe, Subscription, Update},
    observe::Reason,
};

/// A mode of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Through {
    /// As a `Stream`, one update at a time.
    Stream,
    /// As the frames of a response's body, which are decoded.
    Wire,
}

/// An update that a client received, in either mode.
#[derive(Debug)]
pub(super) enum Received {
    Subscribed { at: Option<u64> },
    Event { id: Option<u64>, topic: Option<String>, data: String },
    Gap { from: Option<String>, to: u64, at: u64 },
    Ended(Reason),
}

/// The source of a client's events.
pub(super) enum Reader {
    Stream(Box<Subscription>),
    Wire { body: Frames, decoder: Box<Decoder>, rest: Vec<u8> },
}

type Frames = Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>;

impl Reader {
    pub(super) fn new(hub: &Hub, subscribe: Subscribe, id: Option<String>, through: Through) -> Self {
        match through {
            Through::Stream => {
                let id = id.map(|id| LastEventId::from_id(&id.try_into().expect("the id is valid")));
                Self::Stream(Box::new(hub.subscribe(subscribe.resume_after(id.flatten())).expect("the hub has room")))
            }
            Through::Wire => Self::Wire { body: body(hub, subscribe, id), decoder: Box::default(), rest: Vec::new() },
        }
    }

    /// Returns the updates that are ready: one, or a frame of them.
    pub(super) fn read(&mut self) -> Vec<Received> {
        match self {
            Self::Stream(subscription) => match subscription.next().now_or_never() {
                None => Vec::new(),
                Some(None) => {
                    vec![Received::Ended(subscription.end_reason().expect("an ended subscription has a reason"))]
                }
                Some(Some(update)) => vec![update.into()],
            },
            Self::Wire { body, decoder, rest } => match body.frame().now_or_never() {
                None => Vec::new(),
                // The reason is distinguished by the `retry:` before it.
                Some(None) => vec![Received::Ended(if rest.is_empty() { Reason::TopicClosed } else { Reason::Lagged })],
                Some(Some(frame)) => {
                    let data = frame.expect("the body never fails").into_data().expect("the body has no trailers");
                    assert!(!data.is_empty());
                    let given = decoded(decoder, &data, rest);
                    if given.is_empty() { self.read() } else { given }
                }
            },
        }
    }
}

impl From<Update> for Received {
    fn from(update: Update) -> Self {
        let number = |id: &EventId| sequence_of(id.as_str()).expect("the id is the hub's");
        match update {
            Update::Subscribed(at) => Self::Subscribed { at: at.as_ref().map(number) },
            Update::Event { topic, event } => Self::Event {
                id: event.id().map(number),
                topic: Some(topic.as_ref().to_owned()),
                data: event.data().into_owned(),
            },
            Update::Gap(gap) => {
                let from = gap.from.map(|from| from.as_str().to_owned());
                Self::Gap { from, to: number(&gap.to), at: number(&gap.to) }
            }
            other => unreachable!("{other:?}"),
        }
    }
}

/// Decodes the events of a frame. A `retry:` is set aside: it comes before an end.
fn decoded(decoder: &mut Decoder, mut data: &[u8], rest: &mut Vec<u8>) -> Vec<Received> {
    let mut given = Vec::new();
    while let Some(item) = decoder.decode(&mut data).expect("the data is an event stream") {
        match item {
            Item::Event(message) => given.push(message_given(&message)),
            Item::Retry(_) => rest.push(b'r'),
            _ => {}
        }
    }
    given
}

fn message_given(message: &Message) -> Received {
    let at = message.id().map(|id| sequence_of(id.as_str()).expect("the id is the hub's"));
    match message.name().map(|name| name.as_str()) {
        Some("subscribed") => Received::Subscribed { at },
        Some("gap") => {
            let gap: serde_json::Value = serde_json::from_str(message.data()).expect("the value is JSON");
            let to = gap["to"].as_str().and_then(sequence_of).expect("a gap has an end");
            Received::Gap { from: gap["from"].as_str().map(str::to_owned), to, at: at.expect("each gap has an id") }
        }
        _ => Received::Event { id: at, topic: None, data: message.data().to_owned() },
    }
}

/// Returns the sequence of an id.
pub(super) fn sequence_of(id: &str) -> Option<u64> {
    id.rsplit_once('-')?.1.parse().ok()
}

/// Returns the body of a response with this stream, outside of any runtime.
fn body(hub: &Hub, subscribe: Subscribe, id: Option<String>) -> Frames {
    let events = hub.service(move |_: &RequestHead<'_>| subscribe.clone());
    let inside =
        tower::service_fn(|_: http::Request<()>| async { Ok::<_, Refusal>(http::Response::new(String::new())) });
    let mut service = SseLayer::new(events).heartbeat(Heartbeat::off()).commit_after(None).layer(inside);
    let mut request = http::Request::get("/").header("accept", "text/event-stream");
    if let Some(id) = id {
        request = request.header("last-event-id", id);
    }
    let request = request.body(()).expect("the request is valid");
    let response =
        service.call(request).now_or_never().expect("the service answers at once").expect("the service is infallible");
    assert_eq!(response.status(), 200);
    Box::pin(response.into_body())
}
