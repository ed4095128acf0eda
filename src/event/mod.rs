//! Events: their types, their encoding and their decoding.

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

use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;

use self::{
    encode::{Fields, Head},
    field::{EventComment, EventId, EventName},
};

/// An event: an optional id, an optional name, and data.
///
/// An event is encoded once, when it is made, and never changes. Nothing in it can inject: names, ids and comments are valid once
/// they exist, and each line break in the data begins a `data:` line of its own. Cloning shares the bytes.
///
/// ```
/// use tower_sse::{Event, event_name};
///
/// // A `message` with a text of two lines.
/// let plain = Event::new("first\nsecond");
/// assert_eq!(plain.data(), "first\nsecond");
///
/// // A named event that a client can resume after.
/// let price = Event::builder().name(event_name!("price")).id(17).data("42.10");
/// assert_eq!(price.to_bytes(), "id: 17\nevent: price\ndata: 42.10\n\n");
/// ```
///
/// CRLF, CR and LF in data are one break each, and arrive as LF, which is what the format can carry ([HTML §9.2.5]).
/// Leading spaces, empty data and a trailing break survive.
///
/// The fields have a fixed order: `id:`, the comment, `retry:`, `event:`, `data:`, and each line ends with LF.
///
/// [HTML §9.2.5]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// Apart from the rest, since a log keeps the rest and assigns ids of its own.
    id: Option<EventId>,
    /// All lines but the id's: the comment, `retry:`, `event:`, `data:`, the blank line.
    rest: Bytes,
}

/// A builder of an [`Event`] with more than data. [`data`](Self::data), [`json`](Self::json) or
/// [`without_data`](Self::without_data) finishes it.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Event, event_comment, event_name};
///
/// let event = Event::builder()
///     .id(17)
///     .comment(event_comment!("from the cache"))
///     .retry(Duration::from_secs(5))
///     .name(event_name!("price"))
///     .data("42.10");
/// assert_eq!(event.to_bytes(), "id: 17\n: from the cache\nretry: 5000\nevent: price\ndata: 42.10\n\n");
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `data`, `json` or `without_data` makes the event"]
pub struct EventBuilder {
    id: Option<EventId>,
    comment: Option<EventComment>,
    retry: Option<Duration>,
    name: Option<EventName>,
}

impl Event {
    /// Creates an event without a name whose data is this text. Costs one allocation.
    #[must_use]
    pub fn new(data: impl AsRef<str>) -> Self {
        Self { id: None, rest: encode::text(None, data.as_ref()) }
    }

    /// Creates an event without a name whose data is this value as JSON, on one line. The value is written into the event directly,
    /// without a `String` between.
    ///
    /// # Errors
    ///
    /// Errors if the value cannot be serialized: it has a map with keys that are not strings, or its own `Serialize` fails.
    #[cfg(feature = "json")]
    pub fn json<T: serde_core::Serialize + ?Sized>(value: &T) -> Result<Self, crate::event::json::JsonError> {
        let rest = encode::json(Head::default(), value)?;
        Ok(Self { id: None, rest })
    }

    /// Creates an event from a serde enum: the variant is the name, its content is the data as JSON.
    ///
    /// The enum is tagged externally, which is serde's default, or adjacently, with `rename` as usual. A unit variant has
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
    /// Errors if the value is not an enum of these forms, if its tag is not a valid [`EventName`], or if it cannot be serialized.
    #[cfg(feature = "json")]
    pub fn tagged<T: serde_core::Serialize + ?Sized>(value: &T) -> Result<Self, crate::event::json::JsonError> {
        let rest = crate::event::tagged::encode(value)?;
        Ok(Self { id: None, rest })
    }

    /// Creates a builder, for an event with a name, an id, a comment or a `retry:`.
    pub fn builder() -> EventBuilder {
        EventBuilder::default()
    }

    /// Replaces the id. The rest of the bytes stays shared.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<EventId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Returns the id, or `None` if the event has none.
    #[must_use]
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// Returns the comment, or `None` if the event has none.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.fields().comment
    }

    /// Returns the `retry:` as it is sent, in whole milliseconds, or `None` if the event has none.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.fields().retry
    }

    /// Returns the name, or `None` if the event has none and is a `message`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.fields().name
    }

    /// Returns the data as a client receives it, its lines joined by LF. Borrowed if it is one line. Empty if the event is
    /// [without data](Self::has_data).
    #[must_use]
    pub fn data(&self) -> Cow<'_, str> {
        self.fields().data()
    }

    /// Returns whether the event has data, which may be empty. A client does not dispatch an event
    /// [without data](EventBuilder::without_data).
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.fields().has_data()
    }

    /// Returns the event as it is sent. Shares the bytes if the event has no id, and copies them otherwise. [`Bytes::from`] costs
    /// less for an event that is not used afterwards.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &self.id {
            None => self.rest.clone(),
            Some(id) => encode::with_id(id, &self.rest),
        }
    }

    /// Returns the number of bytes that the event takes when it is sent.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.id.as_ref().map_or(0, encode::id_line_len) + self.rest.len()
    }

    /// Returns the encoded event without its id.
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

    fn fields(&self) -> Fields<'_> {
        Fields::read(&self.rest)
    }
}

