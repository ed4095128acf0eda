//! Where in an event stream some bytes end, and so what may follow them.
//!
//! Pure: a few bytes in, a place out. The stream may be cut anywhere.

/// Where the bytes so far have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[expect(unnameable_types, reason = "sealed")]
pub enum Place {
    /// After a blank line, or before anything: an event may follow.
    #[default]
    Between,
    /// A line of an event, or a comment, has ended: another line may follow.
    LineStart,
    /// Within a line: nothing may follow but the rest of it.
    WithinLine,
    /// After a CR that ended a line of an event: an LF may come that belongs to it.
    AfterCr,
    /// After a CR that ended a blank line: an LF may come that belongs to it.
    AfterBlankCr,
}

impl Place {
    /// Where these bytes lead to from here. Looks at the last four at most.
    pub(crate) fn after(self, bytes: &[u8]) -> Self {
        // A blank line is at most four bytes with the end of the line before it, so what stands before them is moot.
        let (start, tail) = match bytes.len() {
            0..=4 => (self, bytes),
            more => (Self::WithinLine, &bytes[more - 4..]),
        };
        tail.iter().fold(start, |place, &byte| place.step(byte))
    }

    /// Where this byte leads to from here.
    pub(crate) fn step(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::AfterCr, b'\n') => Self::LineStart,
            (Self::AfterBlankCr | Self::Between | Self::LineStart, b'\n') => Self::Between,
            (Self::WithinLine, b'\n') => Self::LineStart,
            (Self::WithinLine, b'\r') => Self::AfterCr,
            (_, b'\r') => Self::AfterBlankCr,
            _ => Self::WithinLine,
        }
    }

    /// Whether all events that began have ended, if nothing but the end of the stream follows.
    pub(crate) fn is_end_of_event(self) -> bool {
        matches!(self, Self::Between | Self::AfterBlankCr)
    }

    /// What ends the line that the stream is in.
    pub(crate) fn line_end(self) -> &'static [u8] {
        match self {
            Self::Between | Self::LineStart => b"",
            Self::WithinLine | Self::AfterCr | Self::AfterBlankCr => b"\n",
        }
    }

    /// How many of these bytes, from here, end with the first blank line. `None`: they hold no end of an event.
    pub(crate) fn end_of_event(self, bytes: &[u8]) -> Option<usize> {
        let mut place = self;
        for (at, &byte) in bytes.iter().enumerate() {
            place = place.step(byte);
            match place {
                // The LF that may follow belongs to the blank line, but need not be sent: the CR has ended it.
                Self::Between | Self::AfterBlankCr => return Some(at + 1),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All texts of up to eight bytes out of a letter, CR and LF.
    fn texts() -> impl Iterator<Item = Vec<u8>> {
        (0..=8).flat_map(|len| {
            (0..3_usize.pow(len))
                .map(move |number| (0..len).map(|at| b"a\r\n"[number / 3_usize.pow(at) % 3]).collect::<Vec<u8>>())
        })
    }

    fn step_by_step(text: &[u8]) -> Place {
        text.iter().fold(Place::default(), |place, &byte| place.step(byte))
    }

    #[test]
    fn the_last_four_bytes_are_enough() {
        for text in texts() {
            assert_eq!(Place::default().after(&text), step_by_step(&text), "{text:?}");
        }
    }

    #[test]
    fn it_does_not_matter_where_the_bytes_are_cut() {
        for text in texts() {
            for cut in 0..=text.len() {
                let (head, tail) = text.split_at(cut);
                assert_eq!(Place::default().after(head).after(tail), step_by_step(&text), "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn after_a_line_end_that_is_added_a_line_may_follow() {
        for text in texts() {
            let place = Place::default().after(&text);
            assert!(matches!(place.after(place.line_end()), Place::Between | Place::LineStart), "{text:?}");
        }
    }

    #[test]
    fn an_event_ends_with_the_first_blank_line() {
        assert_eq!(Place::WithinLine.end_of_event(b"a\n\nb\n\n"), Some(3));
        assert_eq!(Place::WithinLine.end_of_event(b"a\r\n\r\nb"), Some(4));
        assert_eq!(Place::LineStart.end_of_event(b"\nb"), Some(1));
        assert_eq!(Place::AfterCr.end_of_event(b"\n\n"), Some(2));
        assert_eq!(Place::WithinLine.end_of_event(b"a\r\nb\r\n"), None);
    }
}
