//! The path of a request through the layer, and the event services that [`SseLayer`](crate::SseLayer) creates.
//!
//! 1. **Choice.** [`methods`](crate::SseLayer::methods), [`when`](crate::SseLayer::when) and
//!    [`Negotiate`](crate::Negotiate) choose the event service, the inner service or a 406. A request for the inner service,
//!    and its response, pass unchanged, apart from `Vary: Accept` if `Accept` was consulted.
//! 2. **Admission.** With [`streams`](crate::SseLayer::streams), a request for the event service counts against the limits
//!    before that service runs. If there is no room it may wait up to 80 ms for some; then it is refused.
//! 3. **Answer.** The event service is cloned, driven to readiness and called, all within the response's future. It answers
//!    events, a response or a refusal.
//! 4. **Head.** The head is sent with the answer, or without it once [`commit_after`](crate::SseLayer::commit_after) has
//!    passed. The pending answer then moves into the body.
//! 5. **Stream.** The layer's observers, access checks and permit are registered with the stream, which lives in the response's
//!    [body](crate::SseBody) from then on. It ends when its source ends or fails, or at the first end that a lifetime, an access
//!    check, a drain or a logout demands.
//!
//! A layer made by [`SseLayer::decorate`](crate::SseLayer::decorate) has no event service; see there for its path.

pub(crate) mod admission;
pub(crate) mod body;
pub(crate) mod carried_refusal;
pub(crate) mod context;
pub(crate) mod event_service;
pub(crate) mod from_fn;
pub(crate) mod future;
pub(crate) mod inner;
pub(crate) mod late_layer;
pub(crate) mod layer;
pub(crate) mod oneshot;
pub(crate) mod refuse;
pub(crate) mod respond;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod standalone;

pub use self::from_fn::{FromFn, FromFnFuture, NoEvents};
