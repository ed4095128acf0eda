//! Lookup of the newest event of each key of a topic.

use std::sync::Arc;

use ::redis::{RedisResult, pipe};

use super::{connection::Connection, entry, epoch::StreamEpoch, error::RedisError, settings::Settings};
use crate::{event::Event, hub::replica::contract::Incoming};

/// A topic, and the newest event of each of its keys.
pub(super) type TopicKeys = (Arc<str>, Vec<Incoming>);

/// The maximum number of topics of one lookup. Each topic is limited to the bytes that the hub may keep, so this also bounds the
/// memory of a lookup.
pub(super) const BATCH: usize = 16;

/// Finds the keys of up to [`BATCH`] topics. Leaves out a topic if another epoch has begun in Redis.
pub(super) async fn find(
    connection: &mut Connection,
    settings: &Settings,
    epoch: StreamEpoch,
    topics: &[Arc<str>],
) -> Result<Vec<TopicKeys>, RedisError> {
    let mut calls = pipe();
    for topic in topics {
        let call = calls.cmd("EVAL").arg(KEYS).arg(2).arg(settings.latest_key(topic)).arg(settings.epoch_key());
        call.arg(settings.keys.saturating_add(SLACK)).arg(settings.max_entry_bytes).arg(settings.max_entry_bytes);
    }
    let replies: Vec<RedisResult<KeysReply>> = calls.ignore_errors().query_async(connection.inner()).await?;
    let mut found = Vec::new();
    for (topic, reply) in topics.iter().zip(replies) {
        match reply.map_err(RedisError::from) {
            Ok(reply) => found.extend(parse_topic(topic, reply, epoch, settings)),
            Err(error) if error.is_wrong_type() => {
                settings.observer.skipped(&settings.latest_key(topic), &error.to_string());
                found.push((Arc::clone(topic), Vec::new()));
            }
            // Another server serves the keys, or this one is busy. The keys of this topic remain unknown.
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The epoch, keys and values in turn, and the number of keys that were left out.
type KeysReply = (Vec<u8>, Vec<Vec<u8>>, u64);

fn parse_topic(topic: &Arc<str>, reply: KeysReply, epoch: StreamEpoch, settings: &Settings) -> Option<TopicKeys> {
    let (raw_epoch, pairs, left_out) = reply;
    if raw_epoch != epoch.to_string().into_bytes() {
        return None;
    }
    if left_out > 0 {
        let reason = format!("{left_out} keys exceed the number or the size that a topic may have");
        settings.observer.skipped(&settings.latest_key(topic), &reason);
    }
    let mut events = Vec::with_capacity(pairs.len() / 2);
    for pair in pairs.chunks_exact(2) {
        match parse(&pair[0], &pair[1]) {
            Ok(event) => events.push(event),
            Err(reason) => {
                let key = String::from_utf8_lossy(&pair[0]);
                settings.observer.skipped(&format!("{} {key}", settings.latest_key(topic)), reason);
            }
        }
    }
    Some((Arc::clone(topic), with_positions(topic, events, epoch)))
}

/// The id, the key and the event of a stored value.
type Stored = ((u64, u64), Arc<str>, Event);

fn parse(key: &[u8], value: &[u8]) -> Result<Stored, &'static str> {
    let key = std::str::from_utf8(key).map_err(|_| "not UTF-8")?;
    let (id, event) = entry::parse_latest(value)?;
    Ok((id, key.into(), event))
}

/// Assigns a position to each event. Events of an earlier epoch, whose ids have no position in this one, precede all others in
/// their own order.
fn with_positions(topic: &Arc<str>, mut events: Vec<Stored>, epoch: StreamEpoch) -> Vec<Incoming> {
    events.sort_unstable_by_key(|(id, ..)| *id);
    let mut earlier = 0;
    let event = |((ms, number), key, event): Stored| {
        let sequence = epoch.sequence(&format!("{ms}-{number}")).unwrap_or_else(|| {
            earlier += 1;
            earlier
        });
        Incoming::new(sequence, Arc::clone(topic), event).keyed(key)
    };
    events.into_iter().map(event).collect()
}

const KEYS: &str = include_str!("keys.lua");

/// The number of keys that a topic may have beyond its bound: the bound is approximate.
const SLACK: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_an_earlier_epoch_come_first_and_in_their_order() {
        let stored = |id, key: &str| (id, Arc::from(key), Event::new(key));
        let epoch = StreamEpoch::new(7, "1764519000000000-0");
        let events = vec![
            stored((1_764_519_000_000_000, 3), "new"),
            stored((1_764_519_000_000, 5), "b"),
            stored((1_764_519_000_000, 4), "a"),
        ];
        let found = with_positions(&"topic".into(), events, epoch);
        let keys: Vec<_> = found.iter().filter_map(|incoming| incoming.key.as_deref()).collect();
        assert_eq!(keys, ["a", "b", "new"]);
        assert!(found.is_sorted_by(|a, b| a.sequence < b.sequence) && found[0].sequence > 0);
        assert_eq!(Some(found[2].sequence), epoch.sequence("1764519000000000-3"));
    }

    #[test]
    fn invalid_values_of_keys_are_errors() {
        assert!(parse(b"key", b"5-1\nname\ndata").is_ok());
        for (key, value) in
            [(&b"key"[..], &b"foreign"[..]), (b"key", b"x-1\n\ndata"), (b"key", b"5-1\nname"), (b"\xff", b"5-1\n\nd")]
        {
            assert!(parse(key, value).is_err(), "{key:?} {value:?}");
        }
    }
}
