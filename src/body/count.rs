//! Provides a counter of the events in a decorated stream.
//!
//! Pure. It reads each byte, so it runs only if an observer wants the numbers.

use crate::event::boundary::Boundary;

/// A counter of blank lines that follow a line of data.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    boundary: Boundary,
    /// The number of bytes of this line's field name that match `data`. `None` if it is another field.
    matched: Option<usize>,
    has_data: bool,
}

impl Count {
    /// Returns the number of events that end within these bytes.
    pub(crate) fn events(&mut self, bytes: &[u8]) -> u64 {
        bytes.iter().map(|&byte| u64::from(self.ends_event(byte))).sum()
    }

    fn ends_event(&mut self, byte: u8) -> bool {
        let before = self.boundary;
        self.boundary = before.step(byte);
        match byte {
            b'\n' if matches!(before, Boundary::AfterCr | Boundary::AfterBlankCr) => false,
            b'\r' | b'\n' if self.boundary.is_end_of_event() => std::mem::take(&mut self.has_data),
            b'\r' | b'\n' | b':' => {
                self.has_data |= self.matched.take() == Some(DATA.len());
                false
            }
            _ => {
                let at = if matches!(before, Boundary::InLine | Boundary::InComment) { self.matched } else { Some(0) };
                self.matched = at.filter(|&at| DATA.get(at) == Some(&byte)).map(|at| at + 1);
                false
            }
        }
    }
}

const DATA: &[u8] = b"data";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_with_data_are_events_wherever_they_are_cut() {
        let stream = b"data: 1\n\n:c\n: data:\n:data\n\nid: 2\n\ndata\r\n\r\ndatas: 3\n\n data: 4\n\nevent: x\rdata:\r\r\ndata\n:\n\n\ndata: tail";
        for cut in 0..=stream.len() {
            let mut count = Count::default();
            let (head, tail) = stream.split_at(cut);
            assert_eq!(count.events(head) + count.events(tail), 4, "cut at {cut}");
        }
    }
}
