//! The auto traits and `Clone` of public types: a promise, since the types of an application depend on them.

use std::{
    cell::Cell,
    future::{Ready, ready},
    marker::{PhantomData, PhantomPinned},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::Service;
use tower_sse::{
    BoxError, Comments, EarlyEnd, EarlyEndError, Event, EventBuilder, EventComment, EventId, EventName, EventSender,
    Events, Heartbeat, InvalidEventComment, InvalidEventId, InvalidEventName, LastEventId, LastRetry, Negotiate,
    Refusal, Reply, RequestHead, SendError, Source, Sse, SseBody, SseLayer, StreamSettings, TrySendError,
    access::{AccessCheck, AccessDecision, AccessRevoked},
    decode::{DecodeError, Decoder, EventReader, Item, Message, ReadError},
    future::{Oneshot, ResponseFuture, Standalone},
    middleware::NoEvents,
    observe::{Observer, Reason, Sent, StreamObserver},
    source::{EventReceiver, Interval, Never, StreamSource},
    streams::{AdmissionError, DrainReport, OnDrain, Streams, StreamsBuilder},
};

/// `Send` and `Sync`, as most types are.
#[derive(Debug, Clone)]
struct Both;

/// `Send`, but not `Sync`.
#[derive(Debug, Clone)]
struct SendOnly(#[expect(dead_code, reason = "it keeps the type from being `Sync`")] Cell<u8>);

/// Neither `Send` nor `Sync`.
#[derive(Debug, Clone)]
struct Neither(#[expect(dead_code, reason = "it keeps the type from being `Send`")] Rc<u8>);

/// Does not compile if a type has a trait that it must not have: the call is ambiguous then.
macro_rules! lacks {
    ($type:ty: $trait:ident) => {{
        trait Ambiguous<A> {
            fn call() {}
        }
        struct Has;
        impl<T: ?Sized> Ambiguous<()> for T {}
        impl<T: ?Sized + $trait> Ambiguous<Has> for T {}
        <$type as Ambiguous<_>>::call();
    }};
}

macro_rules! has {
    ($type:ty: $trait:ident) => {{
        fn call<T: ?Sized + $trait>() {}
        call::<$type>();
    }};
}

macro_rules! promise {
    ($($type:ty: $($has:ident)* $(, lacks $($lacks:ident)*)?;)*) => {$(
        $(has!($type: $has);)*
        $($(lacks!($type: $lacks);)*)?
    )*};
}

type Asked<S, B> = Oneshot<Answers<S, B>, Request<String>>;

/// An event service of which only the types matter.
#[derive(Debug, Clone)]
struct Answers<S, B>(PhantomData<fn() -> (S, B)>);

impl<S, B> Service<Request<String>> for Answers<S, B>
where
    S: Source,
    B: Body<Error: Into<BoxError>>,
{
    type Response = Reply<S, B>;
    type Error = Refusal;
    type Future = Ready<Result<Reply<S, B>, Refusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        ready(Err(Refusal::stop()))
    }
}

/// A stream of events that holds this value.
struct Holds<T>(T);

impl<T> futures_core::Stream for Holds<T> {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        Poll::Pending
    }
}

type Stream<T> = StreamSource<Holds<T>>;

#[test]
fn events_and_their_parts_are_send_sync_and_unpin() {
    promise! {
        Event: Send Sync Unpin Clone;
        EventBuilder: Send Sync Unpin Clone;
        EventName: Send Sync Unpin Clone;
        EventId: Send Sync Unpin Clone;
        EventComment: Send Sync Unpin Clone;
        InvalidEventName: Send Sync Unpin Clone;
        InvalidEventId: Send Sync Unpin Clone;
        InvalidEventComment: Send Sync Unpin Clone;
        LastEventId: Send Sync Unpin Clone;
        EventSender: Send Sync Unpin Clone;
        EventReceiver: Send Sync Unpin, lacks Clone;
        SendError: Send Sync Unpin Clone;
        TrySendError: Send Sync Unpin Clone;
        Heartbeat: Send Sync Unpin Clone;
        StreamSettings: Send Sync Unpin Clone;
        Negotiate: Send Sync Unpin Copy;
        Comments: Send Sync Unpin Copy;
        LastRetry: Send Sync Unpin Copy;
        EarlyEnd: Send Sync Unpin Copy;
        EarlyEndError: Send Sync Unpin Clone;
        Reason: Send Sync Unpin Copy;
        Sent: Send Sync Unpin Copy;
        RequestHead<'_>: Send Sync Unpin Copy;
        Refusal: Send Sync Unpin, lacks Clone;
        Never: Send Sync Unpin Copy;
        Decoder: Send Sync Unpin Clone;
        Item: Send Sync Unpin Clone;
        Message: Send Sync Unpin Clone;
        DecodeError: Send Sync Unpin Copy;
        ReadError: Send Sync Unpin, lacks Clone;
        dyn Observer: Send Sync;
        dyn StreamObserver: Send, lacks Sync;
    }
    #[cfg(feature = "json")]
    promise! { tower_sse::JsonError: Send Sync Unpin, lacks Clone; }
}

#[test]
fn handles_of_streams_are_send_and_sync() {
    promise! {
        Streams: Send Sync Unpin Clone;
        StreamsBuilder: Send Sync Unpin Clone;
        DrainReport: Send Sync Unpin Copy;
        OnDrain: Send Sync Unpin Copy;
        AdmissionError: Send Sync Unpin Copy;
        AccessCheck: Send Sync Unpin Clone;
        AccessDecision: Send Sync Unpin Clone;
        AccessRevoked: Send Sync Unpin Clone;
    }
    let streams = Streams::new();
    can_be_spawned(&streams.drain(std::time::Duration::ZERO));
    can_be_spawned(&streams.drain_with_server(ready(()), std::time::Duration::ZERO));
}

/// A drain may be awaited in a task of its own.
fn can_be_spawned(_: &impl Send) {}

#[test]
fn layer_and_service_have_the_auto_traits_of_their_parts() {
    promise! {
        SseLayer<Both>: Send Sync Unpin Clone;
        SseLayer<SendOnly>: Send Unpin Clone, lacks Sync;
        SseLayer<Neither>: Unpin Clone, lacks Send Sync;
        SseLayer<NoEvents>: Send Sync Unpin Clone;
        Sse<Both, Both>: Send Sync Unpin Clone;
        Sse<SendOnly, Both>: Send Unpin Clone, lacks Sync;
        Sse<Both, Neither>: Unpin Clone, lacks Send Sync;
        Events<Both>: Send Sync Unpin, lacks Clone;
        Events<SendOnly>: Send Unpin, lacks Sync;
        Events<Neither>: Unpin, lacks Send Sync;
        Reply<Both, Both>: Send Sync Unpin;
        Reply<Both, Neither>: Unpin, lacks Send Sync;
        tower_sse::BoxEvents: Send Sync Unpin, lacks Clone;
        tower_sse::LocalBoxEvents: Unpin, lacks Send Sync;
        tower_sse::source::Once: Send Sync Unpin, lacks Clone;
        StreamSource<Both>: Send Sync Unpin;
        StreamSource<SendOnly>: Send Unpin, lacks Sync;
        StreamSource<Neither>: Unpin, lacks Send Sync;
        StreamSource<PhantomPinned>: Send Sync, lacks Unpin;
        Interval<Both, Both>: Send Sync, lacks Unpin;
        Interval<Neither, Both>:, lacks Send Sync Unpin;
        EventReader<Both>: Send Sync Unpin;
        EventReader<Neither>: Unpin, lacks Send Sync;
    }
}

#[test]
fn body_and_future_have_the_auto_traits_of_their_parts() {
    promise! {
        // `Sync` too, which `BodyExt::boxed` requires: an observer or a check of access may lack it.
        SseBody<Asked<Stream<Both>, String>, Both>: Send Sync, lacks Clone;
        SseBody<Asked<Stream<SendOnly>, String>, Both>: Send, lacks Sync;
        SseBody<Asked<Stream<Neither>, String>, Both>:, lacks Send Sync;
        SseBody<Asked<Stream<Both>, String>, Neither>:, lacks Send Sync;
        SseBody<Asked<Stream<Both>, String>, Bytes>: Unpin;
        SseBody<Standalone<Stream<Both>>, Never>: Send Sync Unpin;
        SseBody<Standalone<tower_sse::hub::Subscription>, Never>: Send Sync Unpin;
        SseBody<Standalone<Stream<SendOnly>>, Never>: Send Unpin, lacks Sync;
        SseBody<Standalone<Stream<Neither>>, Never>: Unpin, lacks Send;
        ResponseFuture<Asked<Stream<Both>, String>, Both>: Send Sync Unpin, lacks Clone;
        ResponseFuture<Asked<Stream<Both>, String>, SendOnly>: Send Unpin, lacks Sync;
        ResponseFuture<Asked<Stream<Both>, String>, PhantomPinned>:, lacks Unpin;
        Response<SseBody<Asked<Stream<Both>, String>, Bytes>>: Send;
    }
}

#[test]
fn observers_can_be_shared_and_boxed() {
    fn observes<T: Observer + ?Sized>() {}
    fn observes_links<T: tower_sse::backplane::LinkObserver + ?Sized>() {}
    observes::<std::sync::Arc<dyn Observer>>();
    observes::<Box<dyn Observer>>();
    observes_links::<std::sync::Arc<dyn tower_sse::backplane::LinkObserver>>();
    observes_links::<Box<dyn tower_sse::backplane::LinkObserver>>();
}
