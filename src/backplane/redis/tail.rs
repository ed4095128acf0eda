//! What a node loads when it begins, or begins anew: the newest of each key, and the tail of the stream.

use std::sync::Arc;

use ::redis::{Value, cmd, pipe};

use super::{
    entry,
    error::RedisError,
    id,
    reading::{self, Entry},
    servers::Connection,
    settings::{AT_ONCE, Settings},
    verdict::Place,
};
use crate::{
    backplane::{Feed, Incoming},
    jitter,
};

/// Loads what there is, within bounds, and gives it to the hub. Gives where the tail ends.
pub(super) async fn load(
    connection: &mut Connection,
    settings: &Settings,
    feed: &Feed,
    past: &[u64],
) -> Result<Place, RedisError> {
    let mut epoch = self::epoch(connection, settings).await?;
    if past.contains(&epoch) {
        // Redis has gone back to before another began. Ids of it may be given twice.
        reading::renew(connection, settings, epoch).await?;
        epoch = self::epoch(connection, settings).await?;
    }
    let latest = latest(connection, settings).await?;
    let before = reading::look(connection, settings, "0-0", 1).await?.seen;
    let (entries, is_all) = tail(connection, settings).await?;
    let last = entries.last().map_or(before.last, |entry| entry.id.clone());
    // Asked only now: what was never let go until here was not let go while the tail was read.
    let reading::Look { seen: after, entries: newer } = reading::look(connection, settings, &last, AT_ONCE).await?;
    let is_counted = newer.len() < AT_ONCE && (after.is_there || after.last == last);
    let added = after.added.filter(|_| is_counted).map(|added| added.saturating_sub(newer.len() as u64));
    let gone_through = match entries.first() {
        _ if is_all && after.added == Some(after.length) => 0,
        Some(first) => id::sequence(&first.id).unwrap_or(0).saturating_sub(1),
        None => id::sequence(&last).unwrap_or(0),
    };
    feed.begin(epoch, gone_through);
    latest.into_iter().for_each(|incoming| feed.give_latest(incoming));
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        reading::give(entries.by_ref().take(AT_ONCE), settings, feed);
        tokio::task::yield_now().await;
    }
    Ok(Place { epoch, last, added })
}

/// The epoch, a new one if there is none.
async fn epoch(connection: &mut Connection, settings: &Settings) -> Result<u64, RedisError> {
    let new = format!("{:016x}", jitter::random());
    let mut calls = pipe();
    calls.cmd("SET").arg(settings.epoch()).arg(new).arg("NX").ignore().cmd("GET").arg(settings.epoch());
    let (epoch,): (String,) = calls.query_async(connection.inner()).await?;
    u64::from_str_radix(&epoch, 16).map_err(|_| RedisError::said("the epoch in redis is none"))
}

/// The newest event of each key of all topics.
async fn latest(connection: &mut Connection, settings: &Settings) -> Result<Vec<Incoming>, RedisError> {
    let topics: Vec<Vec<u8>> = cmd("SMEMBERS").arg(settings.keyed()).query_async(connection.inner()).await?;
    // Anybody may have written anything there.
    let topics: Vec<Arc<str>> =
        topics.into_iter().filter_map(|topic| String::from_utf8(topic).ok()).map(Arc::from).collect();
    let mut all = Vec::new();
    for some in topics.chunks(TOPICS_AT_ONCE) {
        let mut calls = pipe();
        for topic in some {
            calls.cmd("HGETALL").arg(settings.latest(topic));
        }
        let keys: Vec<Vec<(Vec<u8>, Vec<u8>)>> = calls.query_async(connection.inner()).await?;
        for (topic, keys) in some.iter().zip(keys) {
            all.extend(keys.iter().filter_map(|(key, value)| key_of(topic, key, value, settings)));
        }
    }
    Ok(all)
}

fn key_of(topic: &Arc<str>, key: &[u8], value: &[u8], settings: &Settings) -> Option<Incoming> {
    let key = std::str::from_utf8(key).ok()?;
    match entry::parse_latest(topic, key, value) {
        Ok(incoming) => Some(incoming),
        Err(why) => {
            settings.observer.skipped(key, why);
            None
        }
    }
}

/// The newest entries, in order, and whether they are all.
async fn tail(connection: &mut Connection, settings: &Settings) -> Result<(Vec<Entry>, bool), RedisError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    let mut is_all = false;
    while !is_all && entries.len() < settings.tail_entries && bytes < settings.tail_bytes {
        let before = entries.last().map_or_else(|| "+".to_owned(), |oldest| format!("({}", oldest.id));
        let count = AT_ONCE.min(settings.tail_entries - entries.len());
        let mut call = cmd("XREVRANGE");
        call.arg(settings.stream()).arg(before).arg("-").arg("COUNT").arg(count);
        let page: Value = call.query_async(connection.inner()).await?;
        let page = reading::entries(page);
        is_all = page.len() < count;
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

const TOPICS_AT_ONCE: usize = 64;