impl EventBuilder {
    /// Sets the name, by which a page listens with `addEventListener`. If unset, clients dispatch the event as `message`.
    ///
    /// Literals are names by [`event_name!`](crate::event_name), other text by `TryFrom<&str>`:
    /// `.name(EventName::try_from(text)?)`.
    pub fn name(mut self, name: EventName) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the id, which the client sends back when it reconnects. If unset, the client keeps its last id.
    ///
    /// Integers are ids as they are. Literals are ids by [`event_id!`](crate::event_id), other text by `TryFrom<&str>`:
    /// `.id(EventId::try_from(text)?)`. A [`Hub`](crate::hub::Hub) assigns ids of its own.
    pub fn id(mut self, id: impl Into<EventId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the comment, a line before the event's name and data that clients skip. Defaults to none.
    ///
    /// A comment is sent with its event also if the stream has [`Comments::Omit`](crate::Comments::Omit), which is about the comments
    /// that this crate adds. That setting names the
    /// clients that fail at a comment. [`Decoder`](crate::decode::Decoder) returns the comment as an
    /// [item](crate::decode::Item::Comment) of its own, before the event.
    pub fn comment(mut self, comment: EventComment) -> Self {
        self.comment = Some(comment);
        self
    }

    /// Sets the time that the client waits before it reconnects, from this event on. Defaults to none, which leaves the client's time as it
    /// was.
    ///
    /// Prefer [`Events::retry`](crate::Events::retry), which is sent with the head. Use this to change the time of a stream that is
    /// open. It is rounded up to a millisecond, is 2^31 − 1 ms at most, and has no jitter: all clients of a topic get the same.
    /// A stream that ends for its client to come back, for example at its lifetime or in a drain, sends the layer's or the stream's own
    /// `retry:` last, which replaces this one.
    /// [`Decoder`](crate::decode::Decoder) returns it as an [item](crate::decode::Item::Retry) of its own, before the event.
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Creates the event with this text as data. Costs one allocation.
    #[must_use]
    pub fn data(self, data: impl AsRef<str>) -> Event {
        let rest = encode::with_head(self.head(), data.as_ref());
        Event { id: self.id, rest }
    }

    /// Creates the event with this value as JSON, on one line. The value is written into the event directly, without a `String`
    /// between.
    ///
    /// # Errors
    ///
    /// Errors if the value cannot be serialized, as [`Event::json`] does.
    #[cfg(feature = "json")]
    pub fn json<T: serde_core::Serialize + ?Sized>(self, value: &T) -> Result<Event, crate::event::json::JsonError> {
        let rest = encode::json(self.head(), value)?;
        Ok(Event { id: self.id, rest })
    }

    /// Creates the event without data. A client does not dispatch it, but keeps its id and its `retry:` ([HTML §9.2.6]).
    ///
    /// Use it for a comment alone, or to move a client's last event id on without an event. The name is left out, since the client
    /// would drop it. An event with neither comment nor `retry:` gets an empty comment. It is counted and kept like others.
    ///
    /// ```
    /// use tower_sse::{Event, event_comment};
    ///
    /// let event = Event::builder().comment(event_comment!("still computing")).without_data();
    /// assert_eq!(event.to_bytes(), ": still computing\n\n");
    /// ```
    ///
    /// Clients that dispatch an event at each blank line, such as openai-python, anthropic-python and httpx-sse, receive an empty one.
    ///
    /// [HTML §9.2.6]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    #[must_use]
    pub fn without_data(self) -> Event {
        static EMPTY: EventComment = EventComment::from_static("");
        let mut head = Head { name: None, ..self.head() };
        if head.retry.is_none() {
            head.comment = head.comment.or(Some(&EMPTY));
        }
        let rest = encode::without_data(head);
        Event { id: self.id, rest }
    }

    fn head(&self) -> Head<'_> {
        Head { comment: self.comment.as_ref(), retry: self.retry, name: self.name.as_ref() }
    }
}

/// Creates an event as [`Event::new`] does.
impl From<&str> for Event {
    fn from(data: &str) -> Self {
        Self::new(data)
    }
}

/// Creates an event as [`Event::new`] does.
impl From<String> for Event {
    fn from(data: String) -> Self {
        Self::new(data)
    }
}

/// Returns the event as it is sent. Costs nothing if the event has no id, and one copy otherwise.
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
        let Fields { comment, retry, name, .. } = self.fields();
        let mut debug = f.debug_struct("Event");
        debug.field("id", &self.id).field("name", &name);
        if let Some(comment) = comment {
            debug.field("comment", &comment);
        }
        if let Some(retry) = retry {
            debug.field("retry", &retry);
        }
        if self.has_data() {
            debug.field("data", &self.data());
        }
        debug.finish()
    }
}
