//! The algorithm of the standard, over a whole stream: slow, and evidently right.
//!
//! [HTML §9.2.5 and §9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).

use std::time::Duration;

use tower_sse::decode::Item;

/// An item that a client acts on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Naive {
    Event { id: Option<String>, name: Option<String>, data: String },
    Retry(Duration),
    Comment(String),
}

impl From<Item> for Naive {
    fn from(item: Item) -> Self {
        match item {
            Item::Event(event) => Self::Event {
                id: event.id().map(ToString::to_string),
                name: event.name().map(ToString::to_string),
                data: event.data().to_owned(),
            },
            Item::Retry(retry) => Self::Retry(retry),
            Item::Comment(text) => Self::Comment(text),
            other => panic!("{other:?} is new"),
        }
    }
}

/// Decodes these bytes. Returns the items, and the last event id at the end.
pub(crate) fn decode(bytes: &[u8]) -> (Vec<Naive>, String) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    // The last line has no end.
    let mut lines: Vec<_> = text.split('\n').collect();
    lines.pop();

    let (mut items, mut last) = (Vec::new(), String::new());
    let (mut id, mut name, mut data) = (None::<String>, String::new(), String::new());
    for line in lines {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                last = id.clone().unwrap_or(last);
                if let Some(data) = data.strip_suffix('\n') {
                    let name = Some(name.clone()).filter(|name| !name.is_empty());
                    items.push(Naive::Event { id: id.take(), name, data: data.into() });
                }
                (id, name, data) = (None, String::new(), String::new());
            }
            "" => items.push(Naive::Comment(line[1..].into())),
            "data" => data += &format!("{value}\n"),
            "event" => name = value.into(),
            "id" if !value.contains('\0') => id = Some(value.into()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                items.extend(value.parse().ok().map(|millis| Naive::Retry(Duration::from_millis(millis))));
            }
            _ => {}
        }
    }
    (items, last)
}
