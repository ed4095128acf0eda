//! Encoding of events: no value of a field can become another field.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;
use tower_sse::{
    Event, EventBuilder, EventComment, EventId, EventName,
    decode::{Decoder, Item, Message},
    event_comment, event_name,
};

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    why: String,
    id: Option<String>,
    name: Option<String>,
    data: String,
    wire: String,
    received: Option<String>,
}

fn event(id: Option<&str>, name: Option<&str>, data: &str) -> Event {
    let mut builder = Event::builder();
    if let Some(id) = id {
        builder = builder.id(EventId::try_from(id).unwrap());
    }
    if let Some(name) = name {
        builder = builder.name(EventName::try_from(name).unwrap());
    }
    builder.data(data)
}

/// Decodes the one event of these bytes.
fn decoded(bytes: &[u8]) -> Message {
    let (mut decoder, mut input) = (Decoder::new().max_line(1 << 25).max_event(1 << 25), bytes);
    let Some(Item::Event(message)) = decoder.decode(&mut input).unwrap() else { panic!("no event in {bytes:?}") };
    assert_eq!((input, decoder.decode(&mut input)), (&b""[..], Ok(None)), "nothing else");
    message
}

/// Returns the data as a client receives it: each line break is an LF.
fn received(data: &str) -> String {
    data.replace("\r\n", "\n").replace('\r', "\n")
}

/// Asserts that an event has the fields that it was created with, and that a client receives them.
fn assert_arrives(id: Option<&str>, name: Option<&str>, data: &str) {
    let event = event(id, name, data);
    assert_eq!(event.id().map(EventId::as_str), id);
    assert_eq!(event.name(), name);
    assert_eq!(event.data(), received(data));
    let bytes = event.to_bytes();
    assert_eq!(event.encoded_len(), bytes.len());
    assert_eq!(Bytes::from(event.clone()), bytes);
    let message = decoded(&bytes);
    assert_eq!(message.id().map(EventId::as_str), id);
    assert_eq!(message.name().map(EventName::as_str), name);
    assert_eq!(message.data(), received(data));
    assert_eq!(Event::from(message), event);
}

#[test]
fn events_are_encoded_as_the_table_says() {
    let Cases { case } = toml::from_str(include_str!("encode.toml")).unwrap();
    assert!(case.len() > 20);
    for Case { why, id, name, data, wire, received: expected } in case {
        let bytes = event(id.as_deref(), name.as_deref(), &data).to_bytes();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), wire, "{why}");
        assert_eq!(received(&data), expected.unwrap_or_else(|| data.clone()), "{why}");
        assert_arrives(id.as_deref(), name.as_deref(), &data);
    }
}

