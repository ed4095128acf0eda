//! One stream over HTTP/1.1: the head, and the chunks taken off.

use std::{io, time::Instant};

use super::check::{Check, Expect, Tally};

pub(crate) struct Http1 {
    state: State,
    head: Vec<u8>,
    check: Check,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    /// The size of a chunk so far, and whether its digits are over.
    Size(usize, bool),
    /// So much of a chunk is to come.
    Data(usize),
    /// So much of the line's end behind a chunk is to come.
    End(usize),
    /// Everything is data.
    Plain,
    /// The stream has ended.
    Over,
}

pub(crate) fn request(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n").into_bytes()
}

impl State {
    /// Returns the state after a byte that is not data.
    fn step(self, byte: u8) -> Self {
        match (self, (byte as char).to_digit(16)) {
            (Self::Size(size, false), Some(digit)) => Self::Size(size * 16 + digit as usize, false),
            // What is no digit was the CR of the line's end: only its LF is waited for.
            (Self::Size(size, false), None) => Self::Size(size, true),
            (Self::Size(size, true), _) if byte == b'\n' => Self::Data(size),
            (Self::End(1), _) => Self::Size(0, false),
            (Self::End(left), _) => Self::End(left - 1),
            (same, _) => same,
        }
    }

    fn after_data(self) -> Self {
        if matches!(self, Self::Data(0)) { Self::End(2) } else { self }
    }
}

impl Http1 {
    pub(crate) fn new(expect: Expect) -> Self {
        Self { state: State::Head, head: Vec::new(), check: Check::new(expect) }
    }

    /// One that is measured from this time to its first event.
    pub(crate) fn begun(expect: Expect, at: Instant) -> Self {
        Self { state: State::Head, head: Vec::new(), check: Check::begun(expect, at) }
    }

    /// The number of streams that are measured and have no event.
    pub(crate) fn waiting(&self) -> usize {
        usize::from(self.check.is_waiting())
    }

    /// The connection has ended.
    pub(crate) fn close(&self, tally: &mut Tally) -> io::Result<()> {
        match self.state {
            State::Over => Ok(()),
            State::Plain => self.check.end(tally),
            _ => tally.crowd.cut(1),
        }
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8], tally: &mut Tally) -> io::Result<()> {
        while let Some(&byte) = bytes.first() {
            let taken = match self.state {
                State::Head => self.head(bytes, tally)?,
                State::Plain => {
                    self.check.feed(bytes, tally)?;
                    bytes.len()
                }
                State::Data(left) => {
                    let data = &bytes[..left.min(bytes.len())];
                    self.check.feed(data, tally)?;
                    self.state = State::Data(left - data.len()).after_data();
                    data.len()
                }
                State::Size(0, true) => {
                    self.check.end(tally)?;
                    self.state = State::Over;
                    bytes.len()
                }
                State::Over => bytes.len(),
                around => {
                    self.state = around.step(byte);
                    1
                }
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn head(&mut self, bytes: &[u8], tally: &mut Tally) -> io::Result<usize> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(bytes.len()) };
        let head = String::from_utf8_lossy(&self.head[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") || !head.contains("\r\ncontent-type: text/event-stream") {
            return Err(io::Error::other(format!("this is no event stream: {head}")));
        }
        let is_chunked = head.contains("\r\ntransfer-encoding: chunked");
        self.state = if is_chunked { State::Size(0, false) } else { State::Plain };
        self.head = Vec::new();
        tally.heads += 1;
        Ok(end + 4 - before)
    }
}
