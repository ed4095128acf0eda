//! Reads of the stream, as typed replies.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::redis::{Pipeline, Value, from_redis_value, pipe};

use super::{
    connection::Connection,
    continuity::StreamInfo,
    entry,
    epoch::StreamEpoch,
    error::RedisError,
    id,
    settings::{BLOCK_TIMEOUT, READ_BATCH, READ_BATCH_BYTES, Settings},
};
use crate::{hub::replica::contract::Feed, time::jitter};

/// An entry of the stream: its fields, each followed by its value. An entry above the maximum size has no fields.
#[derive(Debug)]
pub(super) struct StreamEntry {
    pub(super) id: String,
    fields: Vec<Vec<u8>>,
}

/// The state of the stream, and the entries after a position.
#[derive(Debug)]
pub(super) struct ReadReply {
    pub(super) stream: StreamInfo,
    /// The value at the key of the epoch, valid or not.
    pub(super) raw_epoch: Vec<u8>,
    pub(super) entries: Vec<StreamEntry>,
    /// `true` if the stream has no further entries.
    pub(super) is_complete: bool,
}

impl StreamEntry {
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
    /// Returns the first id that has no position in this epoch. Later ids have none either.
    pub(super) fn first_uncovered(&self, epoch: StreamEpoch) -> Option<&str> {
        self.entries.iter().map(|entry| &*entry.id).find(|id| !epoch.covers(id))
    }
}

/// Reads up to `count` entries after an id.
pub(super) async fn read(
    connection: &mut Connection,
    settings: &Settings,
    after: &str,
    count: usize,
) -> Result<ReadReply, RedisError> {
    let mut calls = pipe();
    push_read(&mut calls, connection, settings, after, count);
    parse_reply(calls.query_async(connection.inner()).await?)
}

/// Reads entries after an id. Blocks for up to [`BLOCK_TIMEOUT`] if there are none.
pub(super) async fn read_blocking(
    connection: &mut Connection,
    settings: &Settings,
    after: &str,
) -> Result<ReadReply, RedisError> {
    let mut calls = pipe();
    calls.cmd("XREAD").arg("COUNT").arg(1).arg("BLOCK").arg(u64::try_from(BLOCK_TIMEOUT.as_millis()).unwrap_or(1000));
    calls.arg("STREAMS").arg(settings.stream_key()).arg(after).ignore();
    push_read(&mut calls, connection, settings, after, READ_BATCH);
    parse_reply(calls.query_async(connection.inner()).await?)
}

/// Replaces the epoch in Redis, unless another node has replaced the value that was read.
pub(super) async fn replace_epoch(
    connection: &mut Connection,
    settings: &Settings,
    raw_epoch: &[u8],
    new: impl FnOnce(u64) -> StreamEpoch,
) -> Result<(), RedisError> {
    let mut call = ::redis::cmd("EVAL");
    call.arg(REPLACE_EPOCH).arg(1).arg(settings.epoch_key()).arg(raw_epoch).arg(new(jitter::random()).to_string());
    Ok(call.query_async(connection.inner()).await?)
}

/// Advances the stream to the next millisecond if its last id is still `last` and the numbers of that millisecond are running
/// out.
pub(super) async fn advance_if_crowded(
    connection: &mut Connection,
    settings: &Settings,
    last: &str,
) -> Result<(), RedisError> {
    let Some(next) = id::next_if_crowded(last) else { return Ok(()) };
    let mut call = ::redis::cmd("EVAL");
    call.arg(ADVANCE).arg(1).arg(settings.stream_key()).arg(last).arg(next);
    Ok(call.query_async(connection.inner()).await?)
}

/// Applies entries to the hub, and reports those that are skipped. `now` is the time of Redis's clock, by which the age of an
/// event is calculated. Without it the events count as new.
pub(super) fn apply(
    entries: impl Iterator<Item = StreamEntry>,
    epoch: StreamEpoch,
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
            Err(reason) => settings.observer.skipped(&entry.id, reason),
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

/// Returns the entries of a reply to `XRANGE` or `XREVRANGE`.
pub(super) fn entries(reply: Value) -> Vec<StreamEntry> {
    let Value::Array(entries) = reply else { return Vec::new() };
    let entry = |entry| {
        // Some replies contain deleted entries, without fields.
        let (id, fields) = from_redis_value::<(String, Vec<Vec<u8>>)>(entry).ok()?;
        Some(StreamEntry { id, fields })
    };
    entries.into_iter().filter_map(entry).collect()
}

fn push_read(calls: &mut Pipeline, connection: &Connection, settings: &Settings, after: &str, count: usize) {
    let mut call = connection.read_call();
    call.arg(2).arg(settings.stream_key()).arg(settings.epoch_key());
    call.arg(after).arg(count).arg(settings.max_entry_bytes).arg(READ_BATCH_BYTES);
    calls.add_command(call);
}

type RawReply = (Vec<u8>, Value, u8, u8, String, u64, i64, String, String, String);

fn parse_reply(reply: (RawReply,)) -> Result<ReadReply, RedisError> {
    let ((raw_epoch, found, is_complete, has_cursor, first, length, added, last, deleted, server_run),) = reply;
    let non_empty = |text: String| (!text.is_empty()).then_some(text);
    let stream = StreamInfo {
        // An invalid value was written by another program, and is replaced.
        epoch: std::str::from_utf8(&raw_epoch).ok().and_then(StreamEpoch::parse),
        has_cursor: has_cursor > 0,
        first: non_empty(first),
        length,
        added: u64::try_from(added).ok(),
        last,
        deleted: non_empty(deleted),
        server_run: non_empty(server_run),
    };
    Ok(ReadReply { stream, raw_epoch, entries: entries(found), is_complete: is_complete > 0 })
}

const TOO_LARGE: &str = "larger than the hub may keep";

const REPLACE_EPOCH: &str = "local epoch = redis.pcall('GET', KEYS[1])
if (type(epoch) == 'string' and epoch or '') == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end
return 1";

const ADVANCE: &str = "local info = redis.call('XINFO', 'STREAM', KEYS[1])
for at = 1, #info, 2 do
  if info[at] == 'last-generated-id' and info[at + 1] == ARGV[1] then redis.call('XSETID', KEYS[1], ARGV[2]) end
end
return 1";
