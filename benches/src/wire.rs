//! The bytes that the floors send: those of tower-sse, prepared once.

use crate::{
    control::Command,
    text::{self, FLOOD},
};

/// Returns the events of a command, from this number on.
pub(crate) fn events(first: u64, command: Command) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in first..first + command.events {
        push(number, command.size, &mut bytes);
    }
    bytes
}

/// Returns the same in pieces of 8 KiB at most.
pub(crate) fn frames<T: From<Vec<u8>>>(first: u64, command: Command) -> Vec<T> {
    let (mut frames, mut bytes) = (Vec::new(), Vec::new());
    for number in first..first + command.events {
        let mut event = Vec::new();
        push(number, command.size, &mut event);
        if bytes.len() + event.len() > FRAME {
            frames.push(std::mem::take(&mut bytes).into());
        }
        bytes.append(&mut event);
    }
    frames.push(bytes.into());
    frames
}

/// Returns as many whole floods as make about 64 KiB, without ids.
pub(crate) fn flood(size: usize) -> Vec<u8> {
    let mut once = Vec::new();
    for number in 0..FLOOD {
        once.extend_from_slice(format!("data: {}\n\n", text::data(number, size)).as_bytes());
    }
    once.repeat((64 * 1024 / once.len()).max(1))
}

/// Returns the size that a query requests.
pub(crate) fn size(query: Option<&str>) -> usize {
    query.and_then(|query| query.strip_prefix("size=")?.split('&').next()?.parse().ok()).unwrap_or(64)
}

/// Encodes as one chunk of HTTP/1.1.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:X}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

fn push(number: u64, size: usize, bytes: &mut Vec<u8>) {
    // As long as an id of a hub.
    let event = format!("id: 0123456789abcdef-{number}\ndata: {}\n\n", text::data(number, size));
    bytes.extend_from_slice(event.as_bytes());
}

/// Returns the first bytes for a new client.
pub(crate) const FIRST: &[u8] = b":\nid: 0123456789abcdef-0\nevent: subscribed\ndata: \n\n";

const FRAME: usize = 8 * 1024;
