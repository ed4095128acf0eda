//! Provides the timer wheel of a runtime: one task that wakes its streams, all that are due within a tick at once.
//!
//! A wake of an idle runtime costs more than a heartbeat, so streams share it. The first stream that arms its timer in a runtime
//! spawns the task, which ends a while after the last entry. An entry is a reference to a stream's control block; it is not
//! removed when the stream ends, but is due within [`HORIZON`].
//!
//! Lock order: the list of wheels is locked only to find or to remove one. No waker is woken under a lock.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    runtime::{Handle, Id},
    sync::Notify,
    task,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    panic,
    streams::control::StreamControl,
    time::{
        alarm::{Alarm, TICK},
        calendar::Calendar,
    },
};

/// Adds a stream to the wheel of the current runtime. Returns the time at which the wheel wakes the stream: for an alarm that
/// is not coarse, or is far away, that may be before the alarm.
///
/// Returns `None` if the alarm is too near for the wheel, or there is no runtime that can have one.
pub(super) fn arm(stream: &Arc<StreamControl>, alarm: Alarm, now: Instant) -> Option<Instant> {
    let runtime = Handle::try_current().ok()?;
    (0..WHEELS_TRIED).find_map(|_| Wheel::of(&runtime).add(stream, alarm, now).ok()).flatten()
}

/// The timer wheel of a runtime.
#[derive(Debug)]
struct Wheel {
    /// The time of tick 0.
    origin: Instant,
    slots: Mutex<Slots>,
    /// Notified if the next tick is sooner than it was.
    is_sooner: Notify,
}

#[derive(Debug)]
struct Slots {
    streams: Calendar<Weak<StreamControl>>,
    /// The task has ended, so nothing may be added.
    is_closed: bool,
}

/// The error of a wheel whose task has ended.
#[derive(Debug)]
struct Closed;

/// The task of a wheel. Dropping it closes the wheel, and has its streams arm their timers elsewhere.
struct Driver {
    wheel: Arc<Wheel>,
}

/// Streams whose tick is due. Dropping it has those that are left arm their timers again: their runtime has ended.
struct Due(Vec<Weak<StreamControl>>);

thread_local! {
    /// The wheel that this thread used last, so that threads of different runtimes share no lock.
    static LAST: RefCell<Option<(Id, Weak<Wheel>)>> = const { RefCell::new(None) };
}

static ALL: Mutex<Vec<(Id, Weak<Wheel>)>> = Mutex::new(Vec::new());

impl Wheel {
    /// Returns the wheel of a runtime, which may have closed meanwhile.
    fn of(runtime: &Handle) -> Arc<Self> {
        let id = runtime.id();
        let find = |(of, wheel): &(Id, Weak<Self>)| wheel.upgrade().filter(|wheel| *of == id && !wheel.is_closed());
        if let Ok(Some(wheel)) = LAST.try_with(|last| last.borrow().as_ref().and_then(find)) {
            return wheel;
        }
        let wheel = Self::shared(runtime, find);
        let _ = LAST.try_with(|last| *last.borrow_mut() = Some((id, Arc::downgrade(&wheel))));
        wheel
    }

    /// Returns the wheel of a runtime from the list of all, or a new one, whose task is spawned.
    fn shared(runtime: &Handle, find: impl Fn(&(Id, Weak<Self>)) -> Option<Arc<Self>>) -> Arc<Self> {
        // Panics in a runtime without timers. In the task it would do so too, and again for each stream that arms its timer anew.
        drop(sleep(Duration::ZERO));
        let mut all = lock(&ALL);
        if let Some(wheel) = all.iter().find_map(find) {
            return wheel;
        }
        let wheel = Arc::new(Self::new(Instant::now()));
        all.push((runtime.id(), Arc::downgrade(&wheel)));
        drop(all);
        // Created before it is spawned: a runtime that is shutting down drops the task instead.
        let driver = Driver { wheel: Arc::clone(&wheel) };
        runtime.spawn(driver.run());
        wheel
    }

