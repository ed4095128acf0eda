//! How an event becomes bytes, and how its parts are read back from them.
//!
//! The order is fixed: `id:`, `event:`, `data:` for each line, a blank line. LF only, the colon and one space always,
//! since a client strips one leading space (HTML §9.2.6) and the data may begin with one.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use memchr::{memchr, memchr2, memchr2_iter};

#[cfg(feature = "json")]
use super::buffer;
use super::field::{EventId, EventName};
use crate::time::jitter;

/// A comment, without a blank line: some clients make an event of each blank line.
pub(crate) const PRELUDE: &[u8] = b":\n";

/// All of an event but its id.
pub(crate) fn text(name: Option<&EventName>, data: &str) -> Bytes {
    let data = data.as_bytes();
    let is_line = memchr2(b'\r', b'\n', data).is_none();
    // The length of one line is known. To count many first takes as long as a third of the rest: this is room for lines of
    // 24 bytes and more, and shorter ones make the buffer grow.
    let more = if is_line { 0 } else { data.len() / 4 + SHORT_LINES };
    let mut buffer = Vec::with_capacity(name_line_len(name) + DATA.len() + data.len() + more + END.len());
    put_name(name, &mut buffer);
    buffer.extend_from_slice(DATA);
    if is_line {
        buffer.extend_from_slice(data);
    } else {
        put_lines(data, &mut buffer);
    }
    buffer.extend_from_slice(END);
    // Without the room that is left over: what is kept in a log is as large as it says.
    Bytes::from(buffer.into_boxed_slice())
}

/// All of an event but its id, its data written by serde.
#[cfg(feature = "json")]
pub(crate) fn json<T: serde_core::Serialize + ?Sized>(
    name: Option<&EventName>,
    value: &T,
) -> Result<Bytes, crate::event::json::JsonError> {
    let mut buffer = buffer::take();
    begin_data(name, &mut buffer);
    let start = buffer.len();
    match serde_json::to_writer(&mut buffer, value) {
        Ok(()) => Ok(close_json(buffer, start)),
        Err(error) => Err(crate::event::json::JsonError::new(error)),
    }
}

/// The name's line and the beginning of the first line of data.
#[cfg(feature = "json")]
pub(crate) fn begin_data(name: Option<&EventName>, buffer: &mut Vec<u8>) {
    put_name(name, buffer);
    buffer.extend_from_slice(DATA);
}

/// Ends an event whose data is JSON from `start` on, on one line whatever the value held. The buffer is one of
/// [`scratch`]'s.
#[cfg(feature = "json")]
pub(crate) fn close_json(mut buffer: Vec<u8>, start: usize) -> Bytes {
    if memchr2(b'\r', b'\n', &buffer[start..]).is_some() {
        // Inside a JSON string they are escaped; outside one they are white space, which a raw value can hold.
        let mut at = 0;
        buffer.retain(|&byte| {
            at += 1;
            at <= start || (byte != b'\r' && byte != b'\n')
        });
    }
    buffer.extend_from_slice(END);
    buffer::freeze(buffer).into()
}

/// An event's id line before the rest of it.
pub(crate) fn with_id(id: &EventId, rest: &[u8]) -> Bytes {
    let mut buffer = Vec::with_capacity(id_line_len(id) + rest.len());
    put_id(id, &mut buffer);
    buffer.extend_from_slice(rest);
    Bytes::from(buffer)
}

pub(crate) fn put_id(id: &EventId, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(ID);
    buffer.extend_from_slice(id.as_str().as_bytes());
    buffer.push(b'\n');
}

pub(crate) fn id_line_len(id: &EventId) -> usize {
    ID.len() + id.as_str().len() + 1
}

/// Appends the last `retry:` of a stream.
pub(crate) fn put_last_retry(retry: Duration, form: LastRetry, buffer: &mut Vec<u8>) {
    put_retry(retry, buffer);
    if form == LastRetry::Block {
        buffer.push(b'\n');
    }
}

/// Appends the `retry:` line. It takes effect when it is read and needs no blank line; digits only (HTML §9.2.6). Never less than
/// is asked for, since part of a millisecond is one and not none, up to [`LONGEST_WAIT`](jitter::LONGEST_WAIT).
pub(crate) fn put_retry(retry: Duration, buffer: &mut Vec<u8>) {
    let millis = retry.min(jitter::LONGEST_WAIT).as_nanos().div_ceil(1_000_000);
    buffer.extend_from_slice(b"retry: ");
    buffer.extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
    buffer.push(b'\n');
}

/// The name in an encoded event's bytes.
pub(crate) fn name_of(rest: &[u8]) -> Option<&str> {
    let line = rest.strip_prefix(EVENT)?;
    std::str::from_utf8(&line[..memchr(b'\n', line)?]).ok()
}

/// Where the lines of data begin in an encoded event's bytes.
pub(crate) fn lines_start(rest: &[u8]) -> usize {
    name_of(rest).map_or(0, |name| EVENT.len() + name.len() + 1)
}

/// The data in an encoded event's bytes.
pub(crate) fn data_of(rest: &[u8]) -> Cow<'_, str> {
    let lines = std::str::from_utf8(&rest[lines_start(rest)..]).unwrap_or_default();
    let lines = lines.strip_suffix("\n\n").unwrap_or(lines);
    let first = &lines[DATA.len().min(lines.len())..];
    if memchr(b'\n', first.as_bytes()).is_none() {
        return Cow::Borrowed(first);
    }
    // A line of data cannot hold a break, so each break in the bytes is followed by the next line's field name.
    Cow::Owned(first.replace("\ndata: ", "\n"))
}

fn name_line_len(name: Option<&EventName>) -> usize {
    name.map_or(0, |name| EVENT.len() + name.as_str().len() + 1)
}

fn put_name(name: Option<&EventName>, buffer: &mut Vec<u8>) {
    if let Some(name) = name {
        buffer.extend_from_slice(EVENT);
        buffer.extend_from_slice(name.as_str().as_bytes());
        buffer.push(b'\n');
    }
}

/// CRLF, CR and LF are one break each (HTML §9.2.5).
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
const EVENT: &[u8] = b"event: ";
const DATA: &[u8] = b"data: ";
const NEXT_LINE: &[u8] = b"\ndata: ";
const END: &[u8] = b"\n\n";

/// What a few lines need, however short they are.
const SHORT_LINES: usize = 32;

/// The form of the last `retry:` of a stream that its client should come back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LastRetry {
    /// A line, without a blank line after it. Every browser and most other clients read it. Node's own `EventSource`, of undici, reads
    /// `retry:` only at a blank line, and comes back after 3 s. This is the default.
    #[default]
    Line,
    /// A line, and a blank line after it, for Node's own `EventSource`. To openai-python and httpx-sse the two are an empty event.
    Block,
}
