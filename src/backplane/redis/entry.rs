//! Parser of stream entries, and of the stored newest event of a key.
//!
//! Pure. The fields are plain text, so that any program can add an entry: `topic` and `data`, and optionally `event`,
//! `comment`, `retry`, `key`, `close` and `remove`. Other fields are ignored.

use std::{sync::Arc, time::Duration};

use super::{epoch::StreamEpoch, id};
use crate::{
    event::{
        Event,
        field::{EventComment, EventName},
    },
    hub::replica::contract::Incoming,
};

/// Parses the fields of an entry. The error is the reason for which the entry is skipped.
pub(super) fn parse<'a>(
    epoch: StreamEpoch,
    id: &str,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Incoming, &'static str> {
    let sequence = epoch.sequence(id).ok_or("id out of bounds")?;
    let (mut topic, mut event, mut key, mut close, mut remove) = (None, EventFields::default(), None, false, false);
    for (field, value) in fields {
        let text = || std::str::from_utf8(value).map_err(|_| "not UTF-8");
        match field {
            b"topic" => topic = Some(text()?),
            b"data" => event.data = Some(text()?),
            b"event" => event.name = Some(text()?),
            b"comment" => event.comment = Some(text()?),
            b"retry" => event.retry = Some(text()?),
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
    if remove && event.data.is_none() {
        event = EventFields::default();
    }
    let event = event.into_event()?;
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
    let event = EventFields::of_latest(name, data).into_event()?.ok_or("not the value of a key")?;
    Ok((id::parts(id).ok_or("invalid id")?, event))
}

/// The fields of an event in an entry.
#[derive(Default)]
struct EventFields<'a> {
    name: Option<&'a str>,
    data: Option<&'a str>,
    comment: Option<&'a str>,
    retry: Option<&'a str>,
}

impl<'a> EventFields<'a> {
    /// Returns the fields of a key's value. Its line for the name has the comment and the `retry:` behind CRs if the event has one of
    /// them. Then each is absent if empty and begins with `1` otherwise, and a name that is `0` stands for an event without data.
    fn of_latest(line: &'a str, data: &'a str) -> Self {
        let mut parts = line.splitn(3, '\r');
        let (Some(name), Some(comment), Some(retry)) = (parts.next(), parts.next(), parts.next()) else {
            return Self { name: Some(line), data: Some(data), ..Self::default() };
        };
        let data = (name != "0").then_some(data);
        let text = |flagged: &'a str| flagged.strip_prefix('1');
        Self { name: text(name), data, comment: text(comment), retry: text(retry) }
    }

    /// Returns the event, or `None` if there is no field of one but a name, which is ignored then.
    fn into_event(self) -> Result<Option<Event>, &'static str> {
        let has_lines = self.comment.is_some() || self.retry.is_some();
        if self.data.is_none() && !has_lines {
            return Ok(None);
        }
        let mut builder = Event::builder();
        if let Some(name) = self.name.filter(|name| !name.is_empty()) {
            builder = builder.name(EventName::try_from(name).map_err(|_| "invalid event name")?);
        }
        if let Some(comment) = self.comment {
            builder = builder.comment(EventComment::try_from(comment).map_err(|_| "invalid comment")?);
        }
        if let Some(retry) = self.retry {
            let millis = retry.parse().map_err(|_| "invalid retry")?;
            builder = builder.retry(Duration::from_millis(millis));
        }
        Ok(Some(match self.data {
            Some(data) => builder.data(data),
            None => builder.without_data(),
        }))
    }
}

/// The maximum length of a topic's name in a hub.
pub(super) const MAX_TOPIC_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(fields: &[(&str, &str)]) -> Result<Incoming, &'static str> {
        parse(StreamEpoch::new(7, "0-0"), "5-1", fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
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

    /// A closing was skipped for the name of an event that it does not have, so its topic was never closed.
    #[test]
    fn fields_of_an_event_without_data_are_ignored() {
        let named = [("topic", "t"), ("event", "two\nlines")];
        let closed = parsed(&[&named[..], &[("close", "1")]].concat()).unwrap();
        assert!(closed.close && closed.event.is_none());
        for lines in [&[("comment", "two\nlines")][..], &[("comment", "c"), ("retry", "soon")], &[]] {
            let removed = parsed(&[&named[..], &[("key", "k"), ("remove", "1")], lines].concat()).unwrap();
            assert!(removed.event.is_none() && removed.key.is_some(), "{lines:?}");
        }
    }

    #[test]
    fn comment_and_retry_are_read() {
        let event = |fields: &[_]| parsed(fields).unwrap().event.unwrap().to_bytes();
        let lines = [("topic", "t"), ("comment", "c"), ("retry", "5")];
        assert_eq!(event(&lines), ": c\nretry: 5\n\n");
        assert_eq!(
            event(&[&lines[..], &[("data", ""), ("event", "n")]].concat()),
            ": c\nretry: 5\nevent: n\ndata: \n\n"
        );
        for (value, expected) in [
            ("5-1\nn\na\nb", "event: n\ndata: a\ndata: b\n\n"),
            ("5-1\n\r1c\r\na", ": c\ndata: a\n\n"),
            ("5-1\n1n\r1\r15\na\nb", ": \nretry: 5\nevent: n\ndata: a\ndata: b\n\n"),
            ("5-1\n0\r\r15\n", "retry: 5\n\n"),
            ("5-1\n0\r1c\r\n", ": c\n\n"),
        ] {
            let (id, event) = parse_latest(value.as_bytes()).unwrap();
            assert_eq!((id, event.to_bytes()), ((5, 1), expected.into()), "{value:?}");
        }
    }

    #[test]
    fn invalid_entries_are_errors() {
        let long = "t".repeat(257);
        let wrong: [&[(&str, &str)]; 9] = [
            &[("data", "no topic")],
            &[("topic", "no data")],
            &[("topic", &long), ("data", "")],
            &[("topic", "t"), ("data", ""), ("event", "two\nlines")],
            &[("topic", "t"), ("data", ""), ("comment", "two\nlines")],
            &[("topic", "t"), ("data", ""), ("retry", "soon")],
            &[("topic", "t"), ("remove", "1")],
            &[("topic", "t"), ("key", "k"), ("data", ""), ("remove", "1")],
            &[],
        ];
        for fields in wrong {
            assert!(parsed(fields).is_err(), "{fields:?}");
        }
        assert!(parse(StreamEpoch::new(7, "0-0"), "5-1", [(&b"topic"[..], &b"\xff"[..])].into_iter()).is_err());
    }
}
