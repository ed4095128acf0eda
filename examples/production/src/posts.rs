//! Rate limits of writes, so that one client cannot fill the shared memory.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    Extension,
    extract::{Request, State},
    http::{StatusCode, header::RETRY_AFTER},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::{app::App, client::Client};

/// A rate limit for each client.
pub(crate) struct Posts(DefaultKeyedRateLimiter<Arc<str>>);

impl Posts {
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(per_minute)))
    }

    /// Removes clients whose budget is full again.
    pub(crate) fn sweep(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }

    /// Counts a request. Returns the whole seconds to wait as an error if it is over the limit.
    fn count(&self, key: &Arc<str>) -> Result<(), u64> {
        let now = DefaultClock::default().now();
        self.0.check_key(key).map_err(|early| early.wait_time_from(now).as_secs() + 1)
    }
}

/// Limits requests by the user, or by the address without a login.
pub(crate) async fn by_client(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    request: Request,
    next: Next,
) -> Response {
    limit(&app, &client.key(), request, next).await
}

/// Limits requests by the address: after another login it is still the same client.
pub(crate) async fn by_address(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    request: Request,
    next: Next,
) -> Response {
    limit(&app, &client.address_key(), request, next).await
}

async fn limit(app: &App, key: &Arc<str>, request: Request, next: Next) -> Response {
    match app.posts.count(key) {
        Ok(()) => next.run(request).await,
        Err(seconds) => (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)]).into_response(),
    }
}
