//! The work: which number below a bound has the longest way to 1, if each even one is halved and each odd one becomes three
//! times itself and one.

use serde::Serialize;

/// What comes of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Longest {
    pub(crate) below: u64,
    pub(crate) number: u64,
    pub(crate) steps: u32,
}

/// Does the work, and tells each time that another hundredth is done.
pub(crate) fn longest(below: u64, mut tell: impl FnMut(u64, Longest)) -> Longest {
    let mut longest = Longest { below, number: 1, steps: 0 };
    for percent in 1..=100 {
        for number in (below * (percent - 1) / 100).max(1)..below * percent / 100 {
            let steps = steps(number);
            if steps > longest.steps {
                longest = Longest { below, number, steps };
            }
        }
        tell(percent, longest);
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