    fn new(origin: Instant) -> Self {
        let slots = Slots { streams: Calendar::new(), is_closed: false };
        Self { origin, slots: Mutex::new(slots), is_sooner: Notify::new() }
    }

    fn is_closed(&self) -> bool {
        lock(&self.slots).is_closed
    }

    /// Adds a stream. Returns the time at which it is woken, unless that is too near.
    fn add(&self, stream: &Arc<StreamControl>, alarm: Alarm, now: Instant) -> Result<Option<Instant>, Closed> {
        let tick = self.tick_of(alarm).min(self.ticks_before(now) + HORIZON);
        let Some(at) = self.time_of(tick).filter(|&at| at > now) else { return Ok(None) };
        let mut slots = lock(&self.slots);
        if slots.is_closed {
            return Err(Closed);
        }
        let is_sooner = slots.streams.insert(tick, Arc::downgrade(stream));
        drop(slots);
        if is_sooner {
            self.is_sooner.notify_one();
        }
        Ok(Some(at))
    }

    /// Returns the tick at or after a coarse alarm, or at or before one that is not.
    fn tick_of(&self, alarm: Alarm) -> u64 {
        let before = self.ticks_before(alarm.at);
        let is_after = self.time_of(before).is_some_and(|at| at < alarm.at);
        if alarm.is_coarse && is_after { before + 1 } else { before }
    }

    fn ticks_before(&self, at: Instant) -> u64 {
        let ticks = at.saturating_duration_since(self.origin).as_millis() / TICK.as_millis();
        u64::try_from(ticks).unwrap_or(u64::MAX / 2)
    }

    fn time_of(&self, tick: u64) -> Option<Instant> {
        self.origin.checked_add(TICK.checked_mul(u32::try_from(tick).ok()?)?)
    }

    /// Waits until the next tick with a stream, or until there is a sooner one. Returns `true` if there was none for a while.
    async fn wait(&self) -> bool {
        let next = lock(&self.slots).streams.next_tick();
        let until = next.and_then(|tick| self.time_of(tick)).unwrap_or_else(|| Instant::now() + LINGER);
        timeout_at(until, self.is_sooner.notified()).await.is_err() && next.is_none()
    }

    /// Removes the streams of a tick that is due.
    fn take_due(&self) -> Option<Due> {
        let tick = self.ticks_before(Instant::now());
        lock(&self.slots).streams.take_due(tick).map(Due)
    }

    /// Closes the wheel, unless it has a stream again.
    fn close_if_empty(&self) -> bool {
        let mut slots = lock(&self.slots);
        slots.is_closed |= slots.streams.next_tick().is_none();
        slots.is_closed
    }

    /// Closes the wheel. Returns the streams that it still has.
    fn close(&self) -> Due {
        let mut slots = lock(&self.slots);
        slots.is_closed = true;
        Due(std::iter::from_fn(|| slots.streams.take_due(u64::MAX)).flatten().collect())
    }
}

