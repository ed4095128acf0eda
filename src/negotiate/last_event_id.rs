//! The last event id of a request: the position from which a client resumes.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Uri};

use crate::{
    event::field::{EventId, InvalidEventId},
    negotiate::request_head::RequestHead,
};

/// The id of the last event that a client received, as the client sent it.
///
/// [`LastEventId::of`] returns it for a request. With feature `axum` it is an extractor too, `Option<LastEventId>`.
///
/// ```
/// use futures_util::stream;
/// use tower_sse::{Event, Events, LastEventId, SseLayer};
///
/// let layer = SseLayer::from_fn(|request: http::Request<()>| async move {
///     let last = LastEventId::of(&request);
///     let last: u64 = last.and_then(|last| last.to_str()?.parse().ok()).unwrap_or(0);
///     Events::new(stream::iter((last + 1..=100).map(|number| Event::new(number.to_string()).with_id(number))))
/// })
/// .last_event_id_query("last-event-id");
/// ```
///
/// The bytes come from the client and may be anything, up to the size that the server allows for a header. Check them before
/// use: [`EventId`] implements `TryFrom<&LastEventId>`, which accepts only an id that an event can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEventId(Bytes);

/// An id that a layer found in the query, kept in the extensions of the request.
#[derive(Debug, Clone)]
struct FromQuery(LastEventId);

impl LastEventId {
    /// Returns the last event id of a request, or `None` if the request has none. Takes a `&Request`, the `&Parts` of one, or a
    /// [`RequestHead`].
    ///
    /// The id is the value of the header `Last-Event-ID`. Without that header it is the value of the query parameter that a layer
    /// [names](crate::SseLayer::last_event_id_query), for event services and for handlers behind
    /// [`decorate`](crate::SseLayer::decorate) alike. The header takes precedence since a client that reconnects repeats the old address
    /// beside a newer header. The last of several headers or parameters counts, since some clients append a newer one. An empty value
    /// is treated as absent.
    #[must_use]
    pub fn of<'a>(request: impl Into<RequestHead<'a>>) -> Option<Self> {
        let head = request.into();
        match last_header(head.headers()) {
            Some(value) => Self::from_bytes(value),
            None => Self::from_extensions(head.extensions()),
        }
    }

    /// Returns an event's id as a client would send it, or `None` if the id is empty.
    #[must_use]
    pub fn from_id(id: &EventId) -> Option<Self> {
        Self::from_bytes(id.as_str().as_bytes())
    }

    /// Returns the id as bytes, of which there is at least one.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the id as text if it is UTF-8.
    #[must_use]
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Stores the id of this query parameter in the extensions of a request without the header.
    pub(crate) fn store_query_id<B>(request: &mut Request<B>, query_parameter: Option<&str>) {
        let Some(parameter) = query_parameter else { return };
        if last_header(request.headers()).is_some() {
            return;
        }
        if let Some(id) = Self::from_query(request.uri(), parameter) {
            request.extensions_mut().insert(FromQuery(id));
        }
    }

    fn from_query(uri: &Uri, parameter: &str) -> Option<Self> {
        let value = uri.query()?.rsplit('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (*form_decoded(name) == *parameter.as_bytes()).then_some(value)
        })?;
        Self::from_bytes(&form_decoded(value))
    }

    fn from_extensions(extensions: &Extensions) -> Option<Self> {
        extensions.get().map(|FromQuery(id)| id.clone())
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(Bytes::copy_from_slice(bytes)))
    }
}

impl TryFrom<&LastEventId> for EventId {
    type Error = InvalidEventId;

    fn try_from(id: &LastEventId) -> Result<Self, InvalidEventId> {
        id.as_bytes().try_into()
    }
}

/// Returns the value of the last header line. Clients send it as UTF-8 (HTML §9.2.4), which `HeaderValue::to_str` would refuse.
fn last_header(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get_all(LAST_EVENT_ID).iter().next_back().map(HeaderValue::as_bytes)
}

/// Decodes text of a form: `%XX`, and `+` for a space.
fn form_decoded(text: &str) -> Cow<'_, [u8]> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    match spaced {
        Cow::Borrowed(text) => percent_encoding::percent_decode_str(text).into(),
        Cow::Owned(text) => Cow::Owned(percent_encoding::percent_decode_str(&text).collect()),
    }
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
