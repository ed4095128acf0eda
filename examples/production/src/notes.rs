//! Notes to all logged-in users or to one of them.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tower_sse::Event;
use tracing::{error, warn};

use crate::{app::App, client::Client, live, session::is_name};

#[derive(Deserialize)]
pub(crate) struct Note {
    text: String,
    to: Option<String>,
}

#[derive(Serialize)]
struct Published<'a> {
    from: &'a str,
    text: &'a str,
    is_private: bool,
}

pub(crate) async fn publish(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Json(note): Json<Note>,
) -> Result<StatusCode, StatusCode> {
    let session = client.session.ok_or(StatusCode::UNAUTHORIZED)?;
    if note.to.as_deref().is_some_and(|to| !is_name(to)) {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let published = Published { from: session.user(), text: &note.text, is_private: note.to.is_some() };
    let event = Event::builder().name(live::NOTE_EVENT).json(&published).map_err(|error| {
        error!(%error, "cannot encode a note");
        StatusCode::INTERNAL_SERVER_ERROR
    })?;
    let topic = match note.to {
        None => app.notes.clone(),
        Some(to) => app.hub.topic(live::own(&to)).map_err(|error| {
            warn!(%error, "no topic for a note");
            StatusCode::SERVICE_UNAVAILABLE
        })?,
    };
    topic.publish(event).await.map_err(|error| {
        warn!(%error, "a note was not published");
        StatusCode::PAYLOAD_TOO_LARGE
    })?;
    Ok(StatusCode::CREATED)
}
