//! Encoding of events, and that nothing in one can become anything else.

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;
use tower_sse::{
    Event, EventId, EventName,
    decode::{Decoder, Item, Message},
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

/// The one event that these bytes are.
fn decoded(bytes: &[u8]) -> Message {
    let (mut decoder, mut input) = (Decoder::new().max_line(1 << 25).max_event(1 << 25), bytes);
    let Some(Item::Event(message)) = decoder.decode(&mut input).unwrap() else { panic!("no event in {bytes:?}") };
    assert_eq!((input, decoder.decode(&mut input)), (&b""[..], Ok(None)), "nothing else");
    message
}

/// Returns the data as a client has it: each break is an LF.
fn received(data: &str) -> String {
    data.replace("\r\n", "\n").replace('\r', "\n")
}

/// Asserts that an event says what it is, and that a client receives just that.
fn assert_arrives(id: Option<&str>, name: Option<&str>, data: &str) {
    let event = event(id, name, data);
    assert_eq!(event.id().map(EventId::as_str), id);
    assert_eq!(event.name(), name);
    assert_eq!(event.data(), received(data));
    let bytes = event.encode();
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
        let bytes = event(id.as_deref(), name.as_deref(), &data).encode();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), wire, "{why}");
        assert_eq!(received(&data), expected.unwrap_or_else(|| data.clone()), "{why}");
        assert_arrives(id.as_deref(), name.as_deref(), &data);
    }
}

/// Text with more breaks, spaces and colons than chance would have.
fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "\r", "\n", "\r\n", "\0", "\u{feff}", " ", ":", "data: ", "event: x", "id: 1\n", "é", "🦀", "\n\n", "retry: 1",
    ];
    let piece = prop_oneof![2 => prop::sample::select(pieces.to_vec()).prop_map(String::from), 1 => any::<String>()];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_received_is_what_was_sent(id in prop::option::of(text()), name in prop::option::of(text()), data in text()) {
        // What cannot be a name or an id cannot be made.
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
    fn events_that_follow_one_another_stay_apart(texts in prop::collection::vec(text(), 0..10)) {
        let bytes: Vec<u8> = texts.iter().flat_map(|text| Event::new(text).encode()).collect();
        let (mut decoder, mut input, mut got) = (Decoder::new(), &bytes[..], Vec::new());
        while let Some(item) = decoder.decode(&mut input).unwrap() {
            let Item::Event(message) = item else { panic!("only events: {item:?}") };
            got.push(message.data().to_owned());
        }
        prop_assert_eq!(got, texts.iter().map(|text| received(text)).collect::<Vec<_>>());
    }
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
    let shared = event.encode();
    assert_eq!(Bytes::from(event).as_ptr(), shared.as_ptr());
}

#[test]
fn a_flood_of_breaks_arrives() {
    let breaks = "\r\n".repeat(200_000);
    assert_eq!(decoded(&Event::new(&breaks).encode()).data(), "\n".repeat(200_000));
}

#[test]
fn hostile_names_and_ids_cannot_be_made() {
    for hostile in ["\n", "\r", "a\nb", "a\rb", "a\r\n", "\u{feff}\n", "x\n\ndata: forged"] {
        assert!(EventName::try_from(hostile).is_err(), "{hostile:?}");
        assert!(EventName::try_from(String::from(hostile)).is_err(), "{hostile:?}");
        assert!(hostile.parse::<EventName>().is_err(), "{hostile:?}");
        assert!(EventId::try_from(hostile).is_err(), "{hostile:?}");
        assert!(EventId::try_from(hostile.as_bytes()).is_err(), "{hostile:?}");
        assert!(EventId::try_from(String::from(hostile)).is_err(), "{hostile:?}");
        assert!(hostile.parse::<EventId>().is_err(), "{hostile:?}");
    }
    assert!(EventId::try_from("a\0b").is_err() && EventName::try_from("a\0b").is_ok());
    assert!(EventId::try_from("").is_ok() && EventName::try_from("").is_err());
    assert!(EventId::try_from(&b"\xff"[..]).is_err());
}

#[test]
fn an_id_is_changed_without_touching_the_rest() {
    let event = Event::builder().name(tower_sse::event_name!("n")).id(1).data("x");
    let other = event.clone().with_id(u64::MAX);
    assert_eq!(&other.encode()[..], b"id: 18446744073709551615\nevent: n\ndata: x\n\n");
    assert_eq!(event.id().unwrap(), &"1");
    assert_ne!(event, other);
}
