//! The checks of the fuzz targets, over their seeds and over random inputs.

use std::{fs, path::Path};

use proptest::prelude::*;

use crate::event::naive;

#[path = "../../fuzz/checks/accept.rs"]
mod accept;
#[path = "../../fuzz/checks/decode.rs"]
mod decode;
#[path = "../../fuzz/checks/decorate.rs"]
mod decorate;

fn each_seed(target: &str, check: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seen = 0;
    for seed in fs::read_dir(seeds).unwrap() {
        check(&fs::read(seed.unwrap().path()).unwrap());
        seen += 1;
    }
    assert_ne!(seen, 0, "there are seeds");
}

#[test]
fn seeds_decode_the_same_wherever_they_are_cut() {
    each_seed("decode", decode::check);
}

#[test]
fn seeds_of_accept_choose_the_same_in_any_order() {
    each_seed("accept", accept::check);
}

#[test]
fn decoration_preserves_the_meaning_of_seeds() {
    each_seed("decorate", decorate::check);
}

/// Bytes among which some have a meaning.
fn bytes_of(tokens: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => prop::sample::select(tokens).prop_map(|token| token.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

const STREAM: &[&str] =
    &["data: x\n", "data", "\n", "\r", "\r\n", ": c\n", "id: 7\n", "event: e\r", "\u{feff}", "retry: 5\n"];
const ACCEPT: &[&str] = &[
    "text/event-stream,",
    "text/event-stream;q=0.2,",
    "text/event-stream;q=0.8\n",
    "text/event-stream;charset=utf-8",
    "text/*;q=0.7,",
    "*/*;q=0.4\n",
    "a/b;q=0.5,",
    ";q=0,",
    "\"",
];
/// Parts of a plan: `h` follows a heartbeat and is eight bytes long, `H` and `(` follow at once.
const PLAN: &[&str] =
    &["(data: x\n", "h\ndata: y", "h\rdata: y", "Hid: 7\n\r\n", "a\n", "a\r", "A\n", "!\n", "c\u{feff}"];

proptest! {
    #[test]
    fn any_bytes_decode_the_same_wherever_they_are_cut(bytes in bytes_of(STREAM)) {
        decode::check(&bytes);
    }

    #[test]
    fn any_accept_chooses_the_same_in_any_order(lines in bytes_of(ACCEPT)) {
        accept::check(&lines);
    }

    #[test]
    fn decoration_preserves_the_meaning_of_mutated_bytes(options in any::<u8>(), plan in bytes_of(PLAN)) {
        decorate::check(&[&[options][..], &plan].concat());
    }
}
