//! What Redis answers to whoever reads, as values.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::redis::{Pipeline, Value, from_redis_value, pipe};

use super::{
    entry,
    error::RedisError,
    id,
    servers::Connection,
    settings::{BLOCK, Settings},
    verdict::Seen,
};
use crate::{backplane::Feed, jitter};

/// An entry of the stream: its fields and values in turn.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    fields: Vec<Vec<u8>>,
}

/// What the stream says of itself, and the entries after a place.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) seen: Seen,
    pub(super) entries: Vec<Entry>,
}

impl Entry {
    pub(super) fn size(&self) -> usize {
        self.fields.iter().map(Vec::len).sum()
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.chunks_exact(2).map(|pair| (&pair[0][..], &pair[1][..]))
    }
}

/// Looks after a place.
pub(super) async fn look(
    connection: &mut Connection,
    settings: &Settings,
    after: &str,
    count: usize,
) -> Result<Look, RedisError> {
    let mut calls = pipe();
    ask(&mut calls, connection, settings, after, count);
    answered(calls.query_async(connection.inner()).await?)
}

/// Waits for something after a place, for a while, and looks then.
pub(super) async fn wait(
    connection: &mut Connection,
    settings: &Settings,
    after: &str,
    count: usize,
) -> Result<Look, RedisError> {
    let mut calls = pipe();
    calls.cmd("XREAD").arg("COUNT").arg(1).arg("BLOCK").arg(u64::try_from(BLOCK.as_millis()).unwrap_or(1000));
    calls.arg("STREAMS").arg(settings.stream()).arg(after).ignore();
    ask(&mut calls, connection, settings, after, count);
    answered(calls.query_async(connection.inner()).await?)
}

/// Sets another epoch, unless somebody has.
pub(super) async fn renew(connection: &mut Connection, settings: &Settings, epoch: u64) -> Result<(), RedisError> {
    let mut call = ::redis::cmd("EVAL");
    call.arg(RENEW).arg(1).arg(settings.epoch());
    call.arg(format!("{epoch:016x}")).arg(format!("{:016x}", jitter::random()));
    Ok(call.query_async(connection.inner()).await?)
}

/// Gives entries to the hub, and skips what are none.
pub(super) fn give(entries: impl Iterator<Item = Entry>, settings: &Settings, feed: &Feed) {
    let mut newest = None;
    let mut events = Vec::new();
    for entry in entries {
        match entry::parse(&entry.id, entry.pairs()) {
            Ok(incoming) => events.push(incoming),
            Err(why) => settings.observer.skipped(&entry.id, why),
        }
        newest = id::parts(&entry.id).map(|(ms, _)| Duration::from_millis(ms));
    }
    let number = events.len();
    feed.give(events);
    if let Some(newest) = newest {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        settings.observer.read(number, now.saturating_sub(newest));
    }
}

/// What is an entry of an answer.
pub(super) fn entries(answer: Value) -> Vec<Entry> {
    let Value::Array(entries) = answer else { return Vec::new() };
    let entry = |entry| {
        // One that was deleted has no fields, in some answers.
        let (id, fields) = from_redis_value::<(String, Vec<Vec<u8>>)>(entry).ok()?;
        Some(Entry { id, fields })
    };
    entries.into_iter().filter_map(entry).collect()
}

fn ask(calls: &mut Pipeline, connection: &Connection, settings: &Settings, after: &str, count: usize) {
    let mut call = connection.reads();
    call.arg(2).arg(settings.stream()).arg(settings.epoch()).arg(after).arg(count);
    calls.add_command(call);
}

type Answer = (String, Value, u8, String, u64, i64, String);

fn answered(answer: (Answer,)) -> Result<Look, RedisError> {
    let ((epoch, found, is_there, first, length, added, last),) = answer;
    let seen = Seen {
        // One that is no number is none of ours, and is replaced.
        epoch: u64::from_str_radix(&epoch, 16).ok(),
        is_there: is_there > 0,
        first: (!first.is_empty()).then_some(first),
        length,
        added: u64::try_from(added).ok(),
        last,
    };
    Ok(Look { seen, entries: entries(found) })
}

const RENEW: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end return 1";
