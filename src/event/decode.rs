//! The decoding of event streams by the standard's algorithm, incremental and bounded.
//!
//! Pure.

use std::{error::Error, fmt, time::Duration};

use memchr::memchr2;

use super::{
    Event,
    bom::Bom,
    field::{EventId, EventName},
};

/// A decoder of an event stream from bytes, cut anywhere.
///
/// See the [module's documentation](crate::decode) for an example.
#[derive(Debug, Clone)]
pub struct Decoder {
    limits: Limits,
    bom: Bom,
    /// `true` if a CR ended the last line: an LF that comes next belongs to it.
    after_cr: bool,
    /// The part of an incomplete line that has come.
    line: Vec<u8>,
    block: Block,
    last_event_id: String,
    failed: Option<DecodeError>,
}

/// An item of an event stream that a client acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// An event, at its blank line.
    Event(Message),
    /// The time to wait before the next connection, at its line.
    Retry(Duration),
    /// A comment, at its line: the text after the colon, with the space that usually follows the colon. Clients skip it. Heartbeats
    /// are comments.
    Comment(String),
}

/// An event as a client dispatches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    id: Option<EventId>,
    name: Option<EventName>,
    data: String,
}

/// An error of a stream that exceeded a limit of its [`Decoder`]. The decoder cannot continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    part: &'static str,
    limit: usize,
}

impl Decoder {
    /// Creates a decoder for the beginning of a stream, with events up to 64 MiB: as large as a [`Hub`](crate::hub::Hub) keeps by
    /// default, so that all that it publishes can be read.
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

    /// Sets the length of the longest line, in bytes. A decoder holds as much memory at most while a line is incomplete. Defaults to the
    /// largest event on a single line, as JSON is.
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.limits.line = Some(bytes);
        self
    }

    /// Sets the size of the largest event's data, in bytes. A decoder holds as much memory at most, and once more for a line of it that
    /// is incomplete. Defaults to 64 MiB.
    #[must_use]
    pub fn max_event(mut self, bytes: usize) -> Self {
        self.limits.event = bytes;
        self
    }

    /// Returns the next item and advances `input` behind it. Returns `None` if `input` ends before an item does; then all of it is
    /// consumed.
    ///
    /// # Errors
    ///
    /// Errors if a line or an event exceeds its limit. Each later call returns the same error.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Item>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.next_item(input);
        self.failed = result.as_ref().err().copied();
        result
    }

    /// Returns the id that a client would send if it reconnected now. Empty if none was set.
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
            // An empty name is no name. The last line counts.
            b"event" => self.block.name = EventName::try_from(String::from_utf8_lossy(value).into_owned()).ok(),
            // A client ignores the line if it contains a NUL.
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

    /// Ends the event at a blank line. The id takes effect also without data.
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
    /// Returns the id, or `None` if this event had none. A client keeps the id of an event before it: see
    /// [`Decoder::last_event_id`].
    #[must_use]
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// Returns the name, or `None` if the event had none and is a `message`.
    #[must_use]
    pub fn name(&self) -> Option<&EventName> {
        self.name.as_ref()
    }

    /// Returns the data, its lines joined by LF.
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
        write!(f, "{} of the stream exceeds {} bytes", self.part, self.limit)
    }
}

impl Error for DecodeError {}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// `None` for the largest event on a single line.
    line: Option<usize>,
    event: usize,
}

impl Limits {
    fn check_line(self, bytes: usize) -> Result<(), DecodeError> {
        let limit = self.line.unwrap_or(self.event.saturating_add(b"data: ".len()));
        if bytes > limit {
            return Err(DecodeError { part: "a line", limit });
        }
        Ok(())
    }
}

/// The fields of an event before its blank line.
#[derive(Debug, Clone, Default)]
struct Block {
    id: Option<EventId>,
    name: Option<EventName>,
    /// `None` before the first line of data. No event is dispatched without one.
    data: Option<Vec<u8>>,
}

impl Block {
    fn push_data(&mut self, value: &[u8], limits: Limits) -> Result<(), DecodeError> {
        let held = self.data.as_ref().map_or(0, |data| data.len() + 1);
        if held + value.len() > limits.event {
            return Err(DecodeError { part: "an event", limit: limits.event });
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

/// Parses the value of a `retry:`: ASCII digits only, at most 64 bits.
fn retry(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let millis = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}
