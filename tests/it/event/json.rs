//! JSON in events: written straight into the buffer, on one line for any value.

use std::{collections::HashMap, error::Error};

use proptest::prelude::*;
use serde::{Serialize, Serializer};
use serde_json::{Value, json, value::RawValue};
use tower_sse::{
    Event,
    decode::{Decoder, Item},
    event_name,
};

/// Name and data as a client receives them.
fn received(event: &Event) -> (Option<String>, String) {
    let bytes = event.to_bytes();
    let (mut decoder, mut input) = (Decoder::new().max_line(1 << 25).max_event(1 << 25), &bytes[..]);
    let Some(Item::Event(message)) = decoder.decode(&mut input).unwrap() else { panic!("no event in {bytes:?}") };
    assert!(input.is_empty(), "nothing else");
    (message.name().map(ToString::to_string), message.data().to_owned())
}

fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![any::<String>(), Just(String::from("\r\n\u{2028}\0\u{feff}\ndata: x"))];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn data_is_the_output_of_serde_json(value in values()) {
        let text = serde_json::to_string(&value).unwrap();
        let event = Event::json(&value).unwrap();
        prop_assert_eq!(event.data(), text.as_str());
        prop_assert_eq!(received(&event), (None, text.clone()));
        let named = Event::builder().name(event_name!("n")).id(1).json(&value).unwrap();
        prop_assert_eq!(received(&named), (Some("n".into()), text));
    }
}

#[test]
fn only_line_breaks_of_raw_values_are_removed() {
    let raw = "{\r\n  \"a\":\t[1,\n\r2],\n\"b\\n\": \"c\\r\\nd\"\n}";
    let value = RawValue::from_string(raw.into()).unwrap();
    for event in [Event::json(&value).unwrap(), Event::builder().name(event_name!("n")).json(&value).unwrap()] {
        let (_, data) = received(&event);
        assert_eq!(data, "{  \"a\":\t[1,2],\"b\\n\": \"c\\r\\nd\"}");
        assert_eq!(serde_json::from_str::<Value>(&data).unwrap(), serde_json::from_str::<Value>(raw).unwrap());
    }
    let nested = json!({ "before": "\n" });
    #[derive(Serialize)]
    struct Outer<'a> {
        nested: &'a Value,
        raw: &'a RawValue,
    }
    let event = Event::json(&Outer { nested: &nested, raw: &value }).unwrap();
    assert_eq!(event.to_bytes().iter().filter(|byte| **byte == b'\n').count(), 2);
}

#[test]
fn line_break_in_a_name_is_not_removed() {
    // The line of the name ends with the one LF that has to stay.
    let raw = RawValue::from_string("[\n]".into()).unwrap();
    let event = Event::builder().name(event_name!("[]")).json(&raw).unwrap();
    assert_eq!(&event.to_bytes()[..], b"event: []\ndata: []\n\n");
}

#[test]
fn ten_megabytes_of_json_arrive() {
    let value = "0123456789".repeat(1 << 20);
    let event = Event::json(&value).unwrap();
    assert_eq!(received(&event).1, serde_json::to_string(&value).unwrap());
}

/// Creates another event while it is serialized.
struct Nested(usize);

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inside = self.0.checked_sub(1).map(|depth| Event::json(&Self(depth)).unwrap());
        let failed = Event::json(&Refuses).is_err();
        serializer.collect_str(&format_args!("{failed} {}", inside.as_ref().map_or("x".into(), Event::data)))
    }
}

#[test]
fn nested_serialization_of_events_is_independent() {
    let mut expected = String::from("\"true x\"");
    for depth in 0..4 {
        assert_eq!(Event::json(&Nested(depth)).unwrap().data(), expected);
        expected = serde_json::to_string(&format!("true {expected}")).unwrap();
    }
}

struct Refuses;

impl Serialize for Refuses {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no such value"))
    }
}

#[test]
fn unserializable_value_is_an_error_with_its_cause() {
    let error = Event::json(&Refuses).unwrap_err();
    assert_eq!(error.to_string(), "value could not be serialized as an event");
    assert_eq!(error.source().unwrap().to_string(), "no such value");
    let map = HashMap::from([(vec![1], 2)]);
    assert!(Event::json(&map).is_err(), "keys that are not strings");
    assert!(Event::builder().name(event_name!("n")).json(&vec![Refuses]).is_err());
}
