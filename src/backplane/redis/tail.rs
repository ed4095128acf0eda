//! The data that a node loads when it begins, or begins anew: the tail of the stream, and the keys of topics that are
//! in use.

use std::time::Duration;

use ::redis::{Value, cmd};

use super::{
    connection::Connection,
    continuity::ReadPosition,
    epoch::{Epoch, LAST_OF_PLAIN},
    error::RedisError,
    id, keys, read,
    read::Entry,
    settings::{READ_BATCH, READ_BATCH_BYTES, Settings},
};
use crate::hub::replica::contract::Feed;

/// Loads what there is, within bounds, and gives it to the hub. Gives where the tail ends.
pub(super) async fn load(
    connection: &mut Connection,
    settings: &Settings,
    feed: &Feed,
    past: &[u64],
) -> Result<ReadPosition, RedisError> {
    let epoch = history(connection, settings, past).await?;
    let keys = keys::find(connection, settings, epoch, &feed.in_use()).await?;
    let before = read::look(connection, settings, "0-0", 0).await?.seen;
    let (entries, is_all) = tail(connection, settings, epoch).await?;
    let last = entries.last().map_or(before.last, |entry| entry.id.clone());
    // Asked only now: what was never let go until here was not let go while the tail was read.
    let look = read::look(connection, settings, &last, READ_BATCH).await?;
    let (after, newer) = (&look.seen, look.entries.len());
    let is_counted = look.is_all && (after.is_there || after.last == last);
    let added = after.added.filter(|_| is_counted).map(|added| added.saturating_sub(newer as u64));
    let gone_through = match entries.first() {
        _ if is_all && after.added == Some(after.length) => 0,
        Some(first) => epoch.through(&first.id).saturating_sub(1),
        None => epoch.through(&last),
    };
    let now = time(connection).await?;
    feed.begin_epoch(epoch.number(), gone_through);
    keys.into_iter().for_each(|(topic, newest)| feed.apply_keys(&topic, newest));
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        read::give(entries.by_ref().take(READ_BATCH), epoch, Some(now), settings, feed);
        tokio::task::yield_now().await;
    }
    Ok(ReadPosition { epoch, last, added, run: connection.run().cloned() })
}

/// The time by Redis's clock, by which it gives ids.
async fn time(connection: &mut Connection) -> Result<Duration, RedisError> {
    let mut call = cmd("EVAL");
    // Who may use scripts may ask by one.
    call.arg("return redis.call('TIME')").arg(0);
    let (seconds, micros): (u64, u64) = call.query_async(connection.inner()).await?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// The history that is now. Another one takes the place of what is none, of one that was over already, and of one that has no
/// positions for what the stream gives.
async fn history(connection: &mut Connection, settings: &Settings, past: &[u64]) -> Result<Epoch, RedisError> {
    for _ in 0..ATTEMPTS {
        let look = read::look(connection, settings, "0-0", 0).await?;
        let last = &look.seen.last;
        match look.seen.epoch {
            // Redis has gone back to before another began. Ids of it may be given twice.
            Some(epoch) if past.contains(&epoch.number()) => {
                read::renew(connection, settings, &look.epoch, |number| epoch.renewed(number, last)).await?;
            }
            Some(epoch) if epoch.covers(last) || (look.seen.length == 0 && last == "0-0") => return Ok(epoch),
            _ => {
                let first = first_outside(connection, settings).await?.unwrap_or_else(|| last.clone());
                read::renew(connection, settings, &look.epoch, |number| Epoch::new(number, &first)).await?;
            }
        }
    }
    Err(RedisError::protocol("the epoch in redis is changed again and again"))
}

/// The first entry that has no position in a history whose ids are not counted from a first millisecond.
async fn first_outside(connection: &mut Connection, settings: &Settings) -> Result<Option<String>, RedisError> {
    let look = read::look(connection, settings, LAST_OF_PLAIN, 1).await?;
    Ok(look.entries.into_iter().next().map(|entry| entry.id))
}

/// The newest entries of a history, in order, and whether they are all.
async fn tail(
    connection: &mut Connection,
    settings: &Settings,
    epoch: Epoch,
) -> Result<(Vec<Entry>, bool), RedisError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    let mut is_all = false;
    while !is_all && entries.len() < settings.tail_entries && bytes < settings.tail_bytes {
        let before = entries.last().map_or("+", |oldest| &oldest.id);
        let mut call = cmd("EVAL");
        call.arg(TAIL).arg(1).arg(settings.stream()).arg(before).arg(epoch.lowest());
        call.arg(READ_BATCH.min(settings.tail_entries - entries.len())).arg(settings.largest).arg(READ_BATCH_BYTES);
        let (page, ends): (Value, u8) = call.query_async(connection.inner()).await?;
        let page = read::entries(page);
        is_all = ends > 0 || page.is_empty();
        bytes += page.iter().map(Entry::size).sum::<usize>();
        entries.extend(page);
    }
    entries.reverse();
    let oldest = oldest(&entries, settings);
    is_all &= oldest == 0;
    entries.drain(..oldest);
    Ok((entries, is_all))
}

/// The first entry that is not too old, by the newest's clock, which is Redis's.
fn oldest(entries: &[Entry], settings: &Settings) -> usize {
    let ms = |entry: &Entry| id::parts(&entry.id).map_or(0, |(ms, _)| ms);
    let (Some(age), Some(newest)) = (settings.age, entries.last()) else { return 0 };
    let from = ms(newest).saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    entries.partition_point(|entry| ms(entry) < from)
}

const TAIL: &str = concat!(include_str!("page.lua"), include_str!("tail.lua"));

/// The maximum number of attempts to set another epoch: another node may do so at the same time.
const ATTEMPTS: usize = 4;
