//! The floor under all that runs on hyper: a body that hands over one frame, made before, when it is woken, and
//! the next one when it is polled again.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::ready,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::control::{self, Command};
use bytes::Bytes;
use http::{Response, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use tokio::{
    net::TcpListener,
    time::{self, Instant, Interval},
};
use tower::service_fn;

use super::{Form, plain};
use crate::wire;

/// The last frames, the frames of the log, and the wakers of those that wait.
#[derive(Default)]
struct Shared {
    /// The number of publishes so far.
    round: u64,
    /// One for each of the last publishes, the newest at the back.
    frames: VecDeque<Bytes>,
    log: Vec<Bytes>,
    waiting: Vec<Option<Waker>>,
}

type Handle = Arc<Mutex<Shared>>;

struct Client {
    shared: Handle,
    /// The index among the waiting clients.
    seat: usize,
    /// The number of publishes that it has.
    round: u64,
    phase: Phase,
    /// A timer of its own, for comments at this interval. No client of other cases has one.
    beat: Option<Box<Interval>>,
}

enum Phase {
    First,
    Log(usize),
    Watch,
    Flood(Bytes),
}

pub(crate) async fn serve(listener: TcpListener, control: TcpListener, form: Form) -> io::Result<()> {
    let shared = Handle::default();
    let clients = Arc::clone(&shared);
    let service = service_fn(move |request: http::Request<_>| {
        let mut response = Response::new(Client::new(&clients, request.uri()));
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream"));
        ready(Ok::<_, Infallible>(response))
    });
    let mut next = [0; 2];
    tokio::select! {
        served = plain::serve(listener, service, form) => served,
        obeyed = control::obey(control, |command| publish(&shared, &mut next, command)) => obeyed,
    }
}

fn publish(shared: &Handle, next: &mut [u64; 2], command: Command) {
    let first = next[usize::from(command.to_log)];
    next[usize::from(command.to_log)] += command.events;
    let mut state = lock(shared);
    if command.to_log {
        let frames = wire::frames(first, command);
        state.log.extend(frames);
        return;
    }
    state.round += 1;
    if state.frames.len() == FRAMES {
        state.frames.pop_front();
    }
    state.frames.push_back(wire::events(first, command).into());
    let waiting: Vec<_> = state.waiting.iter_mut().filter_map(Option::take).collect();
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

impl Client {
    fn new(shared: &Handle, uri: &http::Uri) -> Self {
        let mut state = lock(shared);
        state.waiting.push(None);
        let (seat, round) = (state.waiting.len() - 1, state.round);
        drop(state);
        let phase = match uri.path() {
            "/first" => Phase::First,
            "/log" => Phase::Log(0),
            "/flood" => Phase::Flood(wire::flood(wire::size(uri.query())).into()),
            _ => Phase::Watch,
        };
        let beat = uri.query().and_then(|query| query.strip_prefix("ms=")?.parse().ok()).map(|ms| beat(seat, ms));
        Self { shared: Arc::clone(shared), seat, round, phase, beat }
    }
}

impl Shared {
    /// Returns the frame after this many publishes. A client that is too far behind skips some, which the load reports.
    fn next(&self, round: &mut u64) -> Option<Bytes> {
        let behind = usize::try_from(self.round - *round).unwrap_or(usize::MAX).min(self.frames.len());
        let frame = self.frames.get(self.frames.len() - behind)?.clone();
        *round = self.round - behind as u64 + 1;
        Some(frame)
    }
}

impl Body for Client {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let mut state = lock(&this.shared);
        let frame = match &mut this.phase {
            Phase::First => {
                this.phase = Phase::Watch;
                Some(Bytes::from_static(wire::FIRST))
            }
            Phase::Log(at) => {
                *at += 1;
                state.log.get(*at - 1).cloned()
            }
            Phase::Watch => state.next(&mut this.round),
            Phase::Flood(frame) => Some(frame.clone()),
        };
        if let Some(frame) = frame {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        state.waiting[this.seat] = Some(cx.waker().clone());
        drop(state);
        let Some(beat) = &mut this.beat else { return Poll::Pending };
        beat.poll_tick(cx).map(|_| Some(Ok(Frame::data(Bytes::from_static(b":\n")))))
    }
}

/// Creates the timer of a client. Those of neighbours are spread over the interval, as if their clients had come then.
fn beat(seat: usize, ms: u64) -> Box<Interval> {
    let first = (seat as u64).wrapping_mul(7919) % ms;
    Box::new(time::interval_at(Instant::now() + Duration::from_millis(first), Duration::from_millis(ms)))
}

/// The number of publishes that a client may be behind.
const FRAMES: usize = 256;

fn lock(shared: &Handle) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_gets_each_frame_that_is_kept() {
        let (shared, mut next, mut round) = (Handle::default(), [0; 2], 0);
        (0..3).for_each(|_| publish(&shared, &mut next, Command::new(false, 1, 64)));
        let got = |round: &mut u64| lock(&shared).next(round);
        let first = got(&mut round).expect("the first of three");
        assert_eq!(first, wire::events(0, Command::new(false, 1, 64)));
        assert!(got(&mut round).is_some() && got(&mut round).is_some(), "the second and the third");
        assert_eq!(got(&mut round), None);

        (0..=FRAMES).for_each(|_| publish(&shared, &mut next, Command::new(false, 1, 64)));
        assert_eq!(got(&mut round), Some(wire::events(4, Command::new(false, 1, 64)).into()), "one is skipped");
    }
}
