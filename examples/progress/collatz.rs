//! The work: the number below a bound with the longest Collatz sequence, in which even numbers are halved and odd ones
//! tripled and incremented.

use serde::Serialize;

/// The result.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Longest {
    pub(crate) below: u64,
    pub(crate) number: u64,
    pub(crate) steps: u32,
}

/// Computes the result, and reports each completed percent.
pub(crate) fn longest(below: u64, mut report: impl FnMut(u64, Longest)) -> Longest {
    let mut longest = Longest { below, number: 1, steps: 0 };
    for percent in 1..=100 {
        for number in (below * (percent - 1) / 100).max(1)..below * percent / 100 {
            let steps = steps(number);
            if steps > longest.steps {
                longest = Longest { below, number, steps };
            }
        }
        report(percent, longest);
    }
    longest
}

fn steps(mut number: u64) -> u32 {
    let mut steps = 0;
    while number != 1 {
        let shift = if number % 2 == 0 { number.trailing_zeros() } else { 0 };
        (number, steps) = if shift > 0 { (number >> shift, steps + shift) } else { (3 * number + 1, steps + 1) };
    }
    steps
}
