//! Decoding of bytes as a client does, for all splits, and the limits of the decoder.

use std::{error::Error, time::Duration};

use proptest::prelude::*;
use serde::Deserialize;
use tower_sse::{
    Event, Events, Source, SseLayer,
    decode::{DecodeError, Decoder, EventReader, Item, ReadError},
    hub::{Hub, Retention, Start, Subscribe},
};

use crate::{
    event::naive::{self, Naive},
    support::{Panic, Script, Wait, answers, bytes, error, get, respond, trailers},
};

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    why: String,
    #[serde(default)]
    input: String,
    #[serde(default)]
    bytes: Vec<u8>,
    items: Vec<Expected>,
    #[serde(default)]
    last: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    id: Option<String>,
    name: Option<String>,
    data: Option<String>,
    retry: Option<u64>,
    comment: Option<String>,
}

impl From<Expected> for Naive {
    fn from(expected: Expected) -> Self {
        let Expected { id, name, data, retry, comment } = expected;
        match (data, retry, comment) {
            (Some(data), None, None) => Self::Event { id, name, data },
            (None, Some(retry), None) => Self::Retry(Duration::from_millis(retry)),
            (None, None, Some(comment)) => Self::Comment(comment),
            _ => panic!("an item is one of the three"),
        }
    }
}

/// Returns the decoder's items for these parts, and the last event id.
fn decoded<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Naive>, String) {
    let (mut decoder, mut items) = (Decoder::new(), Vec::new());
    for mut part in parts {
        while let Some(item) = decoder.decode(&mut part).unwrap() {
            items.push(item.into());
        }
        assert!(part.is_empty(), "a part is consumed before the next");
    }
    (items, decoder.last_event_id().to_owned())
}

/// Decoded whole, byte by byte, and cut once at each position.
fn assert_any_split(input: &[u8], expected: &(Vec<Naive>, String), why: &str) {
    assert_eq!(&decoded([input]), expected, "{why}");
    assert_eq!(&decoded(input.chunks(1)), expected, "byte by byte: {why}");
    for cut in 0..=input.len() {
        let (head, tail) = input.split_at(cut);
        assert_eq!(&decoded([head, b"", tail]), expected, "cut at {cut}: {why}");
    }
}

#[test]
fn streams_are_decoded_as_the_table_says_wherever_they_are_cut() {
    let Cases { case } = toml::from_str(include_str!("decode.toml")).unwrap();
    assert!(case.len() > 35);
    for Case { why, input, bytes, items, last } in case {
        let input = [input.as_bytes(), &bytes].concat();
        let expected = (items.into_iter().map(Naive::from).collect(), last);
        assert_any_split(&input, &expected, &why);
        assert_eq!(naive::decode(&input), expected, "the naive model: {why}");
    }
}

#[test]
fn all_short_streams_are_decoded_as_the_standard_says() {
    let tokens = ["data", ":", " ", "x", "\n", "\r", "id", "\u{feff}"];
    for len in 0..=5_u32 {
        for number in 0..tokens.len().pow(len) {
            let text: String = (0..len).map(|at| tokens[number / tokens.len().pow(at) % tokens.len()]).collect();
            let text = text.as_bytes();
            let expected = naive::decode(text);
            assert_eq!(decoded([text]), expected, "{text:?}");
            assert_eq!(decoded(text.chunks(1)), expected, "{text:?} byte by byte");
        }
    }
}

#[test]
fn all_splits_of_short_streams_decode_the_same() {
    let streams = ["\u{feff}data:x\r\n\r\n", "id:1\rdata\r\r\n", "retry:5\r\n:\r\n", "\r\n\rdata\n\r\n"];
    for stream in streams.map(str::as_bytes) {
        let expected = naive::decode(stream);
        for cuts in 0..1_u32 << (stream.len() - 1) {
            let mut parts = vec![&stream[..0]];
            let mut start = 0;
            for at in (1..stream.len()).filter(|at| cuts >> (at - 1) & 1 == 1).chain([stream.len()]) {
                parts.push(&stream[start..at]);
                start = at;
            }
            assert_eq!(decoded(parts), expected, "{stream:?} cut by {cuts:b}");
        }
    }
}

