//! The floor under all that runs on hyper: a body that hands over one frame, made before, when it is woken.

use std::{
    convert::Infallible,
    future::ready,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::control::{self, Command};
use bytes::Bytes;
use http::{Response, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use tokio::net::TcpListener;
use tower::service_fn;

use super::plain;
use crate::wire;

/// The newest frame, the frames of the log, and who waits.
#[derive(Default)]
struct Shared {
    round: u64,
    frame: Bytes,
    log: Vec<Bytes>,
    waiting: Vec<Option<Waker>>,
}

type Handle = Arc<Mutex<Shared>>;

struct Client {
    shared: Handle,
    /// The index among the waiting clients.
    seat: usize,
    round: u64,
    phase: Phase,
}

enum Phase {
    First,
    Log(usize),
    Watch,
    Flood(Bytes),
}

pub(crate) async fn serve(listener: TcpListener, control: TcpListener, http2: bool) -> io::Result<()> {
    let shared = Handle::default();
    let clients = Arc::clone(&shared);
    let service = service_fn(move |request: http::Request<_>| {
        let mut response = Response::new(Client::new(&clients, request.uri()));
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream"));
        ready(Ok::<_, Infallible>(response))
    });
    let mut next = [0; 2];
    tokio::select! {
        served = plain::serve(listener, service, http2) => served,
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
    state.frame = wire::events(first, command).into();
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
        Self { shared: Arc::clone(shared), seat, round, phase }
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
            Phase::Watch => (state.round > this.round).then(|| state.frame.clone()),
            Phase::Flood(frame) => Some(frame.clone()),
        };
        if let Some(frame) = frame {
            this.round = state.round;
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        state.waiting[this.seat] = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn lock(shared: &Handle) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
