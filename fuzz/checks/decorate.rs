//! A decorated stream means what it meant before, however its bytes arrive.
//!
//! The input is a plan: a byte of [options](Plan::read), and then parts, each behind a byte with its length and with
//! what happens before it arrives. So a text of printable characters is a plan, too.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::ready,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep};
use tower::{Layer, Service, service_fn};
use tower_sse::{
    Heartbeat, SseLayer, StreamSettings,
    decode::{Decoder, Item},
    event_name,
};

/// Panics if the property does not hold for this plan.
pub(crate) fn check(input: &[u8]) {
    let plan = Plan::read(input);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let sent = runtime.expect("the runtime is built").block_on(plan.sent());
    let own = plan.bytes();
    let (before, after) = (plan.meant_by(&own), plan.meant_by(&sent));
    match plan.end {
        // Whole events are sent, and none is skipped.
        End::Deadline => assert!(events(&before.0).starts_with(&events(&after.0)), "{sent:?}"),
        // An unfinished line is ended, and may be a comment or a `retry:`.
        End::Error => assert_eq!(events(&after.0), events(&before.0), "{sent:?}"),
        End::Clean => assert_eq!(after, before, "{sent:?}"),
    }
    if let (Beat::Off, End::Clean) = (plan.beat, plan.end) {
        let without = if MARK.starts_with(&own) { Some(&b""[..]) } else { own.strip_prefix(MARK) };
        // A second mark is preceded by a comment.
        let guard = if without.is_some_and(|rest| rest.starts_with(&MARK[..1])) { PRELUDE } else { b"" };
        assert_eq!(sent, [PRELUDE, guard, without.unwrap_or(&own)].concat());
    }
}

#[derive(Debug, Clone)]
struct Plan {
    beat: Beat,
    end: End,
    steps: VecDeque<Step>,
}

#[derive(Debug, Clone, Copy)]
enum Beat {
    Comment,
    Named,
    Off,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Clean,
    Error,
    Deadline,
}

#[derive(Debug, Clone)]
enum Step {
    Give(Bytes),
    /// Pending now, and ready at once again.
    Yield,
    Wait(Duration),
}

impl Plan {
    fn read(input: &[u8]) -> Self {
        let (&options, mut rest) = input.split_first().unwrap_or((&0, &[]));
        let beat = [Beat::Comment, Beat::Named, Beat::Off, Beat::Comment][usize::from(options & 3)];
        let end = [End::Clean, End::Error, End::Deadline, End::Clean][usize::from(options >> 2 & 3)];
        let mut steps = VecDeque::new();
        while let Some((&control, part)) = rest.split_first() {
            match control >> 5 {
                0 | 1 => {}
                2 => steps.push_back(Step::Yield),
                more => steps.push_back(Step::Wait(WAITS[usize::from(more - 3)] * SECOND)),
            }
            let (part, after) = part.split_at(part.len().min(usize::from(control & 31)));
            steps.push_back(Step::Give(Bytes::copy_from_slice(part)));
            rest = after;
        }
        Self { beat, end, steps }
    }

    /// Returns the upstream's bytes.
    fn bytes(&self) -> Vec<u8> {
        let parts = self.steps.iter().map(|step| if let Step::Give(part) = step { &part[..] } else { b"" });
        parts.collect::<Vec<_>>().concat()
    }

    /// Returns the bytes that the client receives.
    async fn sent(&self) -> Vec<u8> {
        let heartbeat = match self.beat {
            Beat::Comment => Heartbeat::every(10 * SECOND),
            Beat::Named => Heartbeat::event(10 * SECOND, &event_name!("beat")),
            Beat::Off => Heartbeat::off(),
        };
        let inside = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(self.response())));
        let mut service = SseLayer::decorate().heartbeat(heartbeat).layer(inside);
        let response = service.call(Request::new(())).await.expect("the service is infallible");
        let mut body = std::pin::pin!(response.into_body());
        let mut sent = Vec::new();
        while let Some(frame) = body.as_mut().frame().await {
            let data = frame.expect("the end is clean").into_data().expect("no trailers");
            assert!(!data.is_empty(), "an empty frame");
            sent.extend_from_slice(&data);
        }
        assert!(body.as_mut().frame().await.is_none(), "the end is final");
        sent
    }

    fn response(&self) -> Response<Scripted> {
        let script = Scripted { steps: self.steps.clone(), fails: matches!(self.end, End::Error), sleep: None };
        let mut response = Response::new(script);
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
        if let End::Deadline = self.end {
            response.extensions_mut().insert(StreamSettings::new().deadline(Instant::now() + 10 * SECOND));
        }
        response
    }

    /// Returns the events that a client reads from these bytes, without heartbeats and prelude, and its last event id.
    fn meant_by(&self, mut bytes: &[u8]) -> (Vec<Item>, String) {
        let mut decoder = Decoder::new();
        let mut items = Vec::new();
        while let Some(item) = decoder.decode(&mut bytes).expect("the stream is within the limits") {
            let is_beat = match &item {
                Item::Comment(text) => text.is_empty(),
                Item::Event(event) => matches!(self.beat, Beat::Named) && event.name() == Some(&event_name!("beat")),
                _ => false,
            };
            if !is_beat {
                items.push(item);
            }
        }
        (items, decoder.last_event_id().to_owned())
    }
}

fn events(items: &[Item]) -> Vec<&Item> {
    items.iter().filter(|item| matches!(item, Item::Event(_))).collect()
}

/// A body that follows a plan.
struct Scripted {
    steps: VecDeque<Step>,
    fails: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.steps.pop_front() {
                Some(Step::Give(part)) => return Poll::Ready(Some(Ok(Frame::data(part)))),
                Some(Step::Wait(time)) => self.sleep = Some(Box::pin(sleep(time))),
                Some(Step::Yield) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => return Poll::Ready(self.fails.then_some(Err("the plan says so"))),
            }
        }
    }
}

/// The first step is that of small letters, and longer than the interval of heartbeats.
const WAITS: [u32; 5] = [12, 4, 8, 16, 20];
const SECOND: Duration = Duration::from_secs(1);
const MARK: &[u8] = "\u{feff}".as_bytes();
const PRELUDE: &[u8] = b":\n";
