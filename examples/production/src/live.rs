//! The event streams: topics, limits, lifetime, access and observers.

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
    observe::Tracing,
};

use crate::{app::App, client::Client, settings::Settings};

/// The names of the topics.
pub(crate) const STATUS: &str = "status";
pub(crate) const NOTES: &str = "notes";
pub(crate) const STATUS_EVENT: EventName = event_name!("status");
pub(crate) const NOTE_EVENT: EventName = event_name!("note");

/// Returns the name of a user's topic.
pub(crate) fn own(user: &str) -> String {
    format!("notes/{user}")
}

/// Returns the route of `/events`, which serves streams only.
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

/// Subscribes to the public topic and, with a login, to the topics of the user.
async fn subscribe(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    last: Option<LastEventId>,
) -> Result<Events<Subscription>, Refusal> {
    let mut topics = Subscribe::to(STATUS);
    if let Some(session) = &client.session {
        topics = topics.and(NOTES).and(own(session.user())).member(session.user());
    }
    // The newest status is enough, even after a long absence.
    let subscription = app.hub.subscribe(topics.start(Start::Snapshot).lag(LagPolicy::Conflate).resume_after(last))?;
    Ok(subscription.into())
}

/// Returns the access check of open streams. A session may expire, or a logout may race with the opening of a stream.
fn access(app: &Arc<App>, settings: &Settings) -> AccessCheck {
    let app = Arc::clone(app);
    AccessCheck::every(settings.access, move |head: &RequestHead<'_>| {
        let session = Client::of(head.extensions()).and_then(|client| client.session.as_ref());
        let is_good = session.is_none_or(|session| app.sessions.is_good(session));
        ready(if is_good { AccessDecision::Allow } else { AccessDecision::Revoke("the session is over".into()) })
    })
}
