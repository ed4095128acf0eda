//! What Redis answers to whoever reads, as values.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::redis::{Pipeline, Value, from_redis_value, pipe};

use super::{
    connection::Connection,
    continuity::StreamInfo,
    entry,
    epoch::Epoch,
    error::RedisError,
    id,
    settings::{BLOCK_TIMEOUT, READ_BATCH, READ_BATCH_BYTES, Settings},
};
use crate::{hub::replica::contract::Feed, time::jitter};

/// An entry of the stream: its fields and values in turn. One that is larger than the hub may keep has none.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    fields: Vec<Vec<u8>>,
}

/// What the stream says of itself, and the entries after a place.
#[derive(Debug)]
pub(super) struct ReadReply {
    pub(super) seen: StreamInfo,
    /// The value at the epoch's key.
    pub(super) epoch: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    /// `true` if there are no other entries.
    pub(super) is_all: bool,
}

impl Entry {
    pub(super) fn size(&self) -> usize {
        self.fields.iter().map(Vec::len).sum()
    }

    fn age(&self, now: Option<Duration>) -> Duration {
        let added = id::parts(&self.id).map(|(ms, _)| Duration::from_millis(ms));
        now.zip(added).map_or(Duration::ZERO, |(now, added)| now.saturating_sub(added))
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.chunks_exact(2).map(|pair| (&pair[0][..], &pair[1][..]))
    }
}

impl ReadReply {
    /// Returns the first entry that the history has no positions for, nor for those after it.
    pub(super) fn outside(&self, epoch: Epoch) -> Option<&str> {
        self.entries.iter().map(|entry| &*entry.id).find(|id| !epoch.covers(id))
    }
}

/// Looks after a place, at so many entries.
pub(super) async fn look(
    connection: &mut Connection,
    settings: &Settings,
    after: &str,
    count: usize,
) -> Result<ReadReply, RedisError> {
    let mut calls = pipe();
    ask(&mut calls, connection, settings, after, count);
    answered(calls.query_async(connection.inner()).await?)
}

/// Waits for something after a place, for a while, and looks then.
pub(super) async fn wait(
    connection: &mut Connection,
    settings: &Settings,
    after: &str,
) -> Result<ReadReply, RedisError> {
    let mut calls = pipe();
    calls.cmd("XREAD").arg("COUNT").arg(1).arg("BLOCK").arg(u64::try_from(BLOCK_TIMEOUT.as_millis()).unwrap_or(1000));
    calls.arg("STREAMS").arg(settings.stream()).arg(after).ignore();
    ask(&mut calls, connection, settings, after, READ_BATCH);
    answered(calls.query_async(connection.inner()).await?)
}

/// Sets another epoch in place of what was seen there, unless another node has.
pub(super) async fn renew(
    connection: &mut Connection,
    settings: &Settings,
    seen: &[u8],
    epoch: impl FnOnce(u64) -> Epoch,
) -> Result<(), RedisError> {
    let mut call = ::redis::cmd("EVAL");
    call.arg(RENEW).arg(1).arg(settings.epoch()).arg(seen).arg(epoch(jitter::random()).to_string());
    Ok(call.query_async(connection.inner()).await?)
}

/// Has the stream go on in the next millisecond where this last id of it leaves few numbers in its own.
pub(super) async fn make_room(connection: &mut Connection, settings: &Settings, last: &str) -> Result<(), RedisError> {
    let Some(next) = id::next_if_crowded(last) else { return Ok(()) };
    let mut call = ::redis::cmd("EVAL");
    call.arg(MAKE_ROOM).arg(1).arg(settings.stream()).arg(last).arg(next);
    Ok(call.query_async(connection.inner()).await?)
}

/// Gives entries to the hub, and skips what are none. With the time by Redis's clock they are as old as they are by that; without
/// it they are new.
pub(super) fn give(
    entries: impl Iterator<Item = Entry>,
    epoch: Epoch,
    now: Option<Duration>,
    settings: &Settings,
    feed: &Feed,
) {
    let mut newest = None;
    let mut events = Vec::new();
    for entry in entries {
        let parsed =
            if entry.fields.is_empty() { Err(TOO_LARGE) } else { entry::parse(epoch, &entry.id, entry.pairs()) };
        match parsed {
            Ok(incoming) => events.push(incoming.aged(entry.age(now))),
            Err(why) => settings.observer.skipped(&entry.id, why),
        }
        newest = id::parts(&entry.id).map(|(ms, _)| Duration::from_millis(ms));
    }
    let number = events.len();
    let skipped = feed.apply(events);
    skipped.iter().for_each(|&sequence| settings.observer.skipped(&epoch.id(sequence), TOO_LARGE));
    if let Some(newest) = newest {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        settings.observer.read(number - skipped.len(), now.saturating_sub(newest));
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
    call.arg(2).arg(settings.stream()).arg(settings.epoch());
    call.arg(after).arg(count).arg(settings.largest).arg(READ_BATCH_BYTES);
    calls.add_command(call);
}

type RawReply = (Vec<u8>, Value, u8, u8, String, u64, i64, String, String, String);

fn answered(answer: (RawReply,)) -> Result<ReadReply, RedisError> {
    let ((epoch, found, is_all, is_there, first, length, added, last, deleted, run),) = answer;
    let some = |text: String| (!text.is_empty()).then_some(text);
    let seen = StreamInfo {
        // One that is none is not this crate's, and is replaced.
        epoch: std::str::from_utf8(&epoch).ok().and_then(Epoch::parse),
        is_there: is_there > 0,
        first: some(first),
        length,
        added: u64::try_from(added).ok(),
        last,
        deleted: some(deleted),
        run: some(run),
    };
    Ok(ReadReply { seen, epoch, entries: entries(found), is_all: is_all > 0 })
}

const TOO_LARGE: &str = "it is larger than the hub may keep";

const RENEW: &str = "local epoch = redis.pcall('GET', KEYS[1])
if (type(epoch) == 'string' and epoch or '') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return 1";

const MAKE_ROOM: &str = "local info = redis.call('XINFO', 'STREAM', KEYS[1])
for at = 1, #info, 2 do
  if info[at] == 'last-generated-id' and info[at + 1] == ARGV[1] then redis.call('XSETID', KEYS[1], ARGV[2]) end
end
return 1";
