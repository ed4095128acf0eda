//! A stream from the origin through a proxy to curl, and the delays of its events.

use std::{
    fmt,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tower_sse::{Heartbeat, decode::Item};
use tower_sse_e2e::client::within;

use crate::{
    client::Client,
    front::{By, Front},
    origin::{Opened, Origin},
};

/// Both ends of a stream.
pub(crate) struct Link {
    pub(crate) opened: Opened,
    pub(crate) client: Client,
}

/// The times at which events were sent and received.
pub(crate) struct Delays(Vec<(Instant, Instant)>);

impl Link {
    /// Requests a path of the proxy, with these further options of curl.
    pub(crate) async fn open(origin: &mut Origin, front: &Front, by: By, path: &str, further: &[&str]) -> Self {
        let authority = front.authority();
        let options = [&[by.option(), "--cacert", &authority], further].concat();
        let client = Client::open(&options, &front.url(by, path)).expect("curl");
        Self { opened: within(origin.opened()).await, client }
    }

    /// Sends each event only when the one before it has arrived: if this completes, the proxy holds no event back for
    /// another.
    pub(crate) async fn one_by_one(&mut self) -> Delays {
        let mut delays = Vec::new();
        for number in 0..EVENTS {
            let sent = Instant::now();
            self.send(number).await;
            assert_eq!(within(self.client.event()).await, Some(number.to_string()), "the event that was sent");
            delays.push((sent, Instant::now()));
        }
        Delays(delays)
    }

    /// Sends events at intervals, whatever arrives, then the end.
    pub(crate) async fn at_a_pace(mut self) -> Delays {
        let Opened { feed, .. } = self.opened;
        let sending = tokio::spawn(async move {
            let (mut pace, mut sent) = (interval(PACE), Vec::new());
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for number in 0..EVENTS {
                pace.tick().await;
                sent.push(Instant::now());
                feed.send(number.to_string()).await.expect("a reader");
            }
            pace.tick().await;
            sent
        });
        let mut arrived = Vec::new();
        while within(self.client.event()).await.is_some() {
            arrived.push(Instant::now());
        }
        let sent = within(sending).await.expect("no panic");
        assert_eq!(arrived.len(), sent.len(), "all arrive in the end");
        Delays(sent.into_iter().zip(arrived).collect())
    }

    /// Returns whether the stream is still open after more heartbeats than fit into the time that the proxy waits.
    pub(crate) async fn outlives_the_proxy(mut self) -> bool {
        let mut beats = 0;
        while beats < BEATS {
            match within(self.client.next()).await {
                Some(Item::Comment(_)) => beats += 1,
                Some(_) => {}
                None => return false,
            }
        }
        self.send(0).await;
        within(self.client.event()).await.is_some()
    }

    /// Breaks the connection of the client. Returns the time until the origin detects it.
    pub(crate) async fn leave(mut self) -> Duration {
        // The stream is open.
        self.send(0).await;
        assert!(within(self.client.event()).await.is_some(), "an event arrives");
        let left = Instant::now();
        self.client.leave().await;
        within(self.opened.feed.closed()).await;
        left.elapsed()
    }

    /// Breaks the connection of the client. Returns the number of the event with which the origin detects it.
    pub(crate) async fn leave_and_send(mut self) -> usize {
        self.send(0).await;
        assert!(within(self.client.event()).await.is_some(), "an event arrives");
        self.client.leave().await;
        for number in 1.. {
            // Far longer than a proxy takes to detect what it can detect.
            if timeout(SETTLED, self.opened.feed.closed()).await.is_ok() {
                return number - 1;
            }
            assert!(number < 20, "the origin does not detect that a client has left");
            // The stream may end while an event is sent.
            let _ = self.opened.feed.send(number.to_string()).await;
        }
        unreachable!("the range has no end")
    }

    async fn send(&self, number: usize) {
        self.opened.feed.send(number.to_string()).await.expect("a reader");
    }
}

/// The bytes of an origin without events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    Heartbeats,
    Nothing,
}

impl Silence {
    pub(crate) fn heartbeat(self) -> Heartbeat {
        match self {
            Self::Heartbeats => Heartbeat::every(BEAT),
            Self::Nothing => Heartbeat::off(),
        }
    }
}

impl Delays {
    pub(crate) fn median(&self) -> Duration {
        let mut sorted: Vec<_> = self.each().collect();
        sorted.sort();
        sorted[sorted.len() / 2]
    }

    /// Returns whether the first event arrived only when the last had been sent.
    pub(crate) fn first_waits_for_the_end(&self) -> bool {
        self.0[0].1 >= self.0[EVENTS - 1].0
    }

    /// Returns whether the first event arrived only when the second had been sent.
    pub(crate) fn first_waits_for_the_second(&self) -> bool {
        self.0[0].1 >= self.0[1].0
    }

    /// Returns whether some events in a row passed at once. A busy machine delays some, a proxy that buffers delays each, or
    /// each second one.
    fn are_prompt(&self) -> bool {
        let delays: Vec<_> = self.each().collect();
        delays.windows(3).any(|three| three.iter().all(|&delay| delay < PROMPT))
    }

    fn each(&self) -> impl Iterator<Item = Duration> {
        self.0.iter().map(|&(sent, arrived)| arrived - sent)
    }

    fn longest(&self) -> Duration {
        self.each().max().unwrap_or_default()
    }
}

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        write!(f, "median {:.1} ms, longest {:.1} ms", ms(self.median()), ms(self.longest()))
    }
}

/// Sends events one by one, prints their delays, and asserts that the proxy lets them pass at once.
pub(crate) async fn assert_prompt(through: &str, link: &mut Link) {
    for _ in 0..ROUNDS {
        let delays = link.one_by_one().await;
        println!("{through}: {delays}");
        if delays.are_prompt() {
            return;
        }
    }
    panic!("{through}: no events pass at once");
}

/// As often as a busy machine may need for three events in a row.
const ROUNDS: usize = 50;

/// The silence after which nothing more is expected.
const SETTLED: Duration = Duration::from_secs(1);

const EVENTS: usize = 21;
const PACE: Duration = Duration::from_millis(50);
pub(crate) const PROMPT: Duration = Duration::from_millis(50);

/// The time that a silent origin waits between heartbeats.
const BEAT: Duration = Duration::from_millis(200);
/// The number of heartbeats that take longer than the timeout that [`sooner`](crate::front::sooner) sets.
const BEATS: usize = 50;
