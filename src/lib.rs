//! Server-Sent Events as a tower [`Layer`](tower_layer::Layer).

pub mod decode;
pub mod event;
pub mod field;
pub mod future;
pub mod observe;
pub mod refusal;

mod accept;
#[cfg(feature = "axum")]
pub mod axum;
mod body;
mod bom;
mod channel;
mod encode;
mod events;
mod every;
mod headers;
mod jitter;
#[cfg(feature = "json")]
mod json;
mod last_event_id;
mod layer;
mod read;
mod respond;
mod service;
mod settings;
#[cfg(feature = "json")]
mod tagged;

/// What [`Events`] are made of, for those who have to name it.
pub mod source {
    pub use crate::{body::streamed::FromStream, channel::EventReceiver, every::Every};
}

#[cfg(feature = "json")]
pub use crate::json::JsonError;
pub use crate::{
    accept::Negotiate,
    body::{SseBody, heartbeat::Heartbeat, never::Never, source::Source, streamed::IntoEvent},
    channel::{ClosedError, EventSender, TrySendError},
    event::{Event, EventBuilder},
    events::{Events, IntoAnswer, IntoReply, Reply},
    field::{EventId, EventName, InvalidId, InvalidName},
    last_event_id::LastEventId,
    layer::{SseLayer, UpstreamError},
    observe::{Closed, Observer, Reason, RequestHead, Sent, StreamObserver},
    read::{EventReader, ReadError},
    refusal::Refusal,
    service::{FromFn, NoEvents, Sse},
    settings::StreamSettings,
};

/// Any error. What tower and hyper call so too.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
