//! Where a reconnecting client left off: the request's `Last-Event-ID`.
//!
//! The layer reads it once and puts it in the extensions of the request that the event service gets. With feature
//! `axum` it is an extractor too, `Option<LastEventId>`, which also works where no layer stands in front.
//!
//! The bytes are the client's word and may be anything: check them before use. [`EventId`] takes those that an event
//! could have had.
//!
//! A page that reloads can give its saved id in a query parameter, if the layer
//! [names one](crate::SseLayer::last_event_id_query). The header wins: when the browser reconnects by itself it repeats
//! the old address beside a newer header.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Uri};

use crate::{EventId, InvalidId};

/// The id of the last event that the client got, as it sent it: up to what the server allows a header to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEventId(Bytes);

impl LastEventId {
    /// What a request's headers say. `None` where the header is absent or empty.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(LAST_EVENT_ID)?;
        // The standard sends it as UTF-8 (HTML §9.2.4), which `HeaderValue::to_str` would refuse.
        Self::from_bytes(Bytes::copy_from_slice(value.as_bytes()))
    }

    /// An event's id, as a client would send it. `None` where it is empty.
    #[must_use]
    pub fn from_id(id: &EventId) -> Option<Self> {
        Self::from_bytes(Bytes::copy_from_slice(id.as_str().as_bytes()))
    }

    /// The id as bytes, never empty.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id as text, if it is UTF-8.
    #[must_use]
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    pub(crate) fn read(headers: &HeaderMap, uri: &Uri, query_parameter: Option<&str>) -> Option<Self> {
        if headers.contains_key(LAST_EVENT_ID) {
            return Self::from_headers(headers);
        }
        let wanted = query_parameter?.as_bytes();
        uri.query()?.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            (*form_decoded(name) == *wanted).then(|| Self::from_bytes(form_decoded(value).into_owned().into()))?
        })
    }

    fn from_bytes(bytes: Bytes) -> Option<Self> {
        (!bytes.is_empty()).then_some(Self(bytes))
    }
}

impl TryFrom<&LastEventId> for EventId {
    type Error = InvalidId;

    fn try_from(id: &LastEventId) -> Result<Self, InvalidId> {
        id.as_bytes().try_into()
    }
}

/// As a form encodes: `%XX`, and `+` for a space.
fn form_decoded(text: &str) -> Cow<'_, [u8]> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    match spaced {
        Cow::Borrowed(text) => percent_encoding::percent_decode_str(text).into(),
        Cow::Owned(text) => Cow::Owned(percent_encoding::percent_decode_str(&text).collect()),
    }
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