/// Text with more breaks, spaces and colons than a random one.
fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "\r", "\n", "\r\n", "\0", "\u{feff}", " ", ":", "data: ", "event: x", "id: 1\n", "é", "🦀", "\n\n", "retry: 1",
    ];
    let piece = prop_oneof![2 => prop::sample::select(pieces.to_vec()).prop_map(String::from), 1 => any::<String>()];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn received_events_are_the_sent_ones(id in prop::option::of(text()), name in prop::option::of(text()), data in text()) {
        // Invalid names and ids cannot be created.
        let id = id.filter(|id| {
            let valid = !id.contains(['\r', '\n', '\0']);
            assert_eq!(EventId::try_from(id.as_str()).is_ok(), valid);
            valid
        });
        let name = name.filter(|name| {
            let valid = !name.is_empty() && !name.contains(['\r', '\n']);
            assert_eq!(EventName::try_from(name.as_str()).is_ok(), valid);
            valid
        });
        assert_arrives(id.as_deref(), name.as_deref(), &data);
    }

    #[test]
    fn comment_and_retry_arrive_before_their_event(
        id in prop::option::of(any::<i128>()),
        comment in prop::option::of(text()),
        retry in prop::option::of(0..u64::from(u32::MAX)),
        name in prop::option::of("[a-z:]{1,4}"),
        data in prop::option::of(text()),
    ) {
        let comment = comment.filter(|comment| {
            let valid = !comment.contains(['\r', '\n']);
            assert_eq!(EventComment::try_from(comment.as_str()).is_ok(), valid);
            valid
        });
        let mut builder = with_comment_and_retry(comment.as_deref(), retry.map(Duration::from_millis));
        if let Some(id) = id {
            builder = builder.id(id);
        }
        if let Some(name) = &name {
            builder = builder.name(EventName::try_from(name.as_str()).unwrap());
        }
        let event = match &data {
            Some(data) => builder.data(data),
            None => builder.without_data(),
        };
        let comment = if (&comment, retry, &data) == (&None, None, &None) { Some(String::new()) } else { comment };
        let retry = retry.map(|retry| Duration::from_millis(retry.min((1 << 31) - 1)));
        let name = name.filter(|_| data.is_some());
        assert_eq!((event.comment(), event.retry(), event.name()), (comment.as_deref(), retry, name.as_deref()));
        assert_eq!((event.has_data(), &*event.data()), (data.is_some(), &*received(data.as_deref().unwrap_or_default())));
        let bytes = event.to_bytes();
        assert_eq!(event.encoded_len(), bytes.len());

        let (mut decoder, mut input, mut items) = (Decoder::new(), &bytes[..], Vec::new());
        while let Some(item) = decoder.decode(&mut input).unwrap() {
            items.push(item);
        }
        prop_assert_eq!(decoder.last_event_id(), id.map(|id| id.to_string()).unwrap_or_default());
        let dispatched = items.len() - usize::from(comment.is_some()) - usize::from(retry.is_some());
        prop_assert_eq!(dispatched, usize::from(data.is_some()));
        let mut items = items.into_iter();
        if let Some(comment) = comment {
            prop_assert_eq!(items.next(), Some(Item::Comment(format!(" {comment}"))));
        }
        if let Some(retry) = retry {
            prop_assert_eq!(items.next(), Some(Item::Retry(retry)));
        }
        if let Some(data) = data {
            let Some(Item::Event(message)) = items.next() else { panic!("no event in {bytes:?}") };
            assert_eq!((message.name().map(EventName::as_str), message.data()), (name.as_deref(), &*received(&data)));
        }
    }

    #[test]
    fn consecutive_events_stay_separate(texts in prop::collection::vec(text(), 0..10)) {
        let bytes: Vec<u8> = texts.iter().flat_map(|text| Event::new(text).to_bytes()).collect();
        let (mut decoder, mut input, mut got) = (Decoder::new(), &bytes[..], Vec::new());
        while let Some(item) = decoder.decode(&mut input).unwrap() {
            let Item::Event(message) = item else { panic!("only events: {item:?}") };
            got.push(message.data().to_owned());
        }
        prop_assert_eq!(got, texts.iter().map(|text| received(text)).collect::<Vec<_>>());
    }
}

fn with_comment_and_retry(comment: Option<&str>, retry: Option<Duration>) -> EventBuilder {
    let mut builder = Event::builder();
    if let Some(comment) = comment {
        builder = builder.comment(EventComment::try_from(comment).unwrap());
    }
    if let Some(retry) = retry {
        builder = builder.retry(retry);
    }
    builder
}

#[test]
fn fields_have_a_fixed_order() {
    let second = Duration::from_secs(1);
    let all = Event::builder().name(event_name!("n")).retry(second).comment(event_comment!("c")).id(1);
    assert_eq!(all.clone().data("a\nb").to_bytes(), "id: 1\n: c\nretry: 1000\nevent: n\ndata: a\ndata: b\n\n");
    assert_eq!(all.without_data().to_bytes(), "id: 1\n: c\nretry: 1000\n\n");
    assert_eq!(Event::builder().retry(second).without_data().to_bytes(), "retry: 1000\n\n");
    assert_eq!(Event::builder().id(1).without_data().to_bytes(), "id: 1\n: \n\n");
    #[cfg(feature = "json")]
    {
        let json = with_comment_and_retry(Some("c"), Some(second)).name(event_name!("n")).json(&[1]).unwrap();
        assert_eq!(json.to_bytes(), ": c\nretry: 1000\nevent: n\ndata: [1]\n\n");
    }
}

