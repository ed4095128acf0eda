//! Provides boxed sources, for events whose source has no name or is one of several.

use std::{
    fmt,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;

use super::source::{Beat, PollSource, Source, SourceOutput};
use crate::{event::boundary::Boundary, streams::resources::Detach};

/// A boxed source of events; made by [`Events::boxed`](crate::Events::boxed).
pub struct BoxSource(
    /// Never contended. The lock makes the body `Sync`, which `BodyExt::boxed` of http-body-util asks for.
    Mutex<Pin<Box<dyn PollSource + Send>>>,
);

/// A boxed source of events that is not `Send`; made by [`Events::boxed_local`](crate::Events::boxed_local).
pub struct LocalBoxSource(Pin<Box<dyn PollSource>>);

impl BoxSource {
    pub(crate) fn new(source: impl Source + Send + 'static) -> Self {
        Self(Mutex::new(Box::pin(source)))
    }

    fn inner<R>(&self, read: impl FnOnce(&dyn PollSource) -> R) -> R {
        read(&**self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn inner_mut(self: Pin<&mut Self>) -> Pin<&mut (dyn PollSource + Send)> {
        self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()
    }
}

impl LocalBoxSource {
    pub(crate) fn new(source: impl Source + 'static) -> Self {
        Self(Box::pin(source))
    }

    fn inner<R>(&self, read: impl FnOnce(&dyn PollSource) -> R) -> R {
        read(&*self.0)
    }

    fn inner_mut(self: Pin<&mut Self>) -> Pin<&mut dyn PollSource> {
        self.get_mut().0.as_mut()
    }
}

macro_rules! delegate {
    ($($source:ty)*) => {$(
        impl Source for $source {}

        impl PollSource for $source {
            fn poll_output(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SourceOutput> {
                self.inner_mut().poll_output(cx)
            }

            fn boundary(&self) -> Boundary {
                self.inner(|source| source.boundary())
            }

            fn is_sealed(&self) -> bool {
                self.inner(|source| source.is_sealed())
            }

            fn beat(self: Pin<&mut Self>, beat: Beat) -> Option<Bytes> {
                self.inner_mut().beat(beat)
            }

            fn stop_at_boundary(self: Pin<&mut Self>) {
                self.inner_mut().stop_at_boundary();
            }

            fn detach_handle(self: Pin<&mut Self>) -> Option<Box<dyn Detach>> {
                self.inner_mut().detach_handle()
            }

            fn release(self: Pin<&mut Self>) {
                self.inner_mut().release();
            }
        }
    )*};
}

delegate!(BoxSource LocalBoxSource);

impl fmt::Debug for BoxSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxSource").finish_non_exhaustive()
    }
}

impl fmt::Debug for LocalBoxSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBoxSource").finish_non_exhaustive()
    }
}
