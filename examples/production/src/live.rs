//! The event streams: who sees which topics, how many, for how long, and who looks.

use std::{future::ready, sync::Arc};

use axum::{
    Extension,
    extract::State,
    handler::Handler,
    http::StatusCode,
    routing::{MethodRouter, get},
};
use tower_sse::{
    EventName, Events, LastEventId, Negotiate, Refusal, RequestHead, SseLayer,
    access::{AccessCheck, AccessDecision},
    event_name,
    hub::{LagPolicy, Start, Subscribe, Subscription},
    tracing::Tracing,
};

use crate::{app::App, client::Client, settings::Settings};

/// Topics.
pub(crate) const STATUS: &str = "status";
pub(crate) const NOTES: &str = "notes";
pub(crate) const STATUS_EVENT: EventName = event_name!("status");
pub(crate) const NOTE_EVENT: EventName = event_name!("note");

/// A user's own topic.
pub(crate) fn own(user: &str) -> String {
    format!("notes/{user}")
}

/// `/events`. Nothing else is to be had there.
pub(crate) fn route(app: &Arc<App>, settings: &Settings) -> MethodRouter<Arc<App>> {
    let live = SseLayer::new(subscribe.with_state(Arc::clone(app)))
        .negotiate(Negotiate::Require)
        .streams(&app.streams)
        .stream_key(|head| Client::of(head.extensions()).map(Client::key))
        .access(access(app, settings))
        .lifetime(settings.lifetime)
        .observer(app.metrics.clone())
        .observer(Tracing::new());
    get(|| async { StatusCode::NOT_ACCEPTABLE }).layer(live)
}

/// The public topic for everybody, and more for who is logged in.
async fn subscribe(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    last: Option<LastEventId>,
) -> Result<Events<Subscription>, Refusal> {
    let mut topics = Subscribe::to(STATUS);
    if let Some(session) = &client.session {
        topics = topics.and(NOTES).and(own(session.user())).member(session.user());
    }
    // The newest status is enough, also for one that was away for long.
    let subscription = app.hub.subscribe(topics.start(Start::Snapshot).lag(LagPolicy::Conflate).resume_after(last))?;
    Ok(subscription.into())
}

/// A session may end while its streams are open: by time, or by a logout in a moment when a stream was about to open.
fn access(app: &Arc<App>, settings: &Settings) -> AccessCheck {
    let app = Arc::clone(app);
    AccessCheck::every(settings.access, move |head: &RequestHead<'_>| {
        let session = Client::of(head.extensions()).and_then(|client| client.session.as_ref());
        let is_good = session.is_none_or(|session| app.sessions.is_good(session));
        ready(if is_good { AccessDecision::Allow } else { AccessDecision::Revoke("the session is over".into()) })
    })
}
