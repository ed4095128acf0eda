//! Events to bytes and back.

use std::hint::black_box;

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

/// Text of this size in so many lines.
pub(crate) fn encode(size: usize, lines: usize) -> Runs {
    let line = "x".repeat(size / lines - usize::from(lines > 1));
    let text = vec![line; lines].join("\n");
    Box::new(move |times| (0..times).for_each(|_| drop(black_box(Event::new(black_box(&text)).encode()))))
}

/// So many trades, each of about 70 bytes.
pub(crate) fn json(trades: usize) -> Runs {
    let trades = value(trades);
    Box::new(move |times| (0..times).for_each(|_| drop(black_box(Event::json(black_box(&trades))))))
}

/// The same without an event, into a buffer that is made with the room that an event begins with.
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
    let bytes = Event::builder().id(17).data("x".repeat(size)).encode();
    let mut decoder = Decoder::new();
    Box::new(move |times| {
        for _ in 0..times {
            let mut input = black_box(&bytes[..]);
            drop(black_box(decoder.decode(&mut input)));
        }
    })
}

fn value(trades: usize) -> Vec<Trade> {
    (0..trades).map(|_| Trade { symbol: "ACME", cents: 4210, volume: 1_000_000, is_final: false }).collect()
}
