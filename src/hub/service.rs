//! A hub as an event service.

use std::{
    fmt,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::Request;
use tower_service::Service;

use super::{
    handle::Hub,
    subscription::{Subscription, request::Subscribe},
};
use crate::{
    answer::Events,
    negotiate::{last_event_id::LastEventId, refusal::Refusal, request_head::RequestHead},
};

/// An event service that subscribes each request to topics of a hub; created by [`Hub::service`].
#[derive(Clone)]
pub struct HubService<F> {
    hub: Hub,
    subscribe: F,
}

/// A value that the function of [`Hub::service`] may return: a [`Subscribe`], or a `Result` of one whose error converts into a
/// [`Refusal`]. Sealed.
pub trait IntoSubscribe: sealed::Sealed {
    /// Converts into a [`Subscribe`].
    ///
    /// # Errors
    ///
    /// Returns the [`Refusal`] if `self` is an error.
    fn into_subscribe(self) -> Result<Subscribe, Refusal>;
}

impl Hub {
    /// Returns an event service for [`SseLayer::new`](crate::SseLayer::new) that subscribes each request.
    ///
    /// The function returns which topics a request may see, or a refusal. It gets the request's head only and runs on the
    /// request's task, so it must not block. The stream resumes after the `Last-Event-ID` of the request, unless the function
    /// sets [`Subscribe::resume_after`].
    ///
    /// ```
    /// use tower_sse::{Refusal, SseLayer, hub::{Hub, Subscribe}};
    ///
    /// let hub = Hub::new();
    /// let layer = SseLayer::new(hub.service(|head| {
    ///     let room = head.uri().path().strip_prefix("/rooms/").ok_or(http::StatusCode::NOT_FOUND)?;
    ///     Ok::<_, Refusal>(Subscribe::to(format!("room/{room}")))
    /// }));
    /// ```
    pub fn service<F, R>(&self, subscribe: F) -> HubService<F>
    where
        F: Fn(&RequestHead<'_>) -> R,
        R: IntoSubscribe,
    {
        HubService::new(self.clone(), subscribe)
    }
}

impl<F> HubService<F> {
    fn new(hub: Hub, subscribe: F) -> Self {
        Self { hub, subscribe }
    }

    fn answer<B, R>(&self, request: &Request<B>) -> Result<Events<Subscription>, Refusal>
    where
        F: Fn(&RequestHead<'_>) -> R,
        R: IntoSubscribe,
    {
        let mut subscribe = (self.subscribe)(&RequestHead::new(request)).into_subscribe()?;
        if subscribe.after.is_none() {
            subscribe.after = LastEventId::of(request);
        }
        Ok(self.hub.subscribe(subscribe)?.into())
    }
}

impl<F, B, R> Service<Request<B>> for HubService<F>
where
    F: Fn(&RequestHead<'_>) -> R,
    R: IntoSubscribe,
{
    type Response = Events<Subscription>;
    type Error = Refusal;
    type Future = Ready<Result<Events<Subscription>, Refusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(self.answer(&request))
    }
}

impl IntoSubscribe for Subscribe {
    fn into_subscribe(self) -> Result<Subscribe, Refusal> {
        Ok(self)
    }
}

impl<E: Into<Refusal>> IntoSubscribe for Result<Subscribe, E> {
    fn into_subscribe(self) -> Result<Subscribe, Refusal> {
        self.map_err(Into::into)
    }
}

impl<F> fmt::Debug for HubService<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubService").field("hub", &self.hub).finish_non_exhaustive()
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "sealed")]
    pub trait Sealed {}

    impl Sealed for super::Subscribe {}
    impl<E> Sealed for Result<super::Subscribe, E> {}
}
