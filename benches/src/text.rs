//! The sent data, every byte of which the load client expects.

use std::sync::LazyLock;

/// Returns the data of the event with this number: ten digits, then letters, `size` bytes in all, and at least the digits.
pub(crate) fn data(number: u64, size: usize) -> String {
    let mut data = String::with_capacity(size.max(DIGITS));
    push_number(number, &mut data);
    data.push_str(filling(size.saturating_sub(DIGITS)));
    data
}

/// Returns so many letters, the same for every event.
pub(crate) fn filling(size: usize) -> &'static str {
    &FILLING[..size.min(FILLING.len())]
}

fn push_number(number: u64, to: &mut String) {
    let digits = number.to_string();
    for _ in digits.len()..DIGITS {
        to.push('0');
    }
    to.push_str(&digits);
}

/// Returns the digits of a number.
pub(crate) const DIGITS: usize = 10;

/// The number of events after which a flood starts again with number 0.
pub(crate) const FLOOD: u64 = 64;

static FILLING: LazyLock<String> = LazyLock::new(|| ('a'..='z').cycle().take(64 * 1024).collect());
