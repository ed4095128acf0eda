//! Ids of entries of a stream in Redis.
//!
//! Pure.

/// Returns an id as the pair of its milliseconds and its number, or `None` if it is not an id. The order of pairs is Redis's.
pub(super) fn parts(id: &str) -> Option<(u64, u64)> {
    let (ms, number) = id.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

/// Returns the first id of the next millisecond if the numbers within the millisecond of this id are running out.
pub(super) fn next_if_crowded(id: &str) -> Option<String> {
    let (ms, number) = parts(id)?;
    (number >= CROWDED).then_some(())?;
    Some(format!("{}-0", ms.checked_add(1)?))
}

/// Half of the numbers of a millisecond that have positions.
const CROWDED: u64 = 1 << 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_millisecond_is_left_before_its_numbers_run_out() {
        assert_eq!(next_if_crowded("5-524287"), None);
        assert_eq!(next_if_crowded("5-524288").as_deref(), Some("6-0"));
        assert_eq!(next_if_crowded("18446744073709551615-524288"), None, "the last millisecond has no next one");
        assert_eq!(next_if_crowded("garbage"), None);
    }
}
