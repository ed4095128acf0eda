//! How an event becomes bytes, and how its parts are read back from them.
//!
//! The order is fixed: `id:`, `event:`, `data:` for each line, a blank line. LF only, the colon and one space always,
//! since a client strips one leading space (HTML §9.2.6) and the data may begin with one.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use memchr::{memchr, memchr_iter, memchr2, memchr2_iter};

use crate::{EventId, EventName};

/// All of an event but its id.
pub(crate) fn text(name: Option<&EventName>, data: &str) -> Bytes {
    let data = data.as_bytes();
    let around = name_line_len(name) + DATA.len() + END.len();
    let mut buffer;
    match memchr2(b'\r', b'\n', data) {
        None => {
            buffer = Vec::with_capacity(around + data.len());
            put_name(name, &mut buffer);
            buffer.extend_from_slice(DATA);
            buffer.extend_from_slice(data);
        }
        Some(first) => {
            // To look for one, twice, is faster than to look for both. A CRLF that is counted twice costs a few bytes.
            let rest = &data[first..];
            let breaks = memchr_iter(b'\n', rest).count() + memchr_iter(b'\r', rest).count();
            buffer = Vec::with_capacity(around + data.len() + breaks * (NEXT_LINE.len() - 1));
            put_name(name, &mut buffer);
            buffer.extend_from_slice(DATA);
            put_lines(data, &mut buffer);
        }
    }
    buffer.extend_from_slice(END);
    Bytes::from(buffer)
}

/// All of an event but its id, its data written by serde into the buffer that is sent.
#[cfg(feature = "json")]
pub(crate) fn json<T: serde_core::Serialize + ?Sized>(
    name: Option<&EventName>,
    value: &T,
) -> Result<Bytes, crate::JsonError> {
    let mut buffer = Vec::with_capacity(name_line_len(name) + JSON_CAPACITY);
    begin_data(name, &mut buffer);
    serde_json::to_writer(&mut buffer, value).map_err(crate::JsonError::new)?;
    close_json(&mut buffer);
    Ok(Bytes::from(buffer))
}

/// The name's line and the beginning of the first line of data.
#[cfg(feature = "json")]
pub(crate) fn begin_data(name: Option<&EventName>, buffer: &mut Vec<u8>) {
    put_name(name, buffer);
    buffer.extend_from_slice(DATA);
}

/// Ends an event whose data is JSON, on one line whatever the value held.
#[cfg(feature = "json")]
pub(crate) fn close_json(buffer: &mut Vec<u8>) {
    let start = name_of(buffer).map_or(0, |name| EVENT.len() + name.len() + 1);
    if memchr2(b'\r', b'\n', &buffer[start..]).is_some() {
        // Inside a JSON string they are escaped; outside one they are white space, which a raw value can hold.
        let mut at = 0;
        buffer.retain(|&byte| {
            at += 1;
            at <= start || (byte != b'\r' && byte != b'\n')
        });
    }
    buffer.extend_from_slice(END);
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

/// The `retry:` line. It takes effect when it is read and needs no blank line; digits only (HTML §9.2.6).
pub(crate) fn put_retry(retry: Duration, buffer: &mut Vec<u8>) {
    let millis = u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
    buffer.extend_from_slice(b"retry: ");
    buffer.extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
    buffer.push(b'\n');
}

/// The name in an encoded event's bytes.
pub(crate) fn name_of(rest: &[u8]) -> Option<&str> {
    let line = rest.strip_prefix(EVENT)?;
    std::str::from_utf8(&line[..memchr(b'\n', line)?]).ok()
}

/// The data in an encoded event's bytes.
pub(crate) fn data_of(rest: &[u8]) -> Cow<'_, str> {
    let lines = match name_of(rest) {
        None => rest,
        Some(name) => &rest[EVENT.len() + name.len() + 1..],
    };
    let lines = std::str::from_utf8(lines).unwrap_or_default();
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
        let of_crlf = end > 0 && data[end] == b'\n' && data[end - 1] == b'\r';
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

/// Room for a small value, so that most events are one allocation.
#[cfg(feature = "json")]
const JSON_CAPACITY: usize = 128;
