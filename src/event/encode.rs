//! The encoding of events, and the reading of an encoded event's fields.
//!
//! The order of the fields is fixed: `id:`, the comment, `retry:`, `event:`, a `data:` for each line of the data, a blank line. Lines
//! end with LF. The colon is always followed by one space, since a client strips one (HTML §9.2.6) and the data may begin with one.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use memchr::{memchr, memchr2, memchr2_iter};

#[cfg(feature = "json")]
use super::buffer;
use super::field::{EventComment, EventId, EventName};
use crate::time::jitter;

/// A comment, without a blank line: some clients dispatch an event at each blank line.
pub(crate) const PRELUDE: &[u8] = b":\n";

/// The fields of an event between its id and its data.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Head<'a> {
    pub(crate) comment: Option<&'a EventComment>,
    pub(crate) retry: Option<Duration>,
    pub(crate) name: Option<&'a EventName>,
}

/// The fields of an encoded event, but its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) comment: Option<&'a str>,
    pub(crate) retry: Option<Duration>,
    pub(crate) name: Option<&'a str>,
    /// The lines of data and the blank line.
    lines: &'a [u8],
}

/// Encodes an event without its id.
pub(crate) fn text(name: Option<&EventName>, data: &str) -> Bytes {
    with_lines(data, name_line_len(name), |buffer| put_name(name, buffer))
}

/// Encodes an event without its id. An event with neither comment nor `retry:` takes 50 instructions fewer by [`text`], of 460 for 64 B.
pub(crate) fn with_head(head: Head<'_>, data: &str) -> Bytes {
    if head.comment.is_none() && head.retry.is_none() {
        return text(head.name, data);
    }
    with_lines(data, head.max_len(), |buffer| head.put(buffer))
}

/// Encodes an event with the lines before its data that a closure appends.
fn with_lines(data: &str, lines_len: usize, put_head: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let data = data.as_bytes();
    if data.len() > LARGE {
        return with_large_data(data, lines_len, put_head);
    }
    let is_line = memchr2(b'\r', b'\n', data).is_none();
    let more = if is_line { 0 } else { room_for_lines(data) };
    let mut buffer = Vec::with_capacity(lines_len + DATA.len() + data.len() + more + END.len());
    put_head(&mut buffer);
    buffer.extend_from_slice(DATA);
    if is_line {
        buffer.extend_from_slice(data);
    } else {
        put_lines(data, &mut buffer);
    }
    buffer.extend_from_slice(END);
    // Without spare capacity: an event in a log takes as much memory as the log counts for it.
    Bytes::from(buffer.into_boxed_slice())
}

/// Encodes the same with [`LARGE`] data, which is searched and copied part by part, so that the copy finds each part in the
/// processor's first cache: 256 KiB take a quarter less time.
fn with_large_data(data: &[u8], lines_len: usize, put_head: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let has_break = |part: &[u8]| memchr2(b'\r', b'\n', part).is_some();
    let (first, rest) = data.split_at(PART);
    let is_line = !has_break(first);
    // Most text of several lines has a break in its first part.
    let more = if is_line { 0 } else { room_for_lines(data) };
    let mut buffer = Vec::with_capacity(lines_len + DATA.len() + data.len() + more + END.len());
    put_head(&mut buffer);
    buffer.extend_from_slice(DATA);
    let mut lines = data;
    if is_line {
        buffer.extend_from_slice(first);
        lines = rest;
        for part in rest.chunks(PART).take_while(|part| !has_break(part)) {
            buffer.extend_from_slice(part);
            lines = &lines[part.len()..];
        }
        if !lines.is_empty() {
            buffer.reserve_exact(lines.len() + room_for_lines(lines) + END.len());
        }
    }
    // From the part with the first break on.
    put_lines(lines, &mut buffer);
    buffer.extend_from_slice(END);
    Bytes::from(buffer.into_boxed_slice())
}

/// Encodes an event without its id and without data, which a client does not dispatch.
pub(crate) fn without_data(head: Head<'_>) -> Bytes {
    let mut buffer = Vec::with_capacity(head.max_len() + 1);
    head.put(&mut buffer);
    buffer.push(b'\n');
    Bytes::from(buffer.into_boxed_slice())
}

