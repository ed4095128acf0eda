//! Checks that the received events are the sent ones: every event, in order, each byte of its data.

use std::{fmt, io, time::Instant};

use crate::text::{self, DIGITS, FLOOD};
use memchr::memchr;

/// The expected content of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Events with these numbers, from this one on.
    From { number: u64, size: usize },
    /// The same numbers again and again.
    Flood { size: usize },
    /// Anything.
    Any,
}

/// The totals of all streams.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) heads: u64,
    pub(crate) events: u64,
    pub(crate) comments: u64,
    pub(crate) streams: u64,
    /// Numbers below this are waited for.
    pub(crate) through: u64,
    /// The number of streams that have not received them.
    pub(crate) behind: u64,
    /// When the bytes came that are looked at.
    pub(crate) now: Instant,
    /// The time at which each number was sent, from the first on, if latency is measured.
    pub(crate) sent: Option<(u64, Vec<Instant>)>,
    /// The time that they took, in microseconds.
    pub(crate) took: Vec<u32>,
    pub(crate) crowd: Crowd,
}

/// Streams that come and go.
#[derive(Default)]
pub(crate) struct Crowd {
    /// The time from connecting to the first event of each stream that was begun alone, in microseconds.
    pub(crate) firsts: Vec<u32>,
    /// A stream may end; otherwise that is an error.
    pub(crate) may_end: bool,
    /// The clean end of each stream, and its last `retry:` in milliseconds.
    pub(crate) ended: Vec<(Instant, Option<u32>)>,
    /// The number of streams that ended otherwise.
    pub(crate) cut: usize,
    /// The number of streams whose connection was refused, or reset before their first event.
    pub(crate) refused: usize,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Check {
    expect: Expect,
    /// The number that comes next, or how many have come.
    next: u64,
    /// The received part of a line.
    line: Vec<u8>,
    has_data: bool,
    has_name: bool,
    /// When the client connected, until there is an event, if that is measured.
    begun: Option<Instant>,
    /// The last time to reconnect, in milliseconds.
    retry: Option<u32>,
    /// All events of a flood as most servers write them.
    flood: Vec<u8>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            heads: 0,
            events: 0,
            comments: 0,
            streams: 0,
            through: 0,
            behind: 0,
            now: Instant::now(),
            sent: None,
            took: Vec::new(),
            crowd: Crowd::default(),
        }
    }
}

impl Tally {
    /// So many streams more.
    pub(crate) fn join(&mut self, expect: Expect, streams: u64) {
        self.streams += streams;
        if let Expect::From { number, .. } = expect {
            self.through = self.through.max(number);
        }
    }

    /// Waits for the numbers below this. All streams have come as far as was waited for last.
    pub(crate) fn aim(&mut self, through: u64) {
        if through > self.through {
            self.through = through;
            self.behind = self.streams;
        }
    }

    fn event(&mut self, number: u64, counts: bool) {
        self.events += 1;
        if counts && number + 1 == self.through {
            self.behind -= 1;
        }
        let sent =
            self.sent.as_ref().and_then(|(first, sent)| sent.get(usize::try_from(number.checked_sub(*first)?).ok()?));
        if let Some(sent) = sent {
            let took = self.now.saturating_duration_since(*sent).as_micros();
            self.took.push(u32::try_from(took).unwrap_or(u32::MAX));
        }
    }
}

impl Crowd {
    /// So many streams end without their end.
    pub(crate) fn cut(&mut self, streams: usize) -> io::Result<()> {
        if streams > 0 && !self.may_end {
            return Err(io::Error::other("the server has closed a stream"));
        }
        self.cut += streams;
        Ok(())
    }
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { firsts, ended, cut, refused, .. } = self;
        write!(f, "Crowd({} have an event, {} ended, {cut} cut, {refused} refused)", firsts.len(), ended.len())
    }
}

impl Check {
    pub(crate) fn new(expect: Expect) -> Self {
        let next = if let Expect::From { number, .. } = expect { number } else { 0 };
        Self {
            expect,
            next,
            line: Vec::new(),
            has_data: false,
            has_name: false,
            begun: None,
            retry: None,
            flood: Vec::new(),
        }
    }

