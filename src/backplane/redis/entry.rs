//! Parser of stream entries, and of the stored newest event of a key.
//!
//! Pure. The fields are plain text, so that any program can add an entry: `topic` and `data`, and optionally `event`, `key`,
//! `close` and `remove`. Other fields are ignored.

use std::{sync::Arc, time::Duration};

use super::{epoch::Epoch, id};
use crate::{
    event::{Event, field::EventName},
    hub::replica::contract::Incoming,
};

/// Parses the fields of an entry. The error is the reason for which the entry is skipped.
pub(super) fn parse<'a>(
    epoch: Epoch,
    id: &str,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Incoming, &'static str> {
    let sequence = epoch.sequence(id).ok_or("id out of bounds")?;
    let (mut topic, mut data, mut name, mut key, mut close, mut remove) = (None, None, None, None, false, false);
    for (field, value) in fields {
        let text = || std::str::from_utf8(value).map_err(|_| "not UTF-8");
        match field {
            b"topic" => topic = Some(text()?),
            b"data" => data = Some(text()?),
            b"event" => name = Some(text()?),
            b"key" => key = Some(text()?),
            b"close" => close = value == b"1",
            b"remove" => remove = value == b"1",
            _ => {}
        }
    }
    let topic = topic.ok_or("no topic")?;
    if topic.len() > MAX_TOPIC_BYTES {
        return Err("topic too long");
    }
    let event = data.map(|data| event(name, data)).transpose()?;
    match (&event, key) {
        (Some(_), _) if remove => return Err("removes a key, but has data"),
        (None, None) if remove => return Err("removes a key, but names none"),
        (None, _) if !close && !remove => return Err("no data"),
        _ => {}
    }
    Ok(Incoming { sequence, topic: topic.into(), key: key.map(Arc::from), event, close, age: Duration::ZERO })
}

/// Parses the stored newest event of a key: its id, its name and its data, separated by line feeds. Returns the id as a pair.
pub(super) fn parse_latest(value: &[u8]) -> Result<((u64, u64), Event), &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| "not UTF-8")?;
    let mut parts = text.splitn(3, '\n');
    let (Some(id), Some(name), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("not the value of a key");
    };
    Ok((id::parts(id).ok_or("invalid id")?, event(Some(name), data)?))
}

fn event(name: Option<&str>, data: &str) -> Result<Event, &'static str> {
    Ok(match name.filter(|name| !name.is_empty()) {
        None => Event::new(data),
        Some(name) => Event::builder().name(EventName::try_from(name).map_err(|_| "invalid event name")?).data(data),
    })
}

/// The maximum length of a topic's name in a hub.
pub(super) const MAX_TOPIC_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(fields: &[(&str, &str)]) -> Result<Incoming, &'static str> {
        parse(Epoch::new(7, "0-0"), "5-1", fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    #[test]
    fn entries_of_other_programs_are_parsed() {
        let incoming =
            parsed(&[("data", "a\nb"), ("topic", "news"), ("event", "n"), ("key", "k"), ("other", "x")]).unwrap();
        assert_eq!((incoming.sequence, &*incoming.topic, incoming.key.as_deref()), (5 << 20 | 1, "news", Some("k")));
        let event = incoming.event.unwrap();
        assert_eq!((event.name(), &*event.data()), (Some("n"), "a\nb"));
        assert!(!incoming.close);
        let close = parsed(&[("topic", "news"), ("close", "1")]).unwrap();
        assert!(close.close && close.event.is_none());
        let remove = parsed(&[("topic", "news"), ("key", "k"), ("remove", "1")]).unwrap();
        assert!(!remove.close && remove.event.is_none() && remove.key.is_some());
    }

    #[test]
    fn invalid_entries_are_errors() {
        let long = "t".repeat(257);
        let wrong: [&[(&str, &str)]; 7] = [
            &[("data", "no topic")],
            &[("topic", "no data")],
            &[("topic", &long), ("data", "")],
            &[("topic", "t"), ("data", ""), ("event", "two\nlines")],
            &[("topic", "t"), ("remove", "1")],
            &[("topic", "t"), ("key", "k"), ("data", ""), ("remove", "1")],
            &[],
        ];
        for fields in wrong {
            assert!(parsed(fields).is_err(), "{fields:?}");
        }
        assert!(parse(Epoch::new(7, "0-0"), "5-1", [(&b"topic"[..], &b"\xff"[..])].into_iter()).is_err());
    }
}
