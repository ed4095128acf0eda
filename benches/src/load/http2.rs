//! Many streams over one connection of HTTP/2: as much of it as a client of event streams needs.

use std::{
    io::{self, Write},
    net::TcpStream,
    time::Instant,
};

use super::check::{Check, Expect, Tally};

pub(crate) struct Http2 {
    streams: Vec<Check>,
    /// The number of streams that have not ended.
    open: usize,
    /// The received part of a frame's head.
    head: Vec<u8>,
    /// The frame whose payload comes.
    frame: Option<Frame>,
    /// The received part of a payload that is not data.
    payload: Vec<u8>,
    /// The received data that was not acknowledged to the server by a window update.
    received: usize,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    left: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Returns the client's first bytes: its settings, the largest window, and a request for each stream.
pub(crate) fn requests(target: &str, streams: u32) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut window = vec![0, INITIAL_WINDOW_SIZE];
    window.extend_from_slice(&MAX_WINDOW.to_be_bytes());
    put(SETTINGS, 0, 0, &window, &mut bytes);
    put(WINDOW_UPDATE, 0, 0, &(MAX_WINDOW - 65_535).to_be_bytes(), &mut bytes);
    (0..streams).for_each(|stream| put_request(target, stream, &mut bytes));
    bytes
}

fn put_request(target: &str, stream: u32, to: &mut Vec<u8>) {
    // From the static table: GET, http; then literals, not indexed: path, authority, accept (RFC 7541).
    let mut head = vec![0x82, 0x86];
    put_literal(&[0x04], target, &mut head);
    put_literal(&[0x01], "localhost", &mut head);
    put_literal(&[0x0f, 0x04], "text/event-stream", &mut head);
    put(HEADERS, END_STREAM | END_HEADERS, stream * 2 + 1, &head, to);
}

impl Http2 {
    pub(crate) fn new(streams: u32, expect: Expect) -> Self {
        let streams: Vec<_> = (0..streams).map(|_| Check::new(expect)).collect();
        Self { open: streams.len(), streams, head: Vec::new(), frame: None, payload: Vec::new(), received: 0 }
    }

    /// Requests one more stream, measured from this time to its first event.
    pub(crate) fn request(&mut self, target: &str, expect: Expect, at: Instant, to: &mut Vec<u8>) {
        put_request(target, u32::try_from(self.streams.len()).unwrap_or(0), to);
        self.streams.push(Check::begun(expect, at));
        self.open += 1;
    }

    /// The number of streams that are measured and have no event.
    pub(crate) fn waiting(&self) -> usize {
        self.streams.iter().filter(|stream| stream.is_waiting()).count()
    }

    /// The connection has ended.
    pub(crate) fn close(&self, tally: &mut Tally) -> io::Result<()> {
        tally.crowd.cut(self.open)
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut to: &TcpStream, tally: &mut Tally) -> io::Result<()> {
        while !bytes.is_empty() || self.frame.is_some_and(|frame| frame.left == 0) {
            let Some(mut frame) = self.frame else {
                bytes = self.head(bytes);
                continue;
            };
            let (payload, rest) = bytes.split_at(bytes.len().min(frame.left));
            bytes = rest;
            frame.left -= payload.len();
            self.frame = (frame.left > 0).then_some(frame);
            if frame.kind == DATA {
                self.data(frame, payload, tally)?;
                continue;
            }
            self.payload.extend_from_slice(payload);
            if frame.left == 0 {
                let answer = self.control(frame, tally)?;
                self.payload.clear();
                to.write_all(&answer)?;
            }
        }
        if self.received > MAX_WINDOW as usize / 4 {
            let mut update = Vec::new();
            put(WINDOW_UPDATE, 0, 0, &u32::try_from(self.received).unwrap_or(MAX_WINDOW).to_be_bytes(), &mut update);
            self.received = 0;
            to.write_all(&update)?;
        }
        Ok(())
    }

    /// Takes a part of a frame of data, of which so much is left.
    fn data(&mut self, frame: Frame, payload: &[u8], tally: &mut Tally) -> io::Result<()> {
        self.received += payload.len();
        let stream = self.stream(frame)?;
        stream.feed(payload, tally)?;
        if frame.left == 0 && frame.flags & END_STREAM != 0 {
            stream.end(tally)?;
            self.open -= 1;
        }
        Ok(())
    }

    /// Takes what there is of a frame's head.
    fn head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(head);
        if self.head.len() == HEAD {
            self.frame = Some(Frame::read(&self.head));
            self.head.clear();
        }
        rest
    }

    /// A frame that is no data, and what is said to it.
    fn control(&mut self, frame: Frame, tally: &mut Tally) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        match frame.kind {
            HEADERS => {
                // An update of the table's size may come first; then `:status: 200` of the static table.
                let status = self.payload.iter().find(|&byte| byte & 0xe0 != 0x20);
                if status != Some(&0x88) || frame.flags & END_STREAM != 0 {
                    return Err(io::Error::other("a stream was refused, or has ended"));
                }
                tally.heads += 1;
            }
            SETTINGS if frame.flags & ACK == 0 => put(SETTINGS, ACK, 0, &[], &mut answer),
            PING if frame.flags & ACK == 0 => put(PING, ACK, 0, &self.payload, &mut answer),
            RST_STREAM if tally.crowd.may_end => {
                tally.crowd.cut += 1;
                self.open -= 1;
            }
            GOAWAY if tally.crowd.may_end => {}
            RST_STREAM | GOAWAY => return Err(io::Error::other("the server has ended a stream or all")),
            _ => {}
        }
        Ok(answer)
    }

    fn stream(&mut self, frame: Frame) -> io::Result<&mut Check> {
        if frame.flags & PADDED != 0 {
            return Err(io::Error::other("data is padded"));
        }
        let at = (frame.stream / 2) as usize;
        self.streams.get_mut(at).ok_or_else(|| io::Error::other("data of a stream that is not there"))
    }
}

impl Frame {
    fn read(head: &[u8]) -> Self {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number: u32, &byte| number << 8 | u32::from(byte));
        let (left, stream) = (number(&head[..3]) as usize, number(&head[5..]) & MAX_WINDOW);
        Self { left, kind: head[3], flags: head[4], stream }
    }
}

fn put(kind: u8, flags: u8, stream: u32, payload: &[u8], to: &mut Vec<u8>) {
    let len = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    to.extend_from_slice(&len[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

fn put_literal(name: &[u8], value: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(name);
    // All are shorter than 127 bytes.
    to.push(u8::try_from(value.len()).unwrap_or(0));
    to.extend_from_slice(value.as_bytes());
}

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const INITIAL_WINDOW_SIZE: u8 = 4;
const MAX_WINDOW: u32 = (1 << 31) - 1;
