//! What an event is: an optional id, an optional name, and data.
//!
//! An [`Event`] is encoded once, when it is made, and never changes. Nothing in it can inject: name and id are
//! [valid once they exist](crate::field), and each line break in the data begins a `data:` line of its own.
//!
//! ```
//! use tower_sse::{Event, event_name};
//!
//! // A `message` with a text of two lines.
//! let plain = Event::new("first\nsecond");
//! assert_eq!(plain.data(), "first\nsecond");
//!
//! // A named event that a client can resume after.
//! let price = Event::builder().name(event_name!("price")).id(17).data("42.10");
//! assert_eq!(&price.encode()[..], b"id: 17\nevent: price\ndata: 42.10\n\n");
//! ```
//!
//! CRLF, CR and LF in data are one break each, and arrive as LF: that is what the format can carry ([HTML §9.2.5]).
//! Leading spaces, empty data and a trailing break survive.
//!
//! [HTML §9.2.5]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

pub(crate) mod bom;
pub(crate) mod boundary;
#[cfg(feature = "json")]
pub(crate) mod buffer;
pub(crate) mod chunk;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod field;
pub(crate) mod gap;
#[cfg(feature = "json")]
pub(crate) mod json;
pub(crate) mod reader;
#[cfg(feature = "json")]
pub(crate) mod tagged;

use std::{borrow::Cow, fmt};

use bytes::Bytes;

use self::field::{EventId, EventName};

/// One event, already encoded. Cloning shares the bytes.
///
/// See the [module's documentation](self) for what may be in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// Apart from the rest, since a log keeps the rest and gives its own.
    id: Option<EventId>,
    /// All but the id: the `event:` line, the `data:` lines, the blank line.
    rest: Bytes,
}

/// Takes what an [`Event`] has beside its data; [`data`](Self::data) or [`json`](Self::json) finishes it.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `data` or `json` makes the event"]
pub struct EventBuilder {
    id: Option<EventId>,
    name: Option<EventName>,
}

impl Event {
    /// An event without a name whose data is this text. Costs one allocation.
    #[must_use]
    pub fn new(data: impl AsRef<str>) -> Self {
        Self::builder().data(data)
    }

    /// An event without a name whose data is this value as JSON, on one line, without a string between.
    ///
    /// # Errors
    ///
    /// What serializing the value says: a map with keys that are not strings, or an error of its own `Serialize`.
    #[cfg(feature = "json")]
    pub fn json<T: serde_core::Serialize + ?Sized>(value: &T) -> Result<Self, crate::event::json::JsonError> {
        let rest = encode::json(None, value)?;
        Ok(Self { id: None, rest })
    }

    /// An event out of a serde enum: the variant is the name, its content is the data as JSON.
    ///
    /// Takes serde's external tagging (the default) and adjacent tagging, with `rename` as usual. A unit variant has
    /// empty data.
    ///
    /// ```
    /// use tower_sse::Event;
    ///
    /// #[derive(serde::Serialize)]
    /// #[serde(tag = "event", content = "data", rename_all = "snake_case")]
    /// enum Update {
    ///     PriceChanged { symbol: &'static str, cents: u32 },
    ///     Closed,
    /// }
    ///
    /// let event = Event::tagged(&Update::PriceChanged { symbol: "ACME", cents: 4210 })?;
    /// assert_eq!(event.name(), Some("price_changed"));
    /// assert_eq!(event.data(), r#"{"symbol":"ACME","cents":4210}"#);
    /// assert_eq!(Event::tagged(&Update::Closed)?.data(), "");
    /// # Ok::<(), tower_sse::JsonError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the value is not an enum of these forms, its tag is not a valid [`EventName`], or serializing fails.
    #[cfg(feature = "json")]
    pub fn tagged<T: serde_core::Serialize + ?Sized>(value: &T) -> Result<Self, crate::event::json::JsonError> {
        let rest = crate::event::tagged::encode(value)?;
        Ok(Self { id: None, rest })
    }

    /// Begins an event with a name or an id.
    pub fn builder() -> EventBuilder {
        EventBuilder::default()
    }

    /// The same event with this id instead of its own; its bytes stay shared.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<EventId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The id, if the event has one.
    #[must_use]
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// The name, if the event has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        encode::name_of(&self.rest)
    }

    /// The data as a client gets it: lines joined by LF. Borrowed where it is one line.
    #[must_use]
    pub fn data(&self) -> Cow<'_, str> {
        encode::data_of(&self.rest)
    }

    /// The whole event as it stands on the wire. Shared where it has no id, else one copy. Of an event that is of no more use
    /// after that, [`Bytes::from`] has it for less.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match &self.id {
            None => self.rest.clone(),
            Some(id) => encode::with_id(id, &self.rest),
        }
    }

    /// How many bytes it takes on the wire.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.id.as_ref().map_or(0, encode::id_line_len) + self.rest.len()
    }

    /// All but its id.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.rest
    }

    pub(crate) fn into_rest(self) -> Bytes {
        self.rest
    }

    pub(crate) fn from_rest(id: Option<EventId>, rest: Bytes) -> Self {
        Self { id, rest }
    }

    pub(crate) fn encode_to(&self, buffer: &mut Vec<u8>) {
        if let Some(id) = &self.id {
            encode::put_id(id, buffer);
        }
        buffer.extend_from_slice(&self.rest);
    }
}

impl EventBuilder {
    /// What the page listens for by `addEventListener`. Default: none, which is `message`.
    pub fn name(mut self, name: EventName) -> Self {
        self.name = Some(name);
        self
    }

    /// What the client sends back when it reconnects. Default: none, which leaves the client's last id as it was.
    pub fn id(mut self, id: impl Into<EventId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The event with this text as data. Costs one allocation.
    #[must_use]
    pub fn data(self, data: impl AsRef<str>) -> Event {
        let rest = encode::text(self.name.as_ref(), data.as_ref());
        Event { id: self.id, rest }
    }

    /// The event with this value as JSON, on one line, without a string between.
    ///
    /// # Errors
    ///
    /// What serializing the value says.
    #[cfg(feature = "json")]
    pub fn json<T: serde_core::Serialize + ?Sized>(self, value: &T) -> Result<Event, crate::event::json::JsonError> {
        let rest = encode::json(self.name.as_ref(), value)?;
        Ok(Event { id: self.id, rest })
    }
}

/// The whole event as it stands on the wire. Costs nothing where it has no id, else one copy.
impl From<Event> for Bytes {
    fn from(event: Event) -> Self {
        match event.id {
            None => event.rest,
            Some(id) => encode::with_id(&id, &event.rest),
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("id", &self.id).field("name", &self.name()).field("data", &self.data()).finish()
    }
}