/// Encodes an event without its id, with data that serde writes.
#[cfg(feature = "json")]
pub(crate) fn json<T: serde_core::Serialize + ?Sized>(
    head: Head<'_>,
    value: &T,
) -> Result<Bytes, crate::event::json::JsonError> {
    let mut buffer = buffer::take();
    begin_data(head, &mut buffer);
    let start = buffer.len();
    match serde_json::to_writer(&mut buffer, value) {
        Ok(()) => Ok(close_json(buffer, start)),
        Err(error) => Err(crate::event::json::JsonError::new(error)),
    }
}

/// Appends the head and the beginning of the first line of data.
#[cfg(feature = "json")]
pub(crate) fn begin_data(head: Head<'_>, buffer: &mut Vec<u8>) {
    head.put(buffer);
    buffer.extend_from_slice(DATA);
}

/// Ends an event whose data is JSON from `start` on. The data is one line, whatever the value contained. The buffer is one that
/// [`buffer::take`] returned.
#[cfg(feature = "json")]
pub(crate) fn close_json(mut buffer: Vec<u8>, start: usize) -> Bytes {
    if memchr2(b'\r', b'\n', &buffer[start..]).is_some() {
        // Inside a JSON string they are escaped; outside one they are white space, which a raw value can contain.
        let mut at = 0;
        buffer.retain(|&byte| {
            at += 1;
            at <= start || (byte != b'\r' && byte != b'\n')
        });
    }
    buffer.extend_from_slice(END);
    buffer::freeze(buffer).into()
}

/// Encodes an event's id line before the rest of the event.
pub(crate) fn with_id(id: &EventId, rest: &[u8]) -> Bytes {
    let mut buffer = Vec::with_capacity(id_line_len(id) + rest.len());
    put_id(id, &mut buffer);
    buffer.extend_from_slice(rest);
    Bytes::from(buffer)
}

/// Appends the `id:` line.
pub(crate) fn put_id(id: &EventId, buffer: &mut Vec<u8>) {
    put_line(ID, id.as_str(), buffer);
}

/// Returns the length of the `id:` line.
pub(crate) fn id_line_len(id: &EventId) -> usize {
    line_len(ID, id.as_str())
}

/// Appends the last `retry:` of a stream.
pub(crate) fn put_last_retry(retry: Duration, form: LastRetry, buffer: &mut Vec<u8>) {
    put_retry(retry, buffer);
    if form == LastRetry::Block {
        buffer.push(b'\n');
    }
}

/// Appends the `retry:` line. A client applies it when it reads the line, without a blank line; only digits count (HTML §9.2.6).
/// The time is rounded up to a millisecond, and is [`LONGEST_WAIT`](jitter::LONGEST_WAIT) at most.
pub(crate) fn put_retry(retry: Duration, buffer: &mut Vec<u8>) {
    let millis = retry.min(jitter::LONGEST_WAIT).as_nanos().div_ceil(1_000_000);
    buffer.extend_from_slice(RETRY);
    buffer.extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
    buffer.push(b'\n');
}

impl Head<'_> {
    /// Returns the length of these lines, or a few bytes more.
    fn max_len(&self) -> usize {
        let comment = self.comment.map_or(0, |comment| line_len(COMMENT, comment.as_str()));
        let retry = self.retry.map_or(0, |_| LONGEST_RETRY.len());
        comment + retry + name_line_len(self.name)
    }

    fn put(&self, buffer: &mut Vec<u8>) {
        if let Some(comment) = self.comment {
            put_line(COMMENT, comment.as_str(), buffer);
        }
        if let Some(retry) = self.retry {
            put_retry(retry, buffer);
        }
        put_name(self.name, buffer);
    }
}

impl<'a> Fields<'a> {
    /// Reads the fields of an encoded event that has no id line.
    pub(crate) fn read(rest: &'a [u8]) -> Self {
        let (comment, rest) = split_line(COMMENT, rest);
        let (retry, rest) = split_line(RETRY, rest);
        let (name, lines) = split_line(EVENT, rest);
        let retry = retry.and_then(|millis| millis.parse().ok()).map(Duration::from_millis);
        Self { comment, retry, name, lines }
    }

