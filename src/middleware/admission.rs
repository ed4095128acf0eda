//! Admission of one request to a layer's streams.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;

use crate::streams::{
    error::AdmissionError,
    outer::OuterSlot,
    permit::Permit,
    registry::StreamRegistry,
    waiter::{WaitBudget, Waiter},
};

/// The slot of a request among a layer's streams: tentative, waiting for room, or counted against the limits.
#[derive(Debug)]
pub(super) struct Admission {
    /// `Ok(None)` if the layer counts no streams, and once a stream has the permit.
    permit: Result<Option<Permit>, AdmissionError>,
    is_admitted: bool,
    waiter: Option<Waiter>,
    /// The time left to wait for room, if an outer layer has counted the request before.
    budget: Option<WaitBudget>,
}

impl Admission {
    /// Creates an admission without a slot, which succeeds.
    pub(super) fn uncounted() -> Self {
        Self { permit: Ok(None), is_admitted: false, waiter: None, budget: None }
    }

    /// Reserves a tentative slot under this key, or shares the slot of an outer layer with the same streams.
    pub(super) fn tentative<B>(
        streams: &Arc<StreamRegistry>,
        key: Result<Option<Arc<str>>, AdmissionError>,
        request: &mut Request<B>,
    ) -> Self {
        match key.and_then(|key| OuterSlot::share_or_reserve(streams, key, request)) {
            Ok((permit, budget)) => Self { permit: Ok(Some(permit)), budget, ..Self::uncounted() },
            Err(error) => Self { permit: Err(error), ..Self::uncounted() },
        }
    }

    pub(super) fn is_admitted(&self) -> bool {
        self.is_admitted
    }

    /// Returns whether the request waits for room.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiter.is_some()
    }

    /// Counts the slot against the limits. If there is no room, the request may begin to wait for some.
    pub(super) fn admit(&mut self) -> Result<(), AdmissionError> {
        if self.is_admitted {
            return Ok(());
        }
        let settled = match &self.permit {
            Ok(None) => Ok(None),
            Ok(Some(permit)) => permit.admit(self.budget.as_ref()),
            Err(error) => Err(*error),
        };
        match settled {
            Ok(waiter) => {
                self.is_admitted = waiter.is_none();
                self.waiter = waiter;
                Ok(())
            }
            Err(error) => Err(self.reject(error)),
        }
    }

    /// Completes when the request does not wait any more: it has room, or is rejected.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AdmissionError>> {
        let (Some(waiter), Ok(Some(_))) = (&mut self.waiter, &self.permit) else { return Poll::Ready(Ok(())) };
        let outcome = ready!(waiter.poll(cx));
        self.waiter = None;
        self.is_admitted = outcome.is_ok();
        Poll::Ready(outcome.map_err(|error| self.reject(error)))
    }

    /// Takes the permit, for the stream that opens.
    pub(super) fn take_permit(&mut self) -> Option<Permit> {
        std::mem::replace(&mut self.permit, Ok(None)).ok().flatten()
    }

    /// Gives the slot back.
    fn reject(&mut self, error: AdmissionError) -> AdmissionError {
        self.permit = Err(error);
        error
    }
}