#[test]
fn debug_shows_each_field_that_is_set() {
    let event = with_comment_and_retry(Some("c"), Some(Duration::from_secs(1))).data("x");
    assert_eq!(format!("{event:?}"), r#"Event { id: None, name: None, comment: "c", retry: 1s, data: "x" }"#);
    assert_eq!(format!("{:?}", Event::new("x")), r#"Event { id: None, name: None, data: "x" }"#);
    let comment = with_comment_and_retry(Some("c"), None).without_data();
    assert_eq!(format!("{comment:?}"), r#"Event { id: None, name: None, comment: "c" }"#);
}

#[test]
fn text_converts_into_events() {
    assert_eq!(Event::from("a\nb"), Event::new("a\nb"));
    assert_eq!(Event::from(String::from("a")), Event::new("a"));
}

#[test]
fn integers_of_all_types_are_ids() {
    let ids = [17_u8.into(), 17_u16.into(), 17_u32.into(), 17_u64.into(), 17_u128.into(), 17_usize.into()];
    assert!(ids.iter().chain(Event::builder().id(17).data("").id()).all(|id: &EventId| *id == "17"));
    let ids = [(-1_i8).into(), (-1_i16).into(), (-1_i32).into(), (-1_i64).into(), (-1_i128).into(), (-1_isize).into()];
    assert!(ids.iter().chain(Event::new("").with_id(-1).id()).all(|id: &EventId| *id == "-1"));
}

#[test]
fn fields_are_found_by_their_text_in_sets() {
    let names = HashSet::from([event_name!("a"), EventName::try_from(String::from("b")).unwrap()]);
    assert!(names.contains("a") && names.contains("b") && !names.contains("c"));
    assert!(HashSet::from([EventId::from(1)]).contains("1"));
    assert_eq!(String::from(event_name!("a")), "a");
    assert_eq!(String::from(EventId::from(1)), "1");
    assert_eq!(String::from(event_comment!("a b")), "a b");
}

#[test]
fn ten_megabytes_in_any_field_arrive() {
    let long = "0123456789".repeat(1 << 20);
    assert_arrives(Some(&long), None, "x");
    assert_arrives(None, Some(&long), "x");
    assert_arrives(None, None, &long);
}

#[test]
fn bytes_of_an_event_without_an_id_are_not_copied() {
    let event = Event::new("x");
    let shared = event.to_bytes();
    assert_eq!(Bytes::from(event).as_ptr(), shared.as_ptr());
}

#[test]
fn many_line_breaks_arrive() {
    let breaks = "\r\n".repeat(200_000);
    assert_eq!(decoded(&Event::new(&breaks).to_bytes()).data(), "\n".repeat(200_000));
}

/// Large data is searched for breaks and copied in parts of 8 KiB.
#[test]
fn line_break_anywhere_in_large_data_arrives() {
    const PART: usize = 8 * 1024;
    let all = "0123456789".repeat(5 * PART / 10);
    let parts = (0..5).flat_map(|part| [part * PART, part * PART + 1, (part + 1) * PART - 1]);
    for (at, text) in parts.flat_map(|at| ["\n", "\r", "\r\n", "\n\r\n"].map(|text| (at, text))) {
        for data in
            [format!("{}{text}{}", &all[..at], &all[at..]), format!("{}{text}", &all[..(PART * 4 + at).min(all.len())])]
        {
            let lines: Vec<_> = received(&data).split('\n').map(|line| format!("data: {line}\n")).collect();
            assert_eq!(Event::new(&data).to_bytes(), format!("{}\n", lines.concat()), "{text:?} at {at}");
        }
    }
    for len in [PART * 4 - 1, PART * 4, PART * 4 + 1, PART * 5 - 2] {
        let data = &all[..len];
        assert_eq!(Event::new(data).to_bytes(), format!("data: {data}\n\n"));
        assert_arrives(Some("1"), Some("a"), data);
    }
}

#[test]
fn names_and_ids_with_line_breaks_are_rejected() {
    for hostile in ["\n", "\r", "a\nb", "a\rb", "a\r\n", "\u{feff}\n", "x\n\ndata: forged"] {
        assert!(EventName::try_from(hostile).is_err(), "{hostile:?}");
        assert!(EventName::try_from(String::from(hostile)).is_err(), "{hostile:?}");
        assert!(hostile.parse::<EventName>().is_err(), "{hostile:?}");
        assert!(EventId::try_from(hostile).is_err(), "{hostile:?}");
        assert!(EventId::try_from(hostile.as_bytes()).is_err(), "{hostile:?}");
        assert!(EventId::try_from(String::from(hostile)).is_err(), "{hostile:?}");
        assert!(hostile.parse::<EventId>().is_err(), "{hostile:?}");
        assert!(EventComment::try_from(hostile).is_err(), "{hostile:?}");
        assert!(EventComment::try_from(String::from(hostile)).is_err(), "{hostile:?}");
        assert!(hostile.parse::<EventComment>().is_err(), "{hostile:?}");
    }
    assert!(EventId::try_from("a\0b").is_err() && EventName::try_from("a\0b").is_ok());
    assert!(EventId::try_from("").is_ok() && EventName::try_from("").is_err());
    assert!(EventComment::try_from("").is_ok() && EventComment::try_from("a\0b").is_ok());
    assert!(EventId::try_from(&b"\xff"[..]).is_err());
}

#[test]
fn replacing_an_id_keeps_the_other_fields() {
    let event = Event::builder().name(event_name!("n")).id(1).data("x");
    let other = event.clone().with_id(u64::MAX);
    assert_eq!(&other.to_bytes()[..], b"id: 18446744073709551615\nevent: n\ndata: x\n\n");
    assert_eq!(event.id().unwrap(), &"1");
    assert_ne!(event, other);
}
