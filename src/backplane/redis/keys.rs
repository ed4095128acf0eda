//! The newest event of each key of a topic, which a node asks for when a subscriber does.

use std::sync::Arc;

use ::redis::{RedisResult, pipe};

use super::{connection::Connection, entry, epoch::Epoch, error::RedisError, settings::Settings};
use crate::{event::Event, hub::replica::contract::Incoming};

/// A topic, and the newest event of each of its keys.
pub(super) type TopicKeys = (Arc<str>, Vec<Incoming>);

/// Finds the keys of these topics. A topic is not among what is found if another history has begun.
pub(super) async fn find(
    connection: &mut Connection,
    settings: &Settings,
    epoch: Epoch,
    topics: &[Arc<str>],
) -> Result<Vec<TopicKeys>, RedisError> {
    let mut all = Vec::new();
    for some in topics.chunks(TOPICS_AT_ONCE) {
        let mut calls = pipe();
        for topic in some {
            let call = calls.cmd("EVAL").arg(KEYS).arg(2).arg(settings.latest(topic)).arg(settings.epoch());
            call.arg(settings.keys.saturating_add(SLACK)).arg(settings.largest).arg(settings.largest);
        }
        let answers: Vec<RedisResult<KeysReply>> = calls.ignore_errors().query_async(connection.inner()).await?;
        for (topic, answer) in some.iter().zip(answers) {
            match answer.map_err(RedisError::from) {
                Ok(answer) => all.extend(found(topic, answer, epoch, settings)),
                // Another server has the keys now, or this one has no time. Nothing is known of this topic.
                Err(error) if !error.is_of_this_key() => return Err(error),
                Err(error) => {
                    settings.observer.skipped(&settings.latest(topic), &error.to_string());
                    all.push((Arc::clone(topic), Vec::new()));
                }
            }
        }
    }
    Ok(all)
}

type KeysReply = (Vec<u8>, Vec<Vec<u8>>, u64);

fn found(topic: &Arc<str>, (of, pairs, left_out): KeysReply, epoch: Epoch, settings: &Settings) -> Option<TopicKeys> {
    if of != epoch.to_string().into_bytes() {
        return None;
    }
    if left_out > 0 {
        let why = format!("{left_out} of its keys are more, or larger, than a topic may have");
        settings.observer.skipped(&settings.latest(topic), &why);
    }
    let mut events = Vec::with_capacity(pairs.len() / 2);
    for pair in pairs.chunks_exact(2) {
        match parse(&pair[0], &pair[1]) {
            Ok(event) => events.push(event),
            Err(why) => {
                let key = String::from_utf8_lossy(&pair[0]);
                settings.observer.skipped(&format!("{} {key}", settings.latest(topic)), why);
            }
        }
    }
    Some((Arc::clone(topic), in_history(topic, events, epoch)))
}

type Kept = ((u64, u64), Arc<str>, Event);

fn parse(key: &[u8], value: &[u8]) -> Result<Kept, &'static str> {
    let key = std::str::from_utf8(key).map_err(|_| "it is not UTF-8")?;
    let (id, event) = entry::parse_latest(value)?;
    Ok((id, key.into(), event))
}

/// Gives each its position. Those that are of a history before, whose ids have no position in this one, come before all
/// others, in their own order.
fn in_history(topic: &Arc<str>, mut events: Vec<Kept>, epoch: Epoch) -> Vec<Incoming> {
    events.sort_unstable_by_key(|(id, ..)| *id);
    let mut before = 0;
    let event = |((ms, number), key, event): Kept| {
        let sequence = epoch.sequence(&format!("{ms}-{number}")).unwrap_or_else(|| {
            before += 1;
            before
        });
        Incoming::new(sequence, Arc::clone(topic), event).keyed(key)
    };
    events.into_iter().map(event).collect()
}

const KEYS: &str = include_str!("keys.lua");

const TOPICS_AT_ONCE: usize = 16;

/// The number of keys that a topic may have beyond its bound: the bound is approximate.
const SLACK: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_history_before_come_first_and_in_their_order() {
        let kept = |id, key: &str| (id, Arc::from(key), Event::new(key));
        let epoch = Epoch::new(7, "1764519000000000-0");
        let events = vec![
            kept((1_764_519_000_000_000, 3), "new"),
            kept((1_764_519_000_000, 5), "b"),
            kept((1_764_519_000_000, 4), "a"),
        ];
        let found = in_history(&"topic".into(), events, epoch);
        let keys: Vec<_> = found.iter().filter_map(|incoming| incoming.key.as_deref()).collect();
        assert_eq!(keys, ["a", "b", "new"]);
        assert!(found.is_sorted_by(|a, b| a.sequence < b.sequence) && found[0].sequence > 0);
        assert_eq!(Some(found[2].sequence), epoch.sequence("1764519000000000-3"));
    }

    #[test]
    fn what_is_no_value_of_a_key_is_said_to_be_none() {
        assert!(parse(b"key", b"5-1\nname\ndata").is_ok());
        for (key, value) in
            [(&b"key"[..], &b"foreign"[..]), (b"key", b"x-1\n\ndata"), (b"key", b"5-1\nname"), (b"\xff", b"5-1\n\nd")]
        {
            assert!(parse(key, value).is_err(), "{key:?} {value:?}");
        }
    }
}
