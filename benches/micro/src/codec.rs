//! Events to bytes and back.

use std::hint::black_box;

use bytes::Bytes;
use memchr::memchr2_iter;
use serde::Serialize;
use tower_sse::{Event, decode::Decoder};

type Runs = Box<dyn FnMut(u32)>;

#[derive(Serialize)]
struct Trade {
    symbol: &'static str,
    cents: u32,
    volume: u64,
    is_final: bool,
}

/// Returns text of this size in so many lines.
pub(crate) fn encode(size: usize, lines: usize) -> Runs {
    let text = text(size, lines);
    Box::new(move |times| (0..times).for_each(|_| drop(black_box(Bytes::from(Event::new(black_box(&text)))))))
}

/// The same, with the event kept beside its bytes.
pub(crate) fn share(size: usize) -> Runs {
    let text = text(size, 1);
    Box::new(move |times| {
        for _ in 0..times {
            let event = Event::new(black_box(&text));
            drop(black_box((event.to_bytes(), event)));
        }
    })
}

/// The same by hand and without an event: searches the line breaks, and copies what is between them.
pub(crate) fn by_hand(size: usize, lines: usize) -> Runs {
    let text = text(size, lines);
    Box::new(move |times| (0..times).for_each(|_| drop(black_box(written(black_box(&text))))))
}

fn written(text: &str) -> Bytes {
    let data = text.as_bytes();
    let mut buffer = Vec::with_capacity(data.len() + data.len() / 8 + 8);
    buffer.extend_from_slice(b"data: ");
    let mut start = 0;
    for end in memchr2_iter(b'\n', b'\r', data) {
        buffer.extend_from_slice(&data[start..end]);
        buffer.extend_from_slice(b"\ndata: ");
        start = end + 1;
    }
    buffer.extend_from_slice(&data[start..]);
    buffer.extend_from_slice(b"\n\n");
    buffer.into()
}

/// Returns so many trades, each of about 70 bytes.
pub(crate) fn json(trades: usize) -> Runs {
    let trades = value(trades);
    Box::new(move |times| (0..times).for_each(|_| drop(black_box(Event::json(black_box(&trades))))))
}

/// The same without an event, into a buffer with the initial capacity of an event.
pub(crate) fn serde_json(trades: usize) -> Runs {
    let trades = value(trades);
    Box::new(move |times| {
        for _ in 0..times {
            let mut buffer = Vec::with_capacity(128);
            let written = serde_json::to_writer(&mut buffer, black_box(&trades));
            drop(black_box((buffer, written)));
        }
    })
}

/// One event of this size.
pub(crate) fn decode(size: usize) -> Runs {
    let bytes = Event::builder().id(17).data("x".repeat(size)).to_bytes();
    let mut decoder = Decoder::new();
    Box::new(move |times| {
        for _ in 0..times {
            let mut input = black_box(&bytes[..]);
            drop(black_box(decoder.decode(&mut input)));
        }
    })
}

fn text(size: usize, lines: usize) -> String {
    let line = "x".repeat(size / lines - usize::from(lines > 1));
    vec![line; lines].join("\n")
}

fn value(trades: usize) -> Vec<Trade> {
    (0..trades).map(|_| Trade { symbol: "ACME", cents: 4210, volume: 1_000_000, is_final: false }).collect()
}
