//! How bytes become events: the standard's algorithm, incremental and bounded.
//!
//! A [`Decoder`] takes bytes as they come, cut anywhere, and gives back each thing that a client acts on: an event when
//! its blank line is read, a `retry:` when its line is read, a comment. It holds one line and one event at most, each
//! within a limit. [`EventReader`](crate::EventReader) runs one over a body.
//!
//! ```
//! use tower_sse::decode::{Decoder, Item};
//!
//! let mut decoder = Decoder::new();
//! let mut input: &[u8] = b"id: 1\ndata: hel";
//! assert_eq!(decoder.decode(&mut input)?, None); // not yet
//! input = b"lo\n\n";
//! let Some(Item::Event(message)) = decoder.decode(&mut input)? else { panic!() };
//! assert_eq!(message.data(), "hello");
//! assert_eq!(decoder.last_event_id(), "1");
//! # Ok::<(), tower_sse::decode::DecodeError>(())
//! ```
//!
//! What is incomplete when the bytes end is no event ([HTML §9.2.6]); dropping the decoder drops it.
//!
//! [HTML §9.2.6]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

use std::{error::Error, fmt, time::Duration};

use memchr::memchr2;

use super::{
    Event,
    bom::Bom,
    field::{EventId, EventName},
};

/// Reads an event stream from bytes.
#[derive(Debug, Clone)]
pub struct Decoder {
    limits: Limits,
    bom: Bom,
    /// A lone CR ended the last line, so an LF that comes next belongs to it.
    after_cr: bool,
    /// What has come of a line whose end has not.
    line: Vec<u8>,
    block: Block,
    last_event_id: String,
    failed: Option<DecodeError>,
}

/// What a client acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// An event was dispatched.
    Event(Message),
    /// The server set how long to wait before the next connection.
    Retry(Duration),
    /// A comment: what stood behind the colon. Clients ignore it; heartbeats are made of it.
    Comment(String),
}

/// An event as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    id: Option<EventId>,
    name: Option<EventName>,
    data: String,
}

/// The stream went beyond a [`Decoder`]'s limit. Decoding cannot go on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    what: &'static str,
    limit: usize,
}

impl Decoder {
    /// Returns a decoder at the beginning of a stream, with events up to 64 MiB. That is what a [`Hub`](crate::hub::Hub) keeps by
    /// default, so that whatever it publishes can be read.
    #[must_use]
    pub fn new() -> Self {
        Self {
            limits: Limits { line: None, event: 64 << 20 },
            bom: Bom::START,
            after_cr: false,
            line: Vec::new(),
            block: Block::default(),
            last_event_id: String::new(),
            failed: None,
        }
    }

    /// Sets the longest line that is taken, in bytes. As much memory is held at most while a line is incomplete. Defaults to what the
    /// largest event takes on a single line, as JSON does.
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.limits.line = Some(bytes);
        self
    }

    /// Sets how much data an event may have, in bytes. As much memory is held at most, and once more for a line of it that is
    /// incomplete. Defaults to 64 MiB.
    #[must_use]
    pub fn max_event(mut self, bytes: usize) -> Self {
        self.limits.event = bytes;
        self
    }

    /// Takes from `input` up to the next item. `None`: all of `input` is taken, and more is needed.
    ///
    /// # Errors
    ///
    /// A line or an event is beyond its limit; each later call says the same.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Item>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.next_item(input);
        self.failed = result.as_ref().err().copied();
        result
    }

    /// The id that a client would send if it reconnected now: empty where none was set.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    fn next_item(&mut self, input: &mut &[u8]) -> Result<Option<Item>, DecodeError> {
        let (skip, held) = self.bom.skip(input);
        self.line.extend_from_slice(held);
        *input = &input[skip..];
        while !input.is_empty() {
            if std::mem::take(&mut self.after_cr) && input[0] == b'\n' {
                *input = &input[1..];
                continue;
            }
            let Some(end) = memchr2(b'\r', b'\n', input) else {
                self.keep(input)?;
                *input = &[];
                return Ok(None);
            };
            let (line, rest) = input.split_at(end);
            self.after_cr = rest[0] == b'\r';
            *input = &rest[1..];
            let item = if self.line.is_empty() {
                self.limits.check_line(line.len())?;
                self.line_read(line)?
            } else {
                self.keep(line)?;
                let mut whole = std::mem::take(&mut self.line);
                let item = self.line_read(&whole)?;
                whole.clear();
                self.line = whole;
                item
            };
            if item.is_some() {
                return Ok(item);
            }
        }
        Ok(None)
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), DecodeError> {
        self.limits.check_line(self.line.len() + part.len())?;
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn line_read(&mut self, line: &[u8]) -> Result<Option<Item>, DecodeError> {
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        if field.is_empty() {
            return Ok(Some(Item::Comment(String::from_utf8_lossy(value).into_owned())));
        }
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => self.block.push_data(value, self.limits)?,
            // An empty name is no name; the latest line counts.
            b"event" => self.block.name = EventName::try_from(String::from_utf8_lossy(value).into_owned()).ok(),
            // A NUL in it makes the client ignore the line.
            b"id" => {
                if let Ok(id) = EventId::try_from(String::from_utf8_lossy(value).into_owned()) {
                    self.block.id = Some(id);
                }
            }
            b"retry" => return Ok(retry(value).map(Item::Retry)),
            _ => {}
        }
        Ok(None)
    }

    /// A blank line: the id takes effect, with data or without it.
    fn dispatch(&mut self) -> Option<Item> {
        let Block { id, name, data } = std::mem::take(&mut self.block);
        if let Some(id) = &id {
            id.as_str().clone_into(&mut self.last_event_id);
        }
        let data = match String::from_utf8(data?) {
            Ok(data) => data,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Some(Item::Event(Message { id, name, data }))
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Message {
    /// The id that stood in this event. A client's last event id lives on: [`Decoder::last_event_id`].
    #[must_use]
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// The name. `None` is what a page calls `message`.
    #[must_use]
    pub fn name(&self) -> Option<&EventName> {
        self.name.as_ref()
    }

    /// The data, its lines joined by LF.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data
    }
}

impl From<Message> for Event {
    fn from(message: Message) -> Self {
        let mut builder = Self::builder();
        if let Some(id) = message.id {
            builder = builder.id(id);
        }
        if let Some(name) = message.name {
            builder = builder.name(name);
        }
        builder.data(message.data)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream has {} of more than {} bytes", self.what, self.limit)
    }
}

impl Error for DecodeError {}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// `None`: an event on a single line.
    line: Option<usize>,
    event: usize,
}

impl Limits {
    fn check_line(self, bytes: usize) -> Result<(), DecodeError> {
        let limit = self.line.unwrap_or(self.event.saturating_add(b"data: ".len()));
        if bytes > limit {
            return Err(DecodeError { what: "a line", limit });
        }
        Ok(())
    }
}

/// What has come of an event whose blank line has not.
#[derive(Debug, Clone, Default)]
struct Block {
    id: Option<EventId>,
    name: Option<EventName>,
    /// `None` until a data line came: without one nothing is dispatched.
    data: Option<Vec<u8>>,
}

impl Block {
    fn push_data(&mut self, value: &[u8], limits: Limits) -> Result<(), DecodeError> {
        let held = self.data.as_ref().map_or(0, |data| data.len() + 1);
        if held + value.len() > limits.event {
            return Err(DecodeError { what: "an event", limit: limits.event });
        }
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            none => *none = Some(value.to_vec()),
        }
        Ok(())
    }
}

/// ASCII digits only; a number beyond 64 bits is no number.
fn retry(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let millis = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}
