//! Shared helpers of the tests: scripts, services that answer once, streams as they are read, an observer.

mod reading;
mod recording;
mod script;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::{BodyError, BoxError, Event, Events, IntoReply, Refusal, Source, SseLayer};

pub(crate) use self::{
    reading::Reading,
    recording::Recording,
    script::{
        Life, Script,
        Step::{self, Give, Hang, Panic, Wait},
        bytes, error, event, trailers,
    },
};

/// Returns events that follow a script.
pub(crate) fn events(steps: impl IntoIterator<Item = Step<Result<Event, BoxError>>>) -> Events<impl Source> {
    Events::new(Script::new(steps))
}

/// Returns a response of type `text/event-stream` whose body follows a script.
pub(crate) fn stream(
    steps: impl IntoIterator<Item = Step<Result<Frame<Bytes>, BoxError>>>,
) -> Response<Script<Result<Frame<Bytes>, BoxError>>> {
    Response::builder().header("content-type", "text/event-stream").body(Script::new(steps)).unwrap()
}

/// Returns a GET request for an event stream.
pub(crate) fn get() -> Request<String> {
    Request::get("/").header("accept", "text/event-stream").body(String::new()).unwrap()
}

/// Returns the same request with another method.
pub(crate) fn ask(method: Method) -> Request<String> {
    let mut request = get();
    *request.method_mut() = method;
    request
}

/// Returns a service that answers one request with this.
pub(crate) fn answers<T>(answer: T) -> impl Service<Request<String>, Response = T, Error = Refusal> + Clone {
    answers_after(0, Ok(answer))
}

/// Returns a service that answers one request after this time.
pub(crate) fn answers_after<T, E>(
    millis: u64,
    answer: Result<T, E>,
) -> impl Service<Request<String>, Response = T, Error = E> + Clone {
    let answer = Arc::new(Mutex::new(Some(answer)));
    service_fn(move |_: Request<String>| {
        let answer = Arc::clone(&answer);
        async move {
            if millis > 0 {
                sleep(Duration::from_millis(millis)).await;
            }
            answer.lock().unwrap().take().expect("one request")
        }
    })
}

/// Returns the response of a layer around a service that answers `inside`.
pub(crate) async fn respond<E>(
    layer: SseLayer<E>,
    request: Request<String>,
) -> Response<impl Body<Data = Bytes, Error = BodyError>>
where
    E: Service<Request<String>, Response: IntoReply, Error: Into<Refusal>> + Clone,
{
    let inside = answers_again(|| Response::new(String::from("inside")));
    layer.layer(inside).oneshot(request).await.unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// Returns a service that creates an answer for each request.
pub(crate) fn answers_again<T>(
    make: impl Fn() -> T + Clone,
) -> impl Service<Request<String>, Response = T, Error = Refusal> + Clone {
    service_fn(move |_: Request<String>| std::future::ready(Ok(make())))
}

/// Opens a stream of a layer with an event service.
pub(crate) async fn open<E>(layer: SseLayer<E>) -> Reading<impl Body<Data = Bytes, Error = BodyError>>
where
    E: Service<Request<String>, Response: IntoReply, Error: Into<Refusal>> + Clone,
{
    Reading::new(respond(layer, get()).await.into_body())
}

/// Returns a foreign stream as decorated by a layer.
pub(crate) async fn decorate<B, E>(
    layer: SseLayer<E>,
    inside: Response<B>,
) -> Reading<impl Body<Data = Bytes, Error = BodyError>>
where
    B: Body<Error: Into<BoxError>>,
    E: Service<Request<String>, Response: IntoReply, Error: Into<Refusal>> + Clone,
{
    let response = layer.layer(answers(inside)).oneshot(get()).await.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    Reading::new(response.into_body())
}

/// Runs a future to its end with paused time.
pub(crate) fn paused<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}
