//! The queue of publishes, and the task that sends them to Redis: in order, pipelined, each at most once.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::redis::{Cmd, RedisResult, pipe};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    connection::{Connection, SharedConnection},
    epoch::StreamEpoch,
    error::RedisError,
    settings::Settings,
};
use crate::{
    event::field::EventId,
    hub::{error::PublishError, replica::contract::Outgoing},
    panic,
    time::{deadline::saturating_deadline, jitter},
};

/// A bounded queue to the task that sends.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<PendingPublish>,
    bytes: Arc<AtomicUsize>,
    timeout: Duration,
}

/// A publish that was not sent yet, and the channel for its outcome.
#[derive(Debug)]
pub(super) struct PendingPublish {
    outgoing: Outgoing,
    deadline: Instant,
    done: oneshot::Sender<Result<EventId, PublishError>>,
    _bytes: QueuedBytes,
}

/// A share of the bytes in the queue, which returns on drop.
#[derive(Debug)]
struct QueuedBytes(usize, Arc<AtomicUsize>);

impl Queue {
    pub(super) fn new(settings: &Settings) -> (Self, mpsc::Receiver<PendingPublish>) {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED);
        (Self { sender, bytes: Arc::default(), timeout: settings.publish_timeout }, receiver)
    }

    /// Enqueues a publish at once. The future completes with its outcome.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels nothing.
    pub(super) fn enqueue(
        &self,
        outgoing: Outgoing,
    ) -> impl Future<Output = Result<EventId, PublishError>> + Send + use<> {
        let size = outgoing.events.iter().map(|(_, event)| event.encoded_len()).sum();
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        let (done, outcome) = oneshot::channel();
        let deadline = saturating_deadline(Instant::now(), self.timeout);
        let pending = PendingPublish { outgoing, deadline, done, _bytes: QueuedBytes(size, Arc::clone(&self.bytes)) };
        // A publish above the bound of the queue is accepted if the queue is empty.
        let is_queued = (before == 0 || before + size <= MAX_QUEUED_BYTES) && self.sender.try_send(pending).is_ok();
        async move {
            if !is_queued {
                return Err(not_sent("the publish queue is full"));
            }
            // Dropped only by a panic of the task, or with its runtime.
            outcome.await.unwrap_or_else(|_| Err(PublishError::unknown("the task that publishes has ended")))
        }
    }
}

