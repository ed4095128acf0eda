//! Redis's ids of entries, as a hub's sequence.
//!
//! Pure. `ms-number` is packed into 64 bits, 44 and 20 of them, in the same order. That is enough until the year 2527, and for
//! a million entries in a millisecond.

/// The sequence of an entry. `None`: it is no id, or one that has no place in 64 bits.
pub(super) fn sequence(id: &str) -> Option<u64> {
    let (ms, number) = id.split_once('-')?;
    let (ms, number) = (ms.parse::<u64>().ok()?, number.parse::<u64>().ok()?);
    (ms < 1 << (64 - NUMBER) && number < 1 << NUMBER).then_some(ms << NUMBER | number)
}

/// An id as a pair that is in order. `None`: it is no id.
pub(super) fn parts(id: &str) -> Option<(u64, u64)> {
    let (ms, number) = id.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

const NUMBER: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays() {
        let ids = ["0-0", "0-1", "0-1048575", "1-0", "1700000000000-7", "1700000000001-0", "17592186044415-1048575"];
        let sequences: Vec<_> = ids.iter().map(|id| sequence(id).unwrap()).collect();
        assert!(sequences.is_sorted());
        assert_eq!((sequences[0], sequences[6]), (0, u64::MAX));
        for none in ["", "1", "1-", "-1", "a-1", "1-1048576", "17592186044416-0"] {
            assert_eq!(sequence(none), None, "{none}");
        }
    }
}
