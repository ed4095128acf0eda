//! Where a stream's byte order mark ends, wherever the bytes are cut.
//!
//! Pure. One leading U+FEFF is not part of the stream (HTML §9.2.5); a later one is.

/// How much of a mark has come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bom {
    /// So many of its bytes, and nothing else.
    Seen(usize),
    /// It has come, or there is none.
    Over,
}

impl Bom {
    /// The beginning of a stream.
    pub(crate) const START: Self = Self::Seen(0);

    /// How many of these bytes are held as a mark's; and those held that turn out to be none, which go before the rest.
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
    fn one_mark_goes_wherever_it_is_cut() {
        assert_eq!(stripped(&[b"\xef\xbb\xbfa"]), b"a");
        assert_eq!(stripped(&[b"\xef", b"", b"\xbb", b"\xbfa"]), b"a");
        assert_eq!(stripped(&[b"\xef\xbb\xbf", b"\xef\xbb\xbfa"]), b"\xef\xbb\xbfa");
    }

    #[test]
    fn what_only_begins_like_a_mark_stays() {
        assert_eq!(stripped(&[b"\xef\xbba"]), b"\xef\xbba");
        assert_eq!(stripped(&[b"\xef", b"\xbb", b"a"]), b"\xef\xbba");
        assert_eq!(stripped(&[b"a\xef\xbb\xbf"]), b"a\xef\xbb\xbf");
    }
}
