//! The position of a cut in an event stream: between events, between lines, or within a line.
//!
//! Pure. The stream may be cut anywhere.

use memchr::memrchr2;

/// The position in an event stream after the bytes so far. It decides what may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[expect(unnameable_types, reason = "sealed")]
pub enum Boundary {
    /// At the beginning, after a blank line, or after a comment that follows one of these: an event may follow.
    #[default]
    BetweenEvents,
    /// After a line of an event, or after a comment within one: another line may follow.
    LineStart,
    /// Within a line: only the rest of the line may follow.
    InLine,
    /// Within a comment between events: only the rest of the comment may follow.
    InComment,
    /// After a CR that ended a line of an event: an LF that follows belongs to it.
    AfterCr,
    /// After a CR that ended a blank line, or a comment between events: an LF that follows belongs to it.
    AfterBlankCr,
}

impl Boundary {
    /// Returns the position after these bytes. Reads the last line, and the lines before it only if they are blank or comments.
    pub(crate) fn after(self, bytes: &[u8]) -> Self {
        let mut end = bytes.len();
        let (start, at) = loop {
            let Some(last) = bytes[..end].iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')) else {
                break (self, 0);
            };
            // After a blank line, the lines before it make no difference.
            if Self::InLine.steps(&bytes[last + 1..end]).is_end_of_event() {
                break (Self::InLine, last + 1);
            }
            let line = memrchr2(b'\r', b'\n', &bytes[..last]).map_or(0, |at| at + 1);
            match bytes[line] {
                first if line == 0 => break (self.step(first), last + 1),
                // A comment may be within an event or between two.
                b':' => end = line,
                _ => break (Self::InLine, last + 1),
            }
        };
        start.steps(&bytes[at..])
    }

    fn steps(self, bytes: &[u8]) -> Self {
        bytes.iter().fold(self, |boundary, &byte| boundary.step(byte))
    }

    /// Returns the position after this byte.
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

    /// Returns whether no event is incomplete if the stream ends here.
    pub(crate) fn is_end_of_event(self) -> bool {
        matches!(self, Self::BetweenEvents | Self::AfterBlankCr)
    }

    /// Returns the bytes that end the current line. Empty if there is none.
    pub(crate) fn line_end(self) -> &'static [u8] {
        match self {
            Self::BetweenEvents | Self::LineStart => b"",
            Self::InLine | Self::InComment | Self::AfterCr | Self::AfterBlankCr => b"\n",
        }
    }

    /// Returns the number of these bytes up to the first end of an event, or `None` if no event ends in them.
    pub(crate) fn end_of_event(self, bytes: &[u8]) -> Option<usize> {
        let mut boundary = self;
        for (at, &byte) in bytes.iter().enumerate() {
            boundary = boundary.step(byte);
            match boundary {
                // An LF may follow and belongs to the blank line, but the CR has ended the line without it.
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

    /// Returns all texts of up to seven bytes that consist of a letter, a colon, CR and LF.
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
    fn last_lines_lead_to_the_same_boundary_as_all_bytes() {
        for text in texts() {
            assert_eq!(Boundary::default().after(&text), step_by_step(&text), "{text:?}");
        }
    }

    #[test]
    fn comment_between_events_is_part_of_neither() {
        let after = |text: &[u8]| Boundary::default().after(text);
        assert_eq!(after(b":"), Boundary::InComment);
        assert_eq!(after(b": a: b\n"), Boundary::BetweenEvents);
        assert_eq!(after(b"data: a\n\n: b\r: c\r"), Boundary::AfterBlankCr);
        assert_eq!(after(b"data: a\n: b\n: c\n"), Boundary::LineStart);
        assert_eq!(after(&b":\n".repeat(1_000_000)), Boundary::BetweenEvents);
    }

    #[test]
    fn cuts_do_not_change_the_boundary() {
        for text in texts() {
            for cut in 0..=text.len() {
                let (head, tail) = text.split_at(cut);
                assert_eq!(Boundary::default().after(head).after(tail), step_by_step(&text), "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn line_may_follow_the_line_end_that_is_added() {
        for text in texts() {
            let boundary = Boundary::default().after(&text);
            assert!(
                matches!(boundary.after(boundary.line_end()), Boundary::BetweenEvents | Boundary::LineStart),
                "{text:?}"
            );
        }
    }

    #[test]
    fn event_ends_with_the_first_blank_line() {
        assert_eq!(Boundary::InLine.end_of_event(b"a\n\nb\n\n"), Some(3));
        assert_eq!(Boundary::InLine.end_of_event(b"a\r\n\r\nb"), Some(4));
        assert_eq!(Boundary::LineStart.end_of_event(b"\nb"), Some(1));
        assert_eq!(Boundary::AfterCr.end_of_event(b"\n\n"), Some(2));
        assert_eq!(Boundary::InLine.end_of_event(b"a\r\nb\r\n"), None);
    }
}