    /// Returns whether there is a line of data. A client dispatches no event without one.
    pub(crate) fn has_data(&self) -> bool {
        self.lines.starts_with(DATA)
    }

    /// Returns the data, its lines joined by LF.
    pub(crate) fn data(&self) -> Cow<'a, str> {
        let lines = std::str::from_utf8(self.lines).unwrap_or_default();
        let lines = lines.strip_suffix("\n\n").unwrap_or(lines);
        let first = &lines[DATA.len().min(lines.len())..];
        if memchr(b'\n', first.as_bytes()).is_none() {
            return Cow::Borrowed(first);
        }
        // A line of data contains no break, so each break in the bytes is followed by the next line's field name.
        Cow::Owned(first.replace("\ndata: ", "\n"))
    }
}

/// Splits the line of this field off if the bytes begin with it.
fn split_line<'a>(field: &[u8], bytes: &'a [u8]) -> (Option<&'a str>, &'a [u8]) {
    let Some(value) = bytes.strip_prefix(field) else { return (None, bytes) };
    let Some(end) = memchr(b'\n', value) else { return (None, bytes) };
    (std::str::from_utf8(&value[..end]).ok(), &value[end + 1..])
}

/// Returns the number of bytes before the data's first line, in an encoded event that may lack its end.
#[cfg(feature = "json")]
pub(crate) fn head_len(rest: &[u8]) -> usize {
    rest.len() - Fields::read(rest).lines.len()
}

fn name_line_len(name: Option<&EventName>) -> usize {
    name.map_or(0, |name| line_len(EVENT, name.as_str()))
}

fn put_name(name: Option<&EventName>, buffer: &mut Vec<u8>) {
    if let Some(name) = name {
        put_line(EVENT, name.as_str(), buffer);
    }
}

fn put_line(field: &[u8], value: &str, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(field);
    buffer.extend_from_slice(value.as_bytes());
    buffer.push(b'\n');
}

fn line_len(field: &[u8], value: &str) -> usize {
    field.len() + value.len() + 1
}

/// Returns the room for the field names of these lines. To count the lines first takes as long as a third of the rest: this is
/// enough for lines of 24 bytes and more, and shorter ones make the buffer grow.
fn room_for_lines(data: &[u8]) -> usize {
    data.len() / 4 + SHORT_LINES
}

/// Appends the data, with a field name before each line but the first. CRLF, CR and LF are one break each (HTML §9.2.5).
fn put_lines(data: &[u8], buffer: &mut Vec<u8>) {
    let mut start = 0;
    for end in memchr2_iter(b'\r', b'\n', data) {
        let of_crlf = end == start && end > 0 && data[end - 1..=end] == *b"\r\n";
        if !of_crlf {
            buffer.extend_from_slice(&data[start..end]);
            buffer.extend_from_slice(NEXT_LINE);
        }
        start = end + 1;
    }
    buffer.extend_from_slice(&data[start..]);
}

const ID: &[u8] = b"id: ";
const COMMENT: &[u8] = b": ";
const RETRY: &[u8] = b"retry: ";
const EVENT: &[u8] = b"event: ";
const DATA: &[u8] = b"data: ";
const NEXT_LINE: &[u8] = b"\ndata: ";
const END: &[u8] = b"\n\n";
const LONGEST_RETRY: &[u8] = b"retry: 2147483647\n";

/// Room for the field names of a few short lines.
const SHORT_LINES: usize = 32;

/// The bytes of data that are searched and copied at once. More is [large data](with_large_data).
const LARGE: usize = 32 * 1024;

/// The bytes of large data that are searched and copied at once.
const PART: usize = 8 * 1024;

/// The form of the last `retry:` of a stream whose client should reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LastRetry {
    /// A line without a blank line after it. Every browser and most other clients read it. Node's own `EventSource`, of undici, reads
    /// `retry:` only at a blank line, and reconnects after 3 s. The default.
    #[default]
    Line,
    /// A line and a blank line after it, for Node's own `EventSource`. openai-python and httpx-sse take the two for an empty event.
    Block,
}