impl Drop for QueuedBytes {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Sends queued publishes until the queue is closed and empty. After a panic, the publishes of that batch are unknown.
pub(super) async fn run(
    mut pending: mpsc::Receiver<PendingPublish>,
    commands: Arc<SharedConnection>,
    settings: Arc<Settings>,
) {
    while let Err(panicked) = panic::catch_future(send_all(&mut pending, &commands, &settings)).await {
        settings.observer.failed(&RedisError::from(panicked));
    }
}

async fn send_all(pending: &mut mpsc::Receiver<PendingPublish>, commands: &SharedConnection, settings: &Settings) {
    while let Some(first) = pending.recv().await {
        let mut batch = vec![first];
        batch.extend(std::iter::from_fn(|| pending.try_recv().ok()).take(MAX_BATCH - 1));
        if let Some(connection) = wait_for_connection(&mut batch, commands, settings).await {
            send(batch, connection, commands, settings).await;
        }
    }
}

/// Waits for a connection, and fails publishes whose deadline passes meanwhile. Returns `None` once none is left.
async fn wait_for_connection(
    batch: &mut Vec<PendingPublish>,
    commands: &SharedConnection,
    settings: &Settings,
) -> Option<Connection> {
    let mut pause = MIN_PAUSE;
    let mut reason = not_sent("timed out behind earlier publishes");
    loop {
        // Before the first attempt too: a publish may have expired behind earlier ones.
        fail_expired(batch, &reason);
        let deadline = batch.first()?.deadline;
        match timeout_at(deadline, commands.get(settings.publish_timeout)).await {
            Ok(Ok(connection)) => return Some(connection),
            Ok(Err(error)) => reason = not_sent(&error.to_string()),
            Err(_) => reason = not_sent("timed out while connecting to redis"),
        }
        sleep_until(deadline.min(Instant::now() + jitter::longer(pause))).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Removes the publishes whose deadline has passed, and completes them with this error.
fn fail_expired(batch: &mut Vec<PendingPublish>, reason: &PublishError) {
    let now = Instant::now();
    let (late, rest): (Vec<_>, Vec<_>) = batch.drain(..).partition(|pending| pending.deadline <= now);
    late.into_iter().for_each(|pending| drop(pending.done.send(Err(reason.clone()))));
    *batch = rest;
}

/// Sends a batch, and sends those publishes again for which Redis had lost the script.
async fn send(batch: Vec<PendingPublish>, connection: Connection, commands: &SharedConnection, settings: &Settings) {
    let Some((again, mut connection)) = exchange(batch, connection, commands, settings).await else { return };
    // The rejected calls had no effect. A new connection loads the scripts again.
    if let Ok(Ok(new)) = timeout(settings.publish_timeout, commands.get(settings.publish_timeout)).await {
        connection = new;
    }
    if let Some((again, _)) = exchange(again, connection, commands, settings).await {
        for pending in again {
            let _ = pending.done.send(Err(not_sent("redis does not keep scripts")));
        }
    }
}

/// Sends a batch as one pipeline and completes each publish. Returns those that failed with `NOSCRIPT`, and the connection.
async fn exchange(
    batch: Vec<PendingPublish>,
    mut connection: Connection,
    commands: &SharedConnection,
    settings: &Settings,
) -> Option<(Vec<PendingPublish>, Connection)> {
    let mut calls = pipe();
    for pending in &batch {
        calls.add_command(call(&pending.outgoing, &connection, settings));
    }
    let replies =
        calls.ignore_errors().query_async::<Vec<RedisResult<(String, String, Vec<String>)>>>(connection.inner());
    let replies = match timeout(settings.publish_timeout, replies).await {
        Ok(Ok(replies)) => replies,
        failed => {
            let reason = match failed {
                Ok(Err(error)) => RedisError::from(error).into_publish_error(),
                _ => PublishError::unknown("timed out while waiting for the response of redis"),
            };
            commands.discard(None).await;
            batch.into_iter().for_each(|pending| drop(pending.done.send(Err(reason.clone()))));
            return None;
        }
    };
    let mut again = Vec::new();
    for (pending, reply) in batch.into_iter().zip(replies) {
        let outcome = match reply.map_err(RedisError::from) {
            Ok((epoch, id, replaced)) => {
                replaced.iter().for_each(|key| settings.observer.skipped(key, "replaced an invalid value"));
                published(&epoch, &id)
            }
            Err(error) => {
                // The server may have become a replica, or have lost its scripts.
                if error.needs_reconnect() {
                    commands.discard(Some(&error)).await;
                }
                if error.is_no_script() {
                    again.push(pending);
                    continue;
                }
                Err(error.into_publish_error())
            }
        };
        let _ = pending.done.send(outcome);
    }
    (!again.is_empty()).then_some((again, connection))
}

fn published(epoch: &str, id: &str) -> Result<EventId, PublishError> {
    let position = StreamEpoch::parse(epoch).map(|epoch| EventId::from_position(epoch.number(), epoch.floor(id)));
    position.ok_or_else(|| PublishError::unknown("redis responded with an invalid epoch"))
}

/// Returns the call that publishes this. `publish.lua` documents its arguments.
fn call(outgoing: &Outgoing, connection: &Connection, settings: &Settings) -> Cmd {
    let mut call = connection.publish_call();
    call.arg(4 + usize::from(outgoing.idempotency_key.is_some()));
    call.arg(settings.stream_key())
        .arg(settings.epoch_key())
        .arg(settings.keyed_key())
        .arg(settings.latest_key(&outgoing.topic));
    if let Some(key) = &outgoing.idempotency_key {
        call.arg(settings.once_key(&outgoing.topic, key));
    }
    call.arg(format!("{:016x}", jitter::random())).arg(&*outgoing.topic).arg(settings.entries);
    call.arg(settings.age.map_or(0, whole_millis))
        .arg(whole_millis(settings.idempotency_ttl.min(MAX_TTL)))
        .arg(settings.keys);
    call.arg(u8::from(outgoing.close)).arg(optional_arg(outgoing.remove_key.as_deref()));
    for (key, event) in &outgoing.events {
        let name = if event.has_data() { optional_arg(event.name()) } else { "0".to_owned() };
        let retry = event.retry().map(|retry| retry.as_millis().to_string());
        call.arg(optional_arg(key.as_deref())).arg(name).arg(&*event.data());
        call.arg(optional_arg(event.comment())).arg(optional_arg(retry.as_deref()));
    }
    call
}

/// Encodes an optional text: the empty text is `None`, and `1` precedes any other.
fn optional_arg(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!("1{text}"))
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn not_sent(reason: &str) -> PublishError {
    PublishError::not_sent(reason)
}

/// The maximum number of publishes in the queue.
const MAX_QUEUED: usize = 16_384;

/// The maximum number of bytes of events in the queue.
const MAX_QUEUED_BYTES: usize = 64 << 20;

const MAX_BATCH: usize = 256;

const MIN_PAUSE: Duration = Duration::from_millis(20);

const MAX_PAUSE: Duration = Duration::from_millis(500);

/// The maximum TTL. Redis rejects an expiry beyond its clock, and does so after the event is appended.
const MAX_TTL: Duration = Duration::from_secs(86_400 * 365 * 30);

#[cfg(test)]
mod tests {
    use super::*;

    fn enqueue(queue: &Queue) -> impl Future<Output = Result<EventId, PublishError>> + use<> {
        queue.enqueue(Outgoing::new("topic".into()))
    }

    /// The deadline overflowed, and the publish panicked.
    #[test]
    fn timeout_may_exceed_what_an_instant_holds() {
        let (queue, mut pending) = Queue::new(&Settings { publish_timeout: Duration::MAX, ..Settings::new() });
        drop(enqueue(&queue));
        assert!(pending.try_recv().is_ok());
    }

    /// A publish that had expired behind earlier ones was sent all the same.
    #[tokio::test(start_paused = true)]
    async fn expired_publish_is_not_sent() {
        let (queue, mut pending) = Queue::new(&Settings::new());
        let late = enqueue(&queue);
        tokio::time::advance(Duration::from_secs(2)).await;
        let in_time = enqueue(&queue);
        let mut batch = vec![pending.recv().await.unwrap(), pending.recv().await.unwrap()];
        fail_expired(&mut batch, &not_sent("late"));
        assert!(matches!(late.await, Err(PublishError::NotSent(_))));
        assert_eq!(batch.len(), 1);
        drop(batch);
        assert!(matches!(in_time.await, Err(PublishError::Unknown(_))), "the second publish had not expired");
    }
}
