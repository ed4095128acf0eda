//! An entry of the stream, or the newest of a key, as what a hub takes.
//!
//! Pure. Fields are readable, so that any program can add an entry: `topic` and `data`, and if it has them `event`, `key`,
//! `close` and `remove`. Others mean nothing.

use std::{sync::Arc, time::Duration};

use super::{epoch::Epoch, id};
use crate::{
    event::{Event, field::EventName},
    hub::replica::contract::Incoming,
};

/// What it is, or why it is none.
pub(super) fn parse<'a>(
    epoch: Epoch,
    id: &str,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Incoming, &'static str> {
    let sequence = epoch.sequence(id).ok_or("its id is out of bounds")?;
    let (mut topic, mut data, mut name, mut key, mut closes, mut removes) = (None, None, None, None, false, false);
    for (field, value) in fields {
        let text = || std::str::from_utf8(value).map_err(|_| "it is not UTF-8");
        match field {
            b"topic" => topic = Some(text()?),
            b"data" => data = Some(text()?),
            b"event" => name = Some(text()?),
            b"key" => key = Some(text()?),
            b"close" => closes = value == b"1",
            b"remove" => removes = value == b"1",
            _ => {}
        }
    }
    let topic = topic.ok_or("it has no topic")?;
    if topic.len() > MAX_TOPIC {
        return Err("its topic is too long");
    }
    let event = data.map(|data| event(name, data)).transpose()?;
    match (&event, key) {
        (Some(_), _) if removes => return Err("it removes a key, and has data"),
        (None, None) if removes => return Err("it removes a key, and names none"),
        (None, _) if !closes && !removes => return Err("it has no data"),
        _ => {}
    }
    let age = Duration::ZERO;
    Ok(Incoming { sequence, topic: topic.into(), key: key.map(Arc::from), event, close: closes, age })
}

/// The newest event of a key, as it is kept: its id, its name and its data, each after a line break. Gives the id as a pair
/// beside the event.
pub(super) fn parse_latest(value: &[u8]) -> Result<((u64, u64), Event), &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| "it is not UTF-8")?;
    let mut parts = text.splitn(3, '\n');
    let (Some(id), Some(name), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("it is no value of a key");
    };
    Ok((id::parts(id).ok_or("its id is none")?, event(Some(name), data)?))
}

fn event(name: Option<&str>, data: &str) -> Result<Event, &'static str> {
    Ok(match name.filter(|name| !name.is_empty()) {
        None => Event::new(data),
        Some(name) => Event::builder().name(EventName::try_from(name).map_err(|_| "its name is none")?).data(data),
    })
}

/// What a hub takes.
pub(super) const MAX_TOPIC: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(fields: &[(&str, &str)]) -> Result<Incoming, &'static str> {
        parse(Epoch::new(7, "0-0"), "5-1", fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    #[test]
    fn what_others_write_is_read() {
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
    fn what_is_no_event_is_said_to_be_none() {
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
