//! The initial load of a node: the tail of the stream, and the keys of topics in use.

use std::{sync::Arc, time::Duration};

use ::redis::{Value, cmd};

use super::{
    connection::Connection,
    continuity::ReadPosition,
    epoch::{LAST_UNBASED_ID, StreamEpoch},
    error::RedisError,
    id,
    keys::{self, TopicKeys},
    read::{self, StreamEntry},
    settings::{READ_BATCH, READ_BATCH_BYTES, Settings},
};
use crate::{event::Event, hub::replica::contract::Feed};

/// Loads the tail within its bounds into the hub. Returns the position at its end.
pub(super) async fn load(
    connection: &mut Connection,
    settings: &Settings,
    feed: &Feed,
    past_epochs: &[u64],
) -> Result<ReadPosition, RedisError> {
    let epoch = current_epoch(connection, settings, past_epochs).await?;
    let keys = keys_in_use(connection, settings, feed, epoch).await?;
    let before = read::read(connection, settings, "0-0", 0).await?.stream;
    let (entries, is_all) = tail(connection, settings, epoch).await?;
    let last = entries.last().map_or(before.last, |entry| entry.id.clone());
    // Ordering: read after the tail. If nothing was trimmed by now, nothing was trimmed while the tail was read.
    let reply = read::read(connection, settings, &last, READ_BATCH).await?;
    let (after, newer) = (&reply.stream, reply.entries.len());
    let is_counted = reply.is_complete && (after.has_cursor || after.last == last);
    let added = after.added.filter(|_| is_counted).map(|added| added.saturating_sub(newer as u64));
    let gone_through = match entries.first() {
        _ if is_all && after.added == Some(after.length) => 0,
        Some(first) => epoch.floor(&first.id).saturating_sub(1),
        None => epoch.floor(&last),
    };
    let now = time(connection).await?;
    feed.begin_epoch(epoch.number(), gone_through);
    keys.into_iter().for_each(|(topic, newest)| feed.apply_keys(&topic, newest));
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        read::apply(entries.by_ref().take(READ_BATCH), epoch, Some(now), settings, feed);
        tokio::task::yield_now().await;
    }
    Ok(ReadPosition { epoch, last, added, server_run: connection.server_run().cloned() })
}

/// Finds the newest event of each key of the topics in use, until these events have a quarter of the bytes that the hub may
/// keep, which leaves room for the tail. The hub requests the keys of the other topics as soon as a subscriber needs them.
async fn keys_in_use(
    connection: &mut Connection,
    settings: &Settings,
    feed: &Feed,
    epoch: StreamEpoch,
) -> Result<Vec<TopicKeys>, RedisError> {
    let topics: Vec<Arc<str>> = feed.in_use();
    let (mut found, mut bytes) = (Vec::new(), 0);
    for batch in topics.chunks(keys::BATCH) {
        if bytes > settings.max_entry_bytes / 4 {
            break;
        }
        let newest = keys::find(connection, settings, epoch, batch).await?;
        let events = newest.iter().flat_map(|(_, newest)| newest).filter_map(|incoming| incoming.event.as_ref());
        bytes += events.map(Event::encoded_len).sum::<usize>();
        found.extend(newest);
    }
    Ok(found)
}

/// Returns the time of Redis's clock, which is the clock of the entry ids.
async fn time(connection: &mut Connection) -> Result<Duration, RedisError> {
    let mut call = cmd("EVAL");
    // Called from a script, so that permission for scripts is enough.
    call.arg("return redis.call('TIME')").arg(0);
    let (seconds, micros): (u64, u64) = call.query_async(connection.inner()).await?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// Returns the epoch in Redis. Replaces it first if it is invalid, if it has ended before, or if it has no positions for the
/// ids of the stream.
async fn current_epoch(
    connection: &mut Connection,
    settings: &Settings,
    past_epochs: &[u64],
) -> Result<StreamEpoch, RedisError> {
    for _ in 0..MAX_ATTEMPTS {
        let reply = read::read(connection, settings, "0-0", 0).await?;
        let last = &reply.stream.last;
        match reply.stream.epoch {
            // Redis was rolled back to before a later epoch began, so it may assign ids of this one a second time.
            Some(epoch) if past_epochs.contains(&epoch.number()) => {
                read::replace_epoch(connection, settings, &reply.raw_epoch, |number| epoch.renewed(number, last))
                    .await?;
            }
            Some(epoch) if epoch.covers(last) || (reply.stream.length == 0 && last == "0-0") => return Ok(epoch),
            _ => {
                let first = first_based(connection, settings).await?.unwrap_or_else(|| last.clone());
                read::replace_epoch(connection, settings, &reply.raw_epoch, |number| StreamEpoch::new(number, &first))
                    .await?;
            }
        }
    }
    Err(RedisError::protocol("the epoch in redis changes repeatedly"))
}

/// Returns the first entry that has no position in an epoch whose milliseconds are counted from 0.
async fn first_based(connection: &mut Connection, settings: &Settings) -> Result<Option<String>, RedisError> {
    let reply = read::read(connection, settings, LAST_UNBASED_ID, 1).await?;
    Ok(reply.entries.into_iter().next().map(|entry| entry.id))
}

/// Returns the newest entries of an epoch in order, and whether these are all of its entries.
async fn tail(
    connection: &mut Connection,
    settings: &Settings,
    epoch: StreamEpoch,
) -> Result<(Vec<StreamEntry>, bool), RedisError> {
    let mut entries: Vec<StreamEntry> = Vec::new();
    let mut bytes = 0;
    let mut is_all = false;
    while !is_all && entries.len() < settings.load_entries && bytes < settings.load_bytes {
        let before = entries.last().map_or("+", |oldest| &oldest.id);
        let mut call = cmd("EVAL");
        call.arg(TAIL).arg(1).arg(settings.stream_key()).arg(before).arg(epoch.lowest_id());
        call.arg(READ_BATCH.min(settings.load_entries - entries.len()));
        call.arg(settings.max_entry_bytes).arg(READ_BATCH_BYTES);
        let (page, is_last): (Value, u8) = call.query_async(connection.inner()).await?;
        let page = read::entries(page);
        is_all = is_last > 0 || page.is_empty();
        bytes += page.iter().map(StreamEntry::size).sum::<usize>();
        entries.extend(page);
    }
    entries.reverse();
    let expired = count_expired(&entries, settings);
    is_all &= expired == 0;
    entries.drain(..expired);
    Ok((entries, is_all))
}

/// Returns the number of entries at the front that are too old. Ages are relative to the newest entry, so by Redis's clock.
fn count_expired(entries: &[StreamEntry], settings: &Settings) -> usize {
    let ms = |entry: &StreamEntry| id::parts(&entry.id).map_or(0, |(ms, _)| ms);
    let (Some(age), Some(newest)) = (settings.age, entries.last()) else { return 0 };
    let from = ms(newest).saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    entries.partition_point(|entry| ms(entry) < from)
}

const TAIL: &str = concat!(include_str!("page.lua"), include_str!("tail.lua"));

/// The maximum number of attempts to replace the epoch, which other nodes may replace at the same time.
const MAX_ATTEMPTS: usize = 4;
