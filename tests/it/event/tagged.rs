//! A serde enum as an event: the variant is the name, the content is the data.

use std::error::Error;

use serde::Serialize;
use serde_json::value::RawValue;
use tower_sse::Event;

/// The variants as serde tags them externally: `{"Newtype":1}`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum External<'a> {
    Unit,
    Newtype(u32),
    Text(&'a str),
    Nothing(Option<u32>),
    Tuple(u32, &'a str),
    NoTuple(),
    Struct {
        id: u32,
        name: &'a str,
    },
    NoStruct {},
    #[serde(rename = "a name: with a colon")]
    Renamed(()),
    Raw(&'a RawValue),
    Nested(Adjacent<'a>),
}

/// The same, tagged adjacently: `{"event":"newtype","data":1}`.
#[derive(Serialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
enum Adjacent<'a> {
    Unit,
    Newtype(u32),
    Text(&'a str),
    Nothing(Option<u32>),
    Tuple(u32, &'a str),
    NoTuple(),
    Struct {
        id: u32,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<u32>,
    },
    NoStruct {},
    #[serde(rename = "a name: with a colon")]
    Renamed(()),
    Raw(&'a RawValue),
}

#[track_caller]
fn assert_event(value: &impl Serialize, name: &str, data: &str) {
    let event = Event::tagged(value).unwrap();
    assert_eq!((event.name(), &*event.data(), event.id()), (Some(name), data, None));
    assert_eq!(event.to_bytes(), format!("event: {name}\ndata: {data}\n\n"));
}

#[test]
fn each_form_of_an_externally_tagged_variant_is_an_event() {
    assert_event(&External::Unit, "unit", "");
    assert_event(&External::Newtype(7), "newtype", "7");
    assert_event(&External::Text("a\nb\"c"), "text", r#""a\nb\"c""#);
    assert_event(&External::Nothing(None), "nothing", "null");
    assert_event(&External::Tuple(1, "x"), "tuple", r#"[1,"x"]"#);
    assert_event(&External::NoTuple(), "no_tuple", "[]");
    assert_event(&External::Struct { id: 1, name: "x" }, "struct", r#"{"id":1,"name":"x"}"#);
    assert_event(&External::NoStruct {}, "no_struct", "{}");
    assert_event(&External::Renamed(()), "a name: with a colon", "null");
    assert_event(&External::Nested(Adjacent::Newtype(1)), "nested", r#"{"event":"newtype","data":1}"#);
}

#[test]
fn each_form_of_an_adjacently_tagged_variant_is_an_event() {
    assert_event(&Adjacent::Unit, "unit", "");
    assert_event(&Adjacent::Newtype(7), "newtype", "7");
    assert_event(&Adjacent::Text("a\nb\"c"), "text", r#""a\nb\"c""#);
    assert_event(&Adjacent::Nothing(None), "nothing", "null");
    assert_event(&Adjacent::Tuple(1, "x"), "tuple", r#"[1,"x"]"#);
    assert_event(&Adjacent::NoTuple(), "no_tuple", "[]");
    assert_event(&Adjacent::Struct { id: 1, name: "x", note: None }, "struct", r#"{"id":1,"name":"x"}"#);
    assert_event(&Adjacent::Struct { id: 1, name: "x", note: Some(2) }, "struct", r#"{"id":1,"name":"x","note":2}"#);
    assert_event(&Adjacent::NoStruct {}, "no_struct", "{}");
    assert_event(&Adjacent::Renamed(()), "a name: with a colon", "null");
}

#[test]
fn newtype_around_a_variant_is_that_variant() {
    #[derive(Serialize)]
    struct Wrapped<'a>(External<'a>);

    #[derive(Serialize)]
    #[serde(transparent)]
    struct Transparent<'a> {
        inner: Adjacent<'a>,
    }

    assert_event(&Some(External::Newtype(1)), "newtype", "1");
    assert_event(&Box::new(&Wrapped(External::Unit)), "unit", "");
    assert_event(&Transparent { inner: Adjacent::Newtype(1) }, "newtype", "1");
    let result: Result<u32, &str> = Ok(1);
    assert_event(&result, "Ok", "1");
}

#[test]
fn line_breaks_of_raw_values_in_variants_are_removed() {
    let raw = RawValue::from_string("[1,\r\n2,\n\"\\n\"]".into()).unwrap();
    assert_event(&External::Raw(&raw), "raw", r#"[1,2,"\n"]"#);
    assert_event(&Adjacent::Raw(&raw), "raw", r#"[1,2,"\n"]"#);
}

#[track_caller]
fn assert_refused(value: &impl Serialize, why: &str) {
    let error = Event::tagged(value).unwrap_err();
    assert_eq!(error.to_string(), "value could not be serialized as an event");
    let source = error.source().unwrap().to_string();
    assert!(source.contains(why), "{source}");
}

#[test]
fn value_without_a_variant_name_is_refused() {
    #[derive(Serialize)]
    #[serde(tag = "type")]
    enum Internal {
        Struct { id: u32 },
        Unit,
    }

    #[derive(Serialize)]
    #[serde(untagged)]
    enum Untagged {
        Struct { id: u32 },
        Newtype(u32),
        Unit,
    }

    #[derive(Serialize)]
    struct Struct {
        id: u32,
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Empty {}

    let why = "not an enum";
    assert_refused(&Internal::Struct { id: 1 }, why);
    assert_refused(&Internal::Unit, why);
    assert_refused(&Untagged::Struct { id: 1 }, why);
    assert_refused(&Untagged::Newtype(1), why);
    assert_refused(&Untagged::Unit, why);
    assert_refused(&Struct { id: 1 }, why);
    assert_refused(&Unit, why);
    assert_refused(&Empty {}, why);
    assert_refused(&None::<External<'_>>, why);
    assert_refused(&(), why);
    assert_refused(&(External::Unit, 1), why);
    assert_refused(&[External::Unit], why);
    assert_refused(&vec![External::Unit], why);
    assert_refused(&std::collections::BTreeMap::from([("unit", 1)]), why);
    assert_refused(&"unit", why);
    assert_refused(&'u', why);
    assert_refused(&true, why);
    assert_refused(&1_u8, why);
    assert_refused(&-1_i64, why);
    assert_refused(&1.5, why);
}

#[test]
fn variant_name_with_a_line_break_is_refused() {
    #[derive(Serialize)]
    enum Hostile {
        #[serde(rename = "a\ndata: forged")]
        Line(u32),
        #[serde(rename = "")]
        Empty,
    }

    #[derive(Serialize)]
    #[serde(tag = "event", content = "data")]
    enum HostileTag {
        #[serde(rename = "a\rdata: forged")]
        Line(u32),
    }

    assert_refused(&Hostile::Line(1), "contain CR or LF");
    assert_refused(&Hostile::Empty, "must not be empty");
    assert_refused(&HostileTag::Line(1), "contain CR or LF");
}

#[test]
fn struct_beyond_tag_and_content_is_refused() {
    #[derive(Serialize)]
    enum Kind {
        A,
    }

    #[derive(Serialize)]
    struct Three {
        kind: Kind,
        data: u32,
        more: u32,
    }

    assert_refused(&Three { kind: Kind::A, data: 1, more: 2 }, "not an enum");
}

#[test]
fn content_that_cannot_be_serialized_is_refused() {
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    #[derive(Serialize)]
    enum Update<'a> {
        Map(&'a std::collections::BTreeMap<(u32, u32), u32>),
    }
    assert_refused(&Update::Map(&map), "key must be a string");
}
