//! Bytes are decoded as the standard's algorithm does, for all splits.

use tower_sse::decode::{DecodeError, Decoder, Item};

use super::naive::{self, Naive};

/// Panics if the property does not hold for these bytes.
pub(crate) fn check(bytes: &[u8]) {
    let Decoded { items, last, error } = decoded(Decoder::new(), [bytes]);
    assert_eq!(error, None, "the input is within the limits");
    assert_eq!((items.into_iter().map(Naive::from).collect(), last), naive::decode(bytes));
    each_cut_gives_the_same(&Decoder::new(), bytes);
    // Limits that most inputs reach.
    each_cut_gives_the_same(&Decoder::new().max_line(12).max_event(16), bytes);
}

#[derive(Debug, PartialEq)]
struct Decoded {
    items: Vec<Item>,
    last: String,
    error: Option<DecodeError>,
}

fn decoded<'a>(mut decoder: Decoder, parts: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut items = Vec::new();
    let mut error = None;
    for mut part in parts {
        while error.is_none() {
            match decoder.decode(&mut part) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(limit) => error = Some(limit),
            }
        }
    }
    Decoded { items, last: decoder.last_event_id().to_owned(), error }
}

fn each_cut_gives_the_same(decoder: &Decoder, bytes: &[u8]) {
    let whole = decoded(decoder.clone(), [bytes]);
    for size in 1..=4 {
        assert_eq!(decoded(decoder.clone(), bytes.chunks(size)), whole, "in parts of {size}");
    }
    // Some splits of long inputs, since each costs as much as the whole.
    for at in (0..=bytes.len()).step_by(1 + bytes.len() / 64) {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(decoded(decoder.clone(), [head, tail]), whole, "cut at {at}");
    }
}