fn streams() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let tokens =
        ["data", "event", "id", "retry", ":", ": ", "\n", "\r", "\r\n", "1", "x", "\0", "\u{feff}", "é", "\n\n"];
    let token = prop::sample::select(tokens.to_vec()).prop_map(|token| token.as_bytes().to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..6);
    let part = prop::collection::vec(prop_oneof![9 => token, 1 => noise], 0..20).prop_map(|tokens| tokens.concat());
    prop::collection::vec(part, 0..6)
}

proptest! {
    #[test]
    fn any_bytes_in_any_parts_are_decoded_as_the_standard_says(parts in streams()) {
        let expected = naive::decode(&parts.concat());
        prop_assert_eq!(decoded(parts.iter().map(Vec::as_slice)), expected);
    }
}

fn limited(line: usize, event: usize, parts: &[&[u8]]) -> Result<Vec<Item>, DecodeError> {
    let (mut decoder, mut items) = (Decoder::new().max_line(line).max_event(event), Vec::new());
    for mut part in parts.iter().copied() {
        while let Some(item) = decoder.decode(&mut part)? {
            items.push(item);
        }
    }
    Ok(items)
}

#[test]
fn a_line_beyond_its_limit_is_an_error_wherever_it_is_cut() {
    for line in [&b"data:45678\n"[..], b":123456789\r", b"unknown890\n", b"id:3456789\r\n"] {
        for cut in 0..=line.len() {
            let parts = [&line[..cut], &line[cut..]];
            assert!(limited(10, 100, &parts).is_ok(), "ten bytes are within the limit of ten");
            let error = limited(9, 100, &parts).unwrap_err();
            assert_eq!(error.to_string(), "a line of the stream exceeds 9 bytes");
        }
    }
    // Without a line end, too: that is what the limit is for.
    assert!(limited(9, 100, &[b"data:45678"]).is_err());
}

#[test]
fn an_event_beyond_its_limit_is_an_error_wherever_it_is_cut() {
    let text = b"data:1234\ndata:6789\n\ndata:1234\n\n";
    for cut in 0..=text.len() {
        let parts = [&text[..cut], &text[cut..]];
        assert_eq!(limited(100, 9, &parts).unwrap().len(), 2);
        let error = limited(100, 8, &parts).unwrap_err();
        assert_eq!(error.to_string(), "an event of the stream exceeds 8 bytes");
    }
    // Empty lines of data are data: each is a line break.
    assert!(limited(100, 100, &[&b"data\n".repeat(101)]).is_ok());
    assert!(limited(100, 100, &[&b"data\n".repeat(102)]).is_err());
}

#[test]
fn events_before_an_oversized_one_arrive_and_none_after() {
    let (mut decoder, mut input) = (Decoder::new().max_line(8), &b"data: a\n\n:too long\n\ndata: b\n\n"[..]);
    assert!(matches!(decoder.decode(&mut input), Ok(Some(Item::Event(_)))));
    let error = decoder.decode(&mut input).unwrap_err();
    assert_eq!(decoder.decode(&mut input), Err(error), "each later call returns the same error");
    assert_eq!(decoder.decode(&mut &b"data: c\n\n"[..]), Err(error));
}

#[test]
fn event_up_to_the_limit_is_read_on_one_line_or_several() {
    for limit in [1, 2, 100, 1 << 20] {
        let decode = |data: &str| Decoder::new().max_event(limit).decode(&mut &Event::new(data).to_bytes()[..]);
        let lines = if limit > 2 { "a\n".repeat(limit / 2) } else { "a".repeat(limit) };
        for data in ["x".repeat(limit), lines] {
            assert!(matches!(decode(&data), Ok(Some(Item::Event(event))) if event.data() == data), "{limit}");
            assert!(decode(&(data + "x")).is_err(), "{limit}");
        }
    }
}

