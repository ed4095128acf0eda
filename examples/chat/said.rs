//! Validation of rooms, names and lines: every input passes through here first.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::{
    body::Bytes,
    extract::rejection::QueryRejection,
    http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use tower_sse::{
    Event, JsonError, Refusal,
    hub::{PublishError, TopicError},
};

/// The name of a room, which never needs escaping.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Room(String);

impl Room {
    pub(crate) fn parse(name: &str) -> Result<Self, Wrong> {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if name.is_empty() || name.len() > 40 || !name.bytes().all(is_plain) {
            return Err(Wrong::bad("a room name has 1 to 40 lowercase letters, digits and hyphens"));
        }
        Ok(Self(name.to_owned()))
    }

    /// Returns the topic of its lines.
    pub(crate) fn lines(&self) -> String {
        format!("lines/{}", self.0)
    }

    /// Returns the topic of its presence.
    pub(crate) fn presence(&self) -> String {
        format!("presence/{}", self.0)
    }
}

/// The query of a room's address.
#[derive(Deserialize)]
pub(crate) struct Who {
    r#as: Option<String>,
}

impl Who {
    /// Returns the name, if there is one. Reading needs none.
    pub(crate) fn name(&self) -> Result<Option<&str>, Wrong> {
        let Some(name) = self.r#as.as_deref().map(str::trim) else { return Ok(None) };
        if name.is_empty() || name.chars().count() > 30 || name.chars().any(char::is_control) {
            return Err(Wrong::bad("a name has 1 to 30 characters"));
        }
        Ok(Some(name))
    }
}

/// A line of chat.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    from: &'a str,
    text: &'a str,
    /// Milliseconds since 1970.
    at: u128,
}

impl<'a> Line<'a> {
    pub(crate) fn new(who: &'a Who, text: &'a str) -> Result<Self, Wrong> {
        let from = who.name()?.ok_or(Wrong::bad("a name is required: ?as=name"))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(Wrong::bad("the line is empty"));
        }
        if text.chars().count() > 2000 {
            return Err(Wrong(StatusCode::PAYLOAD_TOO_LARGE, "a line has at most 2,000 characters".to_owned()));
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Self { from, text, at })
    }

    pub(crate) fn event(&self) -> Result<Event, JsonError> {
        Event::json(self)
    }
}

/// An error response, with its reason.
#[derive(Debug)]
pub(crate) struct Wrong(StatusCode, String);

impl Wrong {
    fn bad(why: &str) -> Self {
        Self(StatusCode::BAD_REQUEST, why.to_owned())
    }
}

impl From<QueryRejection> for Wrong {
    fn from(rejection: QueryRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

impl From<TopicError> for Wrong {
    fn from(error: TopicError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<PublishError> for Wrong {
    fn from(error: PublishError) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<JsonError> for Wrong {
    fn from(error: JsonError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> axum::response::Response {
        (self.0, self.1 + "\n").into_response()
    }
}

/// A browser does not reconnect after it; `curl` shows the reason.
impl From<Wrong> for Refusal {
    fn from(Wrong(status, why): Wrong) -> Self {
        let mut response = Response::new(Bytes::from(why + "\n"));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.into()
    }
}