    /// One that is measured from this time to its first event.
    pub(crate) fn begun(expect: Expect, at: Instant) -> Self {
        Self { begun: Some(at), ..Self::new(expect) }
    }

    /// Returns `true` if it is measured and has no event.
    pub(crate) fn is_waiting(&self) -> bool {
        self.begun.is_some()
    }

    /// Bytes of the event stream, cut anywhere.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], tally: &mut Tally) -> io::Result<()> {
        if let Expect::Flood { size } = self.expect {
            bytes = self.whole_events(bytes, size, tally);
        }
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.line.is_empty() {
                self.line(line, tally)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.line(&whole, tally)?;
                // Its room is kept.
                whole.clear();
                self.line = whole;
            }
            bytes = rest;
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes those events of a flood that are there as a whole and just as expected, so that the client is not what limits.
    fn whole_events<'a>(&mut self, mut bytes: &'a [u8], size: usize, tally: &mut Tally) -> &'a [u8] {
        let len = EVENT.len() + size;
        if self.flood.is_empty() {
            self.flood = (0..FLOOD).flat_map(|number| event(number, size).into_bytes()).collect();
        }
        while self.line.is_empty() && !self.has_data && bytes.len() >= len {
            let at = usize::try_from(self.next % FLOOD).unwrap_or(0) * len;
            if bytes[..len] != self.flood[at..at + len] {
                break;
            }
            self.next += 1;
            tally.events += 1;
            bytes = &bytes[len..];
        }
        bytes
    }

    /// The stream has ended cleanly.
    pub(crate) fn end(&self, tally: &mut Tally) -> io::Result<()> {
        if !tally.crowd.may_end {
            return Err(io::Error::other("the server has ended a stream"));
        }
        tally.crowd.ended.push((tally.now, self.retry));
        Ok(())
    }

    fn line(&mut self, line: &[u8], tally: &mut Tally) -> io::Result<()> {
        match line.first() {
            Some(b'd') => {
                self.has_data = true;
                if !self.has_name && self.expect != Expect::Any {
                    self.data(value(line, b"data:"))?;
                }
            }
            Some(b':') => tally.comments += 1,
            Some(b'e') => self.has_name = value(line, b"event:") != b"message",
            Some(b'r') => self.retry = retry(value(line, b"retry:")).or(self.retry),
            Some(_) => {}
            None => self.blank_line(tally),
        }
        Ok(())
    }

    fn blank_line(&mut self, tally: &mut Tally) {
        let (has_data, has_name) = (self.has_data, self.has_name);
        (self.has_data, self.has_name) = (false, false);
        if let Some(begun) = self.begun.take_if(|_| has_data) {
            let took = tally.now.saturating_duration_since(begun).as_micros();
            tally.crowd.firsts.push(u32::try_from(took).unwrap_or(u32::MAX));
        }
        if has_data && (!has_name || self.expect == Expect::Any) {
            tally.event(self.next, matches!(self.expect, Expect::From { .. }));
            self.next += 1;
        }
    }

    fn data(&self, data: &[u8]) -> io::Result<()> {
        let (number, size) = match self.expect {
            Expect::From { size, .. } => (self.next, size),
            Expect::Flood { size } => (self.next % FLOOD, size),
            Expect::Any => return Ok(()),
        };
        let digits = data.get(..DIGITS).unwrap_or_default();
        let came = digits.iter().fold(0, |number: u64, digit| number * 10 + u64::from(digit.wrapping_sub(b'0')));
        if came != number || &data[DIGITS..] != text::filling(size - DIGITS).as_bytes() {
            let came = String::from_utf8_lossy(&data[..data.len().min(32)]);
            return Err(io::Error::other(format!("instead of event {number}, {size} bytes, came {came:?}")));
        }
        Ok(())
    }
}

/// Returns the value after a field's name, without one leading space.
fn value<'a>(line: &'a [u8], name: &[u8]) -> &'a [u8] {
    let value = line.strip_prefix(name).unwrap_or_default();
    value.strip_prefix(b" ").unwrap_or(value)
}

fn retry(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn event(number: u64, size: usize) -> String {
    format!("data: {}\n\n", text::data(number, size))
}

const EVENT: &str = "data: \n\n";
