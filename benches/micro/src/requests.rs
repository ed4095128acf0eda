//! Requests through the layer.

use std::{
    convert::Infallible,
    future::Future,
    future::{Ready, ready},
    hint::black_box,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::ACCEPT};
use http_body::{Body, Frame};
use tower::{Layer, Service, service_fn};
use tower_sse::{
    Negotiate, SseLayer,
    hub::{Hub, Subscribe},
    streams::Streams,
};

type Runs = Box<dyn FnMut(u32)>;

/// The `Accept` header that Chromium sends for a page.
pub(crate) const BROWSER: HeaderValue = HeaderValue::from_static(
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
    application/signed-exchange;v=b3;q=0.7",
);

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

/// A request that reaches the inner service because of its `Accept`.
pub(crate) fn inside(accept: Option<HeaderValue>, negotiate: Negotiate) -> Runs {
    layered(accept, negotiate, false)
}

/// A request that reaches the inner service because its method cannot request events.
pub(crate) fn untouched() -> Runs {
    layered(None, Negotiate::Listed, true)
}

/// A page through a layer that decorates, with or without a registry of streams.
pub(crate) fn decorated(counts: bool) -> Runs {
    let layer = SseLayer::decorate();
    let layer = if counts { layer.streams(&Streams::new()).stream_key(|_| Some(Arc::from("a user"))) } else { layer };
    let mut service = layer.layer(service_fn(answer));
    Box::new(move |times| (0..times).for_each(|_| drop(black_box(run(&mut service, request(Some(&BROWSER)))))))
}

/// The inner service alone.
pub(crate) fn no_layer(accept: Option<HeaderValue>) -> Runs {
    let mut service = service_fn(answer);
    Box::new(move |times| (0..times).for_each(|_| drop(black_box(run(&mut service, request(accept.as_ref()))))))
}

/// A request for events up to the first bytes of its stream, and its end.
pub(crate) fn stream() -> Runs {
    let runtime = super::bodies::runtime();
    let hub = Hub::new();
    let mut service = SseLayer::new(hub.service(|_| Subscribe::to("events"))).layer(service_fn(answer));
    Box::new(move |times| {
        let _guard = runtime.enter();
        for _ in 0..times {
            let response = run(&mut service, request(Some(&EVENT_STREAM)));
            let Some(Ok(mut response)) = response else { continue };
            let mut cx = Context::from_waker(Waker::noop());
            drop(black_box(Pin::new(response.body_mut()).poll_frame(&mut cx)));
            drop(black_box(Pin::new(response.body_mut()).poll_frame(&mut cx)));
        }
    })
}

fn layered(accept: Option<HeaderValue>, negotiate: Negotiate, elsewhere: bool) -> Runs {
    let hub = Hub::new();
    let layer = SseLayer::new(hub.service(|_| Subscribe::to("events"))).negotiate(negotiate);
    let layer = if elsewhere { layer.when(|head| head.uri().path() == "/events") } else { layer };
    let mut service = layer.layer(service_fn(answer));
    Box::new(move |times| (0..times).for_each(|_| drop(black_box(run(&mut service, request(accept.as_ref()))))))
}

fn answer(_: Request<()>) -> Ready<Result<Response<Nothing>, Infallible>> {
    ready(Ok(Response::new(Nothing)))
}

fn request(accept: Option<&HeaderValue>) -> Request<()> {
    let mut request = Request::new(());
    if let Some(accept) = accept {
        request.headers_mut().insert(ACCEPT, accept.clone());
    }
    request
}

/// Returns the answer, which is ready at once.
fn run<S: Service<Request<()>>>(service: &mut S, request: Request<()>) -> Option<Result<S::Response, S::Error>> {
    let mut cx = Context::from_waker(Waker::noop());
    if service.poll_ready(&mut cx).is_pending() {
        return None;
    }
    match pin!(service.call(request)).poll(&mut cx) {
        Poll::Ready(answered) => Some(answered),
        Poll::Pending => None,
    }
}
