//! A decorated stream, cut anywhere, means to its client what it meant before.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;
use tower_sse::{
    Heartbeat, SseLayer, StreamSettings,
    decode::{Decoder, Item},
    event_name,
};

use crate::support::{Wait, bytes, decorate, paused, stream};

const SECOND: Duration = Duration::from_secs(1);

/// Returns all texts of up to four of these tokens.
fn texts() -> impl Iterator<Item = String> {
    let tokens = ["data:a", ":c", "\n", "\r", "id:1"];
    (0..=4_u32).flat_map(move |len| {
        (0..5_usize.pow(len)).map(move |number| (0..len).map(|at| tokens[number / 5_usize.pow(at) % 5]).collect())
    })
}

fn items(text: &[u8]) -> Vec<Item> {
    let (mut decoder, mut input, mut items) = (Decoder::new(), text, Vec::new());
    while let Some(item) = decoder.decode(&mut input).unwrap() {
        items.push(item);
    }
    items
}

fn is_heartbeat(item: &Item) -> bool {
    match item {
        Item::Comment(text) => text.is_empty(),
        Item::Event(event) => event.name().is_some_and(|name| name == "ping"),
        _ => false,
    }
}

/// Returns the bytes sent for these parts, with twelve seconds of silence after each.
async fn decorated(parts: &[&[u8]], heartbeat: Heartbeat) -> Vec<u8> {
    let steps = parts.iter().flat_map(|part| [bytes(part), Wait(12_000)]);
    let mut body = decorate(SseLayer::decorate().heartbeat(heartbeat), stream(steps)).await;
    let mut sent = Vec::new();
    while let Some(frame) = body.frame().await {
        sent.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_inserted_only_where_a_line_starts() {
    for text in texts() {
        for cut in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            let sent = decorated(&[head, tail], Heartbeat::every(10 * SECOND)).await;
            let expected = items(text.as_bytes());
            let (beats, rest): (Vec<_>, Vec<_>) = items(&sent).into_iter().partition(is_heartbeat);
            assert_eq!(rest, expected, "{text:?} cut at {cut} became {sent:?}");
            let starts = |text: &[u8]| text.last().is_none_or(|&last| matches!(last, b'\n' | b'\r'));
            let gaps = usize::from(starts(head)) + usize::from(starts(text.as_bytes()));
            assert_eq!(beats.len(), 1 + gaps, "{text:?} cut at {cut} became {sent:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn named_heartbeats_are_inserted_only_between_events() {
    for text in texts() {
        for cut in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            let sent = decorated(&[head, tail], Heartbeat::event(10 * SECOND, &event_name!("ping"))).await;
            let rest: Vec<_> = items(&sent).into_iter().filter(|item| !is_heartbeat(item)).collect();
            assert_eq!(rest, items(text.as_bytes()), "{text:?} cut at {cut} became {sent:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_anywhere_leaves_whole_events() {
    for text in texts() {
        for (cut, resumes) in (0..=text.len()).flat_map(|cut| [(cut, 7_000), (cut, 12_000)]) {
            let (head, tail) = text.as_bytes().split_at(cut);
            let mut response = stream([bytes(head), Wait(resumes), bytes(tail), Wait(100_000)]);
            response.extensions_mut().insert(StreamSettings::new().deadline(Instant::now() + 5 * SECOND));
            let layer = SseLayer::decorate().heartbeat(Heartbeat::off());
            let mut body = decorate(layer, response).await;
            let sent = body.rest().await.concat();
            assert!(body.millis() <= 10_000, "the grace is five seconds");

            let mut got = items(sent.as_bytes());
            got.remove(0);
            let comes_back = got.pop_if(|item| matches!(item, Item::Retry(_))).is_some();
            let expected = items(text.as_bytes());
            assert_eq!(got, expected[..got.len()], "{text:?} cut at {cut} became {sent:?}");
            assert!(got.len() >= items(head).len(), "all received events are delivered");
            assert!(comes_back || body.millis() == 10_000 || resumes == 7_000, "{text:?} cut at {cut}");
            assert!(!comes_back || !is_within_event(&sent), "{text:?} cut at {cut} became {sent:?}");
        }
    }
}

/// Returns whether a field stands before the last `retry:` line, with no blank line between.
fn is_within_event(sent: &str) -> bool {
    let before = &sent[..sent.rfind("retry: ").unwrap()];
    let lines = before.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<_> = lines.split('\n').rev().skip(1).take_while(|line| !line.is_empty()).collect();
    lines.iter().any(|line| !line.starts_with(':'))
}

#[tokio::test(start_paused = true)]
async fn leading_mark_is_removed_and_a_later_one_kept() {
    for text in
        ["\u{feff}data:a\n\n", "\u{feff}\u{feff}data:a\n\n", "\n\u{feff}data:a\n\n", "\u{fefe}data: \u{feff}\n\n"]
    {
        let text = text.as_bytes();
        for (first, second) in (0..=text.len()).flat_map(|second| (0..=second).map(move |first| (first, second))) {
            let parts = [&text[..first], &text[first..second], &text[second..]];
            let sent = decorated(&parts, Heartbeat::off()).await;
            let without = text.strip_prefix("\u{feff}".as_bytes());
            // WebKit takes a second mark for the first behind a first chunk of two bytes, so there is a comment between.
            let guard = without.filter(|rest| rest.starts_with(b"\xef")).map_or("", |_| ":\n");
            let expected = [b":\n", guard.as_bytes(), without.unwrap_or(text)].concat();
            assert_eq!(sent, expected, "cut at {first} and {second}");
            let beaten = decorated(&parts, Heartbeat::every(10 * SECOND)).await;
            let rest: Vec<_> = items(&beaten).into_iter().filter(|item| !is_heartbeat(item)).collect();
            assert_eq!(rest, items(text), "cut at {first} and {second}");
        }
    }
}

/// Bytes of usual streams, and of unusual ones.
fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let token = prop::sample::select(
        &["data: x\n", "\n", "\r", "\r\n", ": c", "id: 7", "event: e\r", "\u{feff}", "x", ":"][..],
    );
    let part = prop_oneof![
        4 => prop::collection::vec(token, 0..6).prop_map(|tokens| tokens.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(part, 0..8)
}

proptest! {
    #[test]
    fn decoration_preserves_the_meaning_of_any_bytes(parts in parts(), named in any::<bool>()) {
        let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
        let heartbeat = if named {
            Heartbeat::event(10 * SECOND, &event_name!("ping"))
        } else {
            Heartbeat::every(10 * SECOND)
        };
        let sent = paused(decorated(&parts, heartbeat));
        let kept = |text: &[u8]| items(text).into_iter().filter(|item| !is_heartbeat(item)).collect::<Vec<_>>();
        prop_assert_eq!(kept(&sent), kept(&parts.concat()));
    }
}
