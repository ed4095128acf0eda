//! How what is published on a node gets to Redis: in the order of the calls, many at a time, each once.

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
    epoch::Epoch,
    error::RedisError,
    settings::Settings,
};
use crate::{
    event::field::EventId,
    hub::{error::PublishError, replica::contract::Outgoing},
    panic,
    time::{deadline::saturating_deadline, jitter},
};

/// The way to the task that sends.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<PendingPublish>,
    bytes: Arc<AtomicUsize>,
    up_to: Duration,
}

/// What is to be sent, and who waits for what becomes of it.
#[derive(Debug)]
pub(super) struct PendingPublish {
    outgoing: Outgoing,
    until: Instant,
    done: oneshot::Sender<Result<EventId, PublishError>>,
    _bytes: Bytes,
}

/// A share of the bytes that may wait.
#[derive(Debug)]
struct Bytes(usize, Arc<AtomicUsize>);

impl Queue {
    pub(super) fn new(settings: &Settings) -> (Self, mpsc::Receiver<PendingPublish>) {
        let (sender, receiver) = mpsc::channel(MAX_QUEUED);
        (Self { sender, bytes: Arc::default(), up_to: settings.publish_within }, receiver)
    }

    pub(super) fn enqueue(
        &self,
        outgoing: Outgoing,
    ) -> impl Future<Output = Result<EventId, PublishError>> + Send + use<> {
        let size = outgoing.events.iter().map(|(_, event)| event.encoded_len()).sum();
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        let (done, outcome) = oneshot::channel();
        let until = saturating_deadline(Instant::now(), self.up_to);
        let job = PendingPublish { outgoing, until, done, _bytes: Bytes(size, Arc::clone(&self.bytes)) };
        // One that is larger than all that may wait still goes when nothing else does.
        let is_put = (before == 0 || before + size <= MAX_QUEUED_BYTES) && self.sender.try_send(job).is_ok();
        async move {
            if !is_put {
                return Err(not_sent("too much waits to be sent already"));
            }
            // Only a runtime that ends, or a panic, drops it.
            outcome.await.unwrap_or_else(|_| Err(PublishError::unknown("the task that sends has ended")))
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Sends what is put into the queue, until nothing can be put into it any more. A panic loses what was on its way.
pub(super) async fn run(
    mut jobs: mpsc::Receiver<PendingPublish>,
    commands: Arc<SharedConnection>,
    settings: Arc<Settings>,
) {
    while let Err(panicked) = panic::catch_future(send_all(&mut jobs, &commands, &settings)).await {
        settings.observer.failed(&RedisError::from(panicked));
    }
}

async fn send_all(jobs: &mut mpsc::Receiver<PendingPublish>, commands: &SharedConnection, settings: &Settings) {
    while let Some(first) = jobs.recv().await {
        let mut batch = vec![first];
        batch.extend(std::iter::from_fn(|| jobs.try_recv().ok()).take(MAX_BATCH - 1));
        if let Some(connection) = connect(&mut batch, commands, settings).await {
            send(batch, connection, commands, settings).await;
        }
    }
}

/// A connection, as soon as there is one. Those whose time is over are told, and are no part of it any more.
async fn connect(
    batch: &mut Vec<PendingPublish>,
    commands: &SharedConnection,
    settings: &Settings,
) -> Option<Connection> {
    let mut pause = FIRST_PAUSE;
    let mut why = not_sent("redis did not take what was before it in time");
    loop {
        // Also those that have waited for too long for the calls before them.
        fail_expired(batch, &why);
        let until = batch.first()?.until;
        match timeout_at(until, commands.connection(settings.publish_within)).await {
            Ok(Ok(connection)) => return Some(connection),
            Ok(Err(error)) => why = not_sent(&error.to_string()),
            Err(_) => why = not_sent("redis was not reached in time"),
        }
        sleep_until(until.min(Instant::now() + jitter::longer(pause))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tells those whose time is over that they were not sent.
fn fail_expired(batch: &mut Vec<PendingPublish>, why: &PublishError) {
    let now = Instant::now();
    let (late, rest): (Vec<_>, Vec<_>) = batch.drain(..).partition(|job| job.until <= now);
    late.into_iter().for_each(|job| drop(job.done.send(Err(why.clone()))));
    *batch = rest;
}

async fn send(batch: Vec<PendingPublish>, connection: Connection, commands: &SharedConnection, settings: &Settings) {
    let Some((again, mut connection)) = exchange(batch, connection, commands, settings).await else { return };
    // Redis has lost its scripts, and has them again on a new connection. Nothing was done.
    if let Ok(Ok(new)) = timeout(settings.publish_within, commands.connection(settings.publish_within)).await {
        connection = new;
    }
    if let Some((again, _)) = exchange(again, connection, commands, settings).await {
        for job in again {
            let _ = job.done.send(Err(not_sent("redis does not keep scripts")));
        }
    }
}

/// Sends all, and tells what became of each. Gives those for which there was no script.
async fn exchange(
    batch: Vec<PendingPublish>,
    mut connection: Connection,
    commands: &SharedConnection,
    settings: &Settings,
) -> Option<(Vec<PendingPublish>, Connection)> {
    let mut calls = pipe();
    for job in &batch {
        calls.add_command(call(&job.outgoing, &connection, settings));
    }
    let answers =
        calls.ignore_errors().query_async::<Vec<RedisResult<(String, String, Vec<String>)>>>(connection.inner());
    let answers = match timeout(settings.publish_within, answers).await {
        Ok(Ok(answers)) => answers,
        failed => {
            let why = match failed {
                Ok(Err(error)) => RedisError::from(error).into_publish_error(),
                _ => PublishError::unknown("redis did not answer in time"),
            };
            commands.broken(None).await;
            batch.into_iter().for_each(|job| drop(job.done.send(Err(why.clone()))));
            return None;
        }
    };
    let mut again = Vec::new();
    for (job, answer) in batch.into_iter().zip(answers) {
        let outcome = match answer.map_err(RedisError::from) {
            Ok((epoch, id, replaced)) => {
                replaced
                    .iter()
                    .for_each(|key| settings.observer.skipped(key, "it was of another kind, and was replaced"));
                published(&epoch, &id)
            }
            Err(error) => {
                // It may be no master any more, or have lost what it knew.
                if error.needs_reconnect() {
                    commands.broken(Some(&error)).await;
                }
                if error.is_no_script() {
                    again.push(job);
                    continue;
                }
                Err(error.into_publish_error())
            }
        };
        let _ = job.done.send(outcome);
    }
    (!again.is_empty()).then_some((again, connection))
}

fn published(epoch: &str, id: &str) -> Result<EventId, PublishError> {
    let position = Epoch::parse(epoch).map(|epoch| EventId::from_position(epoch.number(), epoch.through(id)));
    position.ok_or_else(|| PublishError::unknown("redis answered with an epoch that is none"))
}

/// The call that publishes this. What its arguments are is said in the script.
fn call(outgoing: &Outgoing, connection: &Connection, settings: &Settings) -> Cmd {
    let mut call = connection.publishes();
    call.arg(4 + usize::from(outgoing.idempotency_key.is_some()));
    call.arg(settings.stream()).arg(settings.epoch()).arg(settings.keyed()).arg(settings.latest(&outgoing.topic));
    if let Some(key) = &outgoing.idempotency_key {
        call.arg(settings.once(&outgoing.topic, key));
    }
    call.arg(format!("{:016x}", jitter::random())).arg(&*outgoing.topic).arg(settings.entries);
    call.arg(settings.age.map_or(0, whole_millis)).arg(whole_millis(settings.remember.min(LONGEST))).arg(settings.keys);
    call.arg(u8::from(outgoing.close)).arg(optional_arg(outgoing.remove_key.as_deref()));
    for (key, event) in &outgoing.events {
        call.arg(optional_arg(key.as_deref())).arg(optional_arg(event.name())).arg(&*event.data());
    }
    call
}

/// Text that there may be none of.
fn optional_arg(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!("1{text}"))
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn not_sent(why: &str) -> PublishError {
    PublishError::not_sent(why)
}

/// How many calls may wait.
const MAX_QUEUED: usize = 16_384;

/// How many bytes of events may wait.
const MAX_QUEUED_BYTES: usize = 64 << 20;

const MAX_BATCH: usize = 256;

const FIRST_PAUSE: Duration = Duration::from_millis(20);

const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Longer than anything is kept. Redis refuses an expiry that is beyond what it can tell, once the event is there.
const LONGEST: Duration = Duration::from_secs(86_400 * 365 * 30);

#[cfg(test)]
mod tests {
    use super::*;

    fn put(queue: &Queue) -> impl Future<Output = Result<EventId, PublishError>> + use<> {
        queue.enqueue(Outgoing::new("topic".into()))
    }

    /// It panicked.
    #[test]
    fn a_publish_may_take_as_long_as_it_likes() {
        let (queue, mut jobs) = Queue::new(&Settings { publish_within: Duration::MAX, ..Settings::new() });
        drop(put(&queue));
        assert!(jobs.try_recv().is_ok());
    }

    /// What had waited for too long behind other calls was sent all the same, after its publisher's limit.
    #[tokio::test(start_paused = true)]
    async fn what_has_waited_for_longer_than_it_may_is_not_sent() {
        let (queue, mut jobs) = Queue::new(&Settings::new());
        let late = put(&queue);
        tokio::time::advance(Duration::from_secs(2)).await;
        let in_time = put(&queue);
        let mut batch = vec![jobs.recv().await.unwrap(), jobs.recv().await.unwrap()];
        fail_expired(&mut batch, &not_sent("late"));
        assert!(matches!(late.await, Err(PublishError::NotSent(_))));
        assert_eq!(batch.len(), 1);
        drop(batch);
        assert!(matches!(in_time.await, Err(PublishError::Unknown(_))), "it was still to be sent");
    }
}
