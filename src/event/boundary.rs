//! Where in an event stream some bytes end, and so what may follow them.
//!
//! Pure: a few bytes in, a place out. The stream may be cut anywhere.

use memchr::memrchr2;

/// Where the bytes so far have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[expect(unnameable_types, reason = "sealed")]
pub enum Boundary {
    /// After a blank line, or before anything, or after a comment there: an event may follow.
    #[default]
    BetweenEvents,
    /// A line of an event, or a comment, has ended: another line may follow.
    LineStart,
    /// Within a line: nothing may follow but the rest of it.
    InLine,
    /// Within a comment that stands between events: the same.
    InComment,
    /// After a CR that ended a line of an event: an LF may come that belongs to it.
    AfterCr,
    /// After a CR that ended a blank line, or a comment between events: an LF may come that belongs to it.
    AfterBlankCr,
}

impl Boundary {
    /// Where these bytes lead to from here. Looks at the last line, unless a blank one or comments follow it.
    pub(crate) fn after(self, bytes: &[u8]) -> Self {
        let mut end = bytes.len();
        let (start, at) = loop {
            let Some(last) = bytes[..end].iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')) else {
                break (self, 0);
            };
            // Behind a blank line it is moot which line was before it.
            if Self::InLine.steps(&bytes[last + 1..end]).is_end_of_event() {
                break (Self::InLine, last + 1);
            }
            let line = memrchr2(b'\r', b'\n', &bytes[..last]).map_or(0, |at| at + 1);
            match bytes[line] {
                first if line == 0 => break (self.step(first), last + 1),
                // It may stand within an event or between two.
                b':' => end = line,
                _ => break (Self::InLine, last + 1),
            }
        };
        start.steps(&bytes[at..])
    }

    fn steps(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |place, &byte| place.step(byte))
    }

    /// Where this byte leads to from here.
    pub(crate) fn step(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::AfterCr | Self::InLine, b'\n') => Self::LineStart,
            (_, b'\n') => Self::BetweenEvents,
            (Self::InLine, b'\r') => Self::AfterCr,
            (_, b'\r') => Self::AfterBlankCr,
            (Self::BetweenEvents | Self::AfterBlankCr, b':') | (Self::InComment, _) => Self::InComment,
            _ => Self::InLine,
        }
    }

    /// Whether all events that began have ended, if nothing but the end of the stream follows.
    pub(crate) fn is_end_of_event(self) -> bool {
        matches!(self, Self::BetweenEvents | Self::AfterBlankCr)
    }

    /// What ends the line that the stream is in.
    pub(crate) fn line_end(self) -> &'static [u8] {
        match self {
            Self::BetweenEvents | Self::LineStart => b"",
            Self::InLine | Self::InComment | Self::AfterCr | Self::AfterBlankCr => b"\n",
        }
    }

    /// How many of these bytes, from here, end where an event may follow. `None`: they hold no end of an event.
    pub(crate) fn end_of_event(self, bytes: &[u8]) -> Option<usize> {
        let mut place = self;
        for (at, &byte) in bytes.iter().enumerate() {
            place = place.step(byte);
            match place {
                // The LF that may follow belongs to the blank line, but need not be sent: the CR has ended it.
                Self::BetweenEvents | Self::AfterBlankCr => return Some(at + 1),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All texts of up to seven bytes out of a letter, a colon, CR and LF.
    fn texts() -> impl Iterator<Item = Vec<u8>> {
        (0..=7).flat_map(|len| {
            (0..4_usize.pow(len))
                .map(move |number| (0..len).map(|at| b"a:\r\n"[number / 4_usize.pow(at) % 4]).collect::<Vec<u8>>())
        })
    }

    fn step_by_step(text: &[u8]) -> Boundary {
        Boundary::default().steps(text)
    }

    #[test]
    fn the_last_lines_are_enough() {
        for text in texts() {
            assert_eq!(Boundary::default().after(&text), step_by_step(&text), "{text:?}");
        }
    }

    #[test]
    fn a_comment_between_events_is_no_part_of_one() {
        let after = |text: &[u8]| Boundary::default().after(text);
        assert_eq!(after(b":"), Boundary::InComment);
        assert_eq!(after(b": a: b\n"), Boundary::BetweenEvents);
        assert_eq!(after(b"data: a\n\n: b\r: c\r"), Boundary::AfterBlankCr);
        assert_eq!(after(b"data: a\n: b\n: c\n"), Boundary::LineStart);
        assert_eq!(after(&b":\n".repeat(1_000_000)), Boundary::BetweenEvents);
    }

    #[test]
    fn it_does_not_matter_where_the_bytes_are_cut() {
        for text in texts() {
            for cut in 0..=text.len() {
                let (head, tail) = text.split_at(cut);
                assert_eq!(Boundary::default().after(head).after(tail), step_by_step(&text), "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn after_a_line_end_that_is_added_a_line_may_follow() {
        for text in texts() {
            let place = Boundary::default().after(&text);
            assert!(matches!(place.after(place.line_end()), Boundary::BetweenEvents | Boundary::LineStart), "{text:?}");
        }
    }

    #[test]
    fn an_event_ends_with_the_first_blank_line() {
        assert_eq!(Boundary::InLine.end_of_event(b"a\n\nb\n\n"), Some(3));
        assert_eq!(Boundary::InLine.end_of_event(b"a\r\n\r\nb"), Some(4));
        assert_eq!(Boundary::LineStart.end_of_event(b"\nb"), Some(1));
        assert_eq!(Boundary::AfterCr.end_of_event(b"\n\n"), Some(2));
        assert_eq!(Boundary::InLine.end_of_event(b"a\r\nb\r\n"), None);
    }
}