#[test]
fn endless_line_is_buffered_up_to_the_limit() {
    let (mut decoder, part) = (Decoder::new(), vec![b'x'; 1 << 20]);
    decoder.decode(&mut &b"data: "[..]).unwrap();
    for _ in 0..64 {
        assert_eq!(decoder.decode(&mut &part[..]), Ok(None));
    }
    let error = decoder.decode(&mut &b"x"[..]).unwrap_err();
    assert_eq!(error.to_string(), "a line of the stream exceeds 67108870 bytes");
}

/// The data of the one event of a stream, read with default settings.
async fn read(events: Events<impl Source>) -> String {
    use futures_util::StreamExt;

    let response = respond(SseLayer::new(answers(events)), get()).await;
    let items: Vec<_> = EventReader::new(response.into_body()).collect().await;
    let events = items.into_iter().filter_map(|item| match item.unwrap() {
        Item::Event(event) if !event.data().is_empty() => Some(event.data().to_owned()),
        _ => None,
    });
    events.collect()
}

#[tokio::test(start_paused = true)]
async fn default_reader_accepts_default_writer() {
    for bytes in [(1 << 20) - 7, (1 << 20) - 6, 1 << 20, (8 << 20) + 1] {
        let data = "x".repeat(bytes);
        assert!(read(Events::new(futures_util::stream::iter([Event::new(&*data)]))).await == data, "{bytes}");
        #[cfg(feature = "json")]
        {
            let event = Event::json(&data).unwrap();
            assert!(read(Events::new(futures_util::stream::iter([event]))).await == format!("\"{data}\""), "{bytes}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_event_that_a_hub_publishes_is_read_by_default() {
    for (bounds, bytes) in [(Retention::new(), 1 << 20), (Retention::new().bytes(9 << 20), 9 << 20)] {
        let hub = Hub::builder().retention(bounds).build();
        let topic = hub.topic("a").unwrap();
        let publish = |bytes: usize| topic.publish(Event::new("x".repeat(bytes))).try_result();
        // An event takes less than a hundred bytes beside its data.
        let fits = (bytes - 100..=bytes).rev().find(|&bytes| publish(bytes).is_ok()).unwrap();
        let subscription = hub.subscribe(Subscribe::to("a").start(Start::Beginning)).unwrap();
        topic.close(None).try_result().unwrap();
        assert_eq!(read(subscription.into()).await.len(), fits);
    }
}

#[tokio::test(start_paused = true)]
async fn body_is_read_to_its_end_with_trailers() {
    use futures_util::StreamExt;

    let steps = [bytes("id: 1\nda"), bytes(""), Wait(10), bytes("ta: a\n\n:"), bytes("c\n"), trailers("x-sum")];
    let mut reader = EventReader::new(Script::new(steps));
    let items: Vec<_> = reader.by_ref().map(|item| Naive::from(item.unwrap())).collect().await;
    let event = Naive::Event { id: Some("1".into()), name: None, data: "a".into() };
    assert_eq!(items, [event, Naive::Comment("c".into())]);
    assert_eq!(reader.last_event_id(), "1");
    assert!(reader.trailers().unwrap().contains_key("x-sum"));
    assert!(reader.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn failed_or_too_large_body_ends_with_a_typed_error() {
    use futures_util::StreamExt;

    let mut reader = EventReader::new(Script::new([bytes("data: a\n\n"), error("reset"), Panic]));
    assert!(matches!(reader.next().await, Some(Ok(Item::Event(_)))));
    let Some(Err(failed @ ReadError::Body(_))) = reader.next().await else { panic!("the error of the body") };
    assert_eq!(failed.source().unwrap().to_string(), "reset");
    assert!(reader.next().await.is_none());

    let body = Script::new([bytes(Event::new("x".repeat(100)).to_bytes()), Panic]);
    let mut reader = EventReader::with_decoder(body, Decoder::new().max_line(50));
    let Some(Err(failed @ ReadError::Decode(_))) = reader.next().await else { panic!("the decoder's error") };
    assert!(failed.source().unwrap().is::<DecodeError>());
    assert!(reader.next().await.is_none());
}