impl Driver {
    async fn run(self) {
        loop {
            if self.wheel.wait().await && self.wheel.close_if_empty() {
                return;
            }
            while let Some(due) = self.wheel.take_due() {
                due.fire().await;
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _left = self.wheel.close();
        // The runtime may have another wheel by now.
        lock(&ALL).retain(|(_, wheel)| wheel.as_ptr() != Arc::as_ptr(&self.wheel));
    }
}

impl Due {
    /// Wakes the streams, and lets other tasks run meanwhile.
    async fn fire(mut self) {
        while !self.0.is_empty() {
            let batch = self.0.split_off(self.0.len().saturating_sub(BATCH));
            for_each(&batch, StreamControl::fire_timer);
            task::yield_now().await;
        }
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        for_each(&self.0, StreamControl::lose_timer);
    }
}

/// Calls this for each stream that is left, also for those after one whose waker panics.
fn for_each(streams: &[Weak<StreamControl>], wake: impl Fn(&StreamControl)) {
    let mut streams = streams.iter().filter_map(Weak::upgrade);
    while panic::catch(|| streams.by_ref().for_each(|stream| wake(&stream))).is_none() {}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most ticks that an entry lies ahead, which are 30 s. A stream that is to be woken later is woken then too, and armed
/// again; one that has ended leaves its entry for as long.
const HORIZON: u64 = 300;

/// The time without streams after which the task ends.
const LINGER: Duration = Duration::from_secs(1);

/// The number of streams that are woken before other tasks run.
const BATCH: usize = 128;

/// The number of wheels that are tried: one may close just then, and one that closes at once is of a runtime that shuts down.
const WHEELS_TRIED: usize = 2;

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        task::{Wake, Waker},
    };

    use proptest::prelude::*;
    use tokio::{
        runtime::{Builder, Runtime},
        time::advance,
    };

    use super::*;
    use crate::panic::tests::Unreliable;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// Returns a stream with this waker.
    fn stream(waker: &Waker) -> Arc<StreamControl> {
        let stream = Arc::new(StreamControl::new());
        stream.register_waker(waker);
        stream
    }

    fn paused() -> Runtime {
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("the runtime is built")
    }

    fn in_ms(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    fn alive_tasks() -> usize {
        Handle::current().metrics().num_alive_tasks()
    }

    #[tokio::test(start_paused = true)]
    async fn streams_of_a_tick_are_woken_together_and_none_early() {
        let wakes = Arc::new(Wakes::default());
        let waker = Arc::clone(&wakes).into();
        let streams = [(); 1000].map(|()| stream(&waker));
        // The first one begins the wheel.
        let fires_at: Vec<_> =
            (1001..).zip(&streams).map(|(at, stream)| arm(stream, Alarm::coarse(in_ms(at)), Instant::now())).collect();
        let mut ticks = fires_at.clone();
        ticks.dedup();
        assert_eq!(ticks.len(), 10, "1,000 times within a second");
        for tick in ticks.into_iter().flatten() {
            let before = fires_at.iter().filter(|&&at| at < Some(tick)).count();
            tokio::time::sleep_until(tick - Duration::from_millis(1)).await;
            assert_eq!(wakes.0.load(SeqCst), before);
            sleep(Duration::from_millis(3)).await;
            assert_eq!(wakes.0.load(SeqCst), before + 100);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn task_ends_after_the_last_stream() {
        let stream = stream(Waker::noop());
        for _ in 0..2 {
            assert!(arm(&stream, Alarm::coarse(in_ms(500)), Instant::now()).is_some());
            assert_eq!(alive_tasks(), 1);
            sleep(Duration::from_secs(1)).await;
            assert!(stream.has_timer_fired(|| 0));
            assert_eq!(alive_tasks(), 1, "the stream may be armed again");
            sleep(LINGER * 2).await;
            assert_eq!(alive_tasks(), 0);
        }
    }

    /// The task panicked, and its streams began another, and so on.
    #[test]
    #[should_panic(expected = "timers are disabled")]
    fn runtime_without_timers_has_no_wheel() {
        let runtime = Builder::new_current_thread().build().expect("the runtime is built");
        runtime.block_on(async {
            let _ = arm(&stream(Waker::noop()), Alarm::coarse(Instant::now() + Duration::from_secs(1)), Instant::now());
        });
    }

    #[test]
    fn streams_of_an_ended_runtime_are_woken_to_arm_elsewhere() {
        let wakes = Arc::new(Wakes::default());
        let stream = stream(&Arc::clone(&wakes).into());
        let (first, second) = (paused(), paused());
        first.block_on(async { assert!(arm(&stream, Alarm::coarse(in_ms(500)), Instant::now()).is_some()) });
        drop(first);
        assert_eq!(wakes.0.load(SeqCst), 1);
        assert!(stream.has_timer_fired(|| u64::MAX), "it is lost");
        second.block_on(async {
            assert!(arm(&stream, Alarm::coarse(in_ms(500)), Instant::now()).is_some());
            sleep(Duration::from_secs(1)).await;
            assert!(stream.has_timer_fired(|| 0));
        });
    }

    #[test]
    fn runtime_that_ends_within_a_tick_loses_no_stream() {
        let wakes = Arc::new(Wakes::default());
        let waker = Arc::clone(&wakes).into();
        let (runtime, streams) = (paused(), [(); BATCH * 3].map(|()| stream(&waker)));
        runtime.block_on(async {
            for stream in &streams {
                assert!(arm(stream, Alarm::coarse(in_ms(500)), Instant::now()).is_some());
            }
            task::yield_now().await;
            advance(Duration::from_secs(1)).await;
            while wakes.0.load(SeqCst) == 0 {
                task::yield_now().await;
            }
        });
        let before = wakes.0.load(SeqCst);
        assert!(before > 0 && before < streams.len(), "{before} are woken when it ends");
        drop(runtime);
        assert_eq!(wakes.0.load(SeqCst), streams.len());
    }

    #[tokio::test(start_paused = true)]
    async fn panicking_waker_does_not_end_the_wheel() {
        let moody = Arc::new(Unreliable::default());
        let streams = [(); 3].map(|()| stream(&Arc::clone(&moody).into()));
        for stream in &streams {
            assert!(arm(stream, Alarm::coarse(in_ms(500)), Instant::now()).is_some());
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(moody.0.load(SeqCst), 3);
        assert!(streams.iter().all(|stream| stream.has_timer_fired(|| 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn entry_of_an_ended_stream_is_dropped_within_the_horizon() {
        let stream = stream(Waker::noop());
        assert!(arm(&stream, Alarm::coarse(in_ms(3_600_000)), Instant::now()).is_some());
        let stream = Arc::downgrade(&{ stream });
        advance(TICK * 300 + TICK).await;
        task::yield_now().await;
        assert_eq!(stream.weak_count(), 0, "no count is left beside one that cannot be upgraded");
    }

    #[tokio::test(start_paused = true)]
    async fn stream_that_is_armed_sooner_is_woken_sooner() {
        let stream = stream(Waker::noop());
        assert!(arm(&stream, Alarm::coarse(in_ms(9_000)), Instant::now()).is_some());
        assert!(arm(&stream, Alarm::coarse(in_ms(500)), Instant::now()).is_some());
        sleep(Duration::from_millis(700)).await;
        assert!(stream.has_timer_fired(|| 500_000));
        sleep(Duration::from_secs(9)).await;
        assert!(!stream.has_timer_fired(|| 20_000_000), "an earlier timer does not count");
    }

    proptest! {
        #[test]
        fn tick_is_at_most_one_after_a_coarse_alarm_and_before_an_exact_one(
            now in 0_u64..100_000_000,
            ahead in 0_u64..200_000_000,
            is_coarse: bool,
        ) {
            let runtime = paused();
            let _clock = runtime.enter();
            let wheel = Wheel::new(Instant::now());
            let now = wheel.origin + Duration::from_micros(now);
            let at = now + Duration::from_micros(ahead);
            let added = wheel.add(&stream(Waker::noop()), Alarm { at, is_coarse }, now).expect("the wheel is open");
            let (horizon, tick) = (TICK * 300, TICK);
            match added {
                Some(fires_at) if at > now + horizon => assert!(fires_at > now + horizon - tick && fires_at < at),
                Some(fires_at) if is_coarse => assert!(fires_at >= at.min(now + horizon - tick) && fires_at < at + tick),
                Some(fires_at) => assert!(fires_at > now && fires_at <= at && fires_at + tick > at.min(now + horizon)),
                None => assert!(at <= now || (!is_coarse && at < now + tick), "only what is near"),
            }
        }
    }
}
