//! Removal of a stream's byte order mark.
//!
//! Pure. One leading U+FEFF is not part of the stream (HTML §9.2.5); a later one is. The stream may be cut anywhere.

/// A prefix of a byte order mark at the beginning of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bom {
    /// The stream so far is this many bytes of a mark.
    Seen(usize),
    /// The mark is complete, or the stream began without one.
    Over,
}

impl Bom {
    /// The beginning of a stream.
    pub(crate) const START: Self = Self::Seen(0);

    /// Returns the number of these bytes to skip, since they belong to a mark. Returns beside it the bytes that earlier calls skipped
    /// and that turn out to be no mark: they go before the rest.
    pub(crate) fn skip(&mut self, bytes: &[u8]) -> (usize, &'static [u8]) {
        let Self::Seen(mut seen) = *self else { return (0, b"") };
        for (at, &byte) in bytes.iter().enumerate() {
            if byte != MARK[seen] {
                *self = Self::Over;
                return (at, &MARK[..seen]);
            }
            seen += 1;
            if seen == MARK.len() {
                *self = Self::Over;
                return (at + 1, b"");
            }
        }
        *self = Self::Seen(seen);
        (bytes.len(), b"")
    }
}

pub(crate) const MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(parts: &[&[u8]]) -> Vec<u8> {
        let mut bom = Bom::START;
        let mut out = Vec::new();
        for part in parts {
            let (skip, held) = bom.skip(part);
            out.extend_from_slice(held);
            out.extend_from_slice(&part[skip..]);
        }
        out
    }

    #[test]
    fn one_mark_is_removed_wherever_it_is_cut() {
        assert_eq!(stripped(&[b"\xef\xbb\xbfa"]), b"a");
        assert_eq!(stripped(&[b"\xef", b"", b"\xbb", b"\xbfa"]), b"a");
        assert_eq!(stripped(&[b"\xef\xbb\xbf", b"\xef\xbb\xbfa"]), b"\xef\xbb\xbfa");
    }

    #[test]
    fn prefix_of_a_mark_stays() {
        assert_eq!(stripped(&[b"\xef\xbba"]), b"\xef\xbba");
        assert_eq!(stripped(&[b"\xef", b"\xbb", b"a"]), b"\xef\xbba");
        assert_eq!(stripped(&[b"a\xef\xbb\xbf"]), b"a\xef\xbb\xbf");
    }
}
