//! No `Accept` fails, its lines may come in any order, and a wider policy never refuses what a narrower one selects.

use std::{convert::Infallible, future::ready};

use futures_util::{FutureExt, stream};
use http::{HeaderValue, Request, Response, StatusCode, header};
use tower::{Layer, Service, service_fn};
use tower_sse::{Event, Events, Negotiate, SseLayer};

/// Panics if the property does not hold for these lines.
pub(crate) fn check(input: &[u8]) {
    let mut lines: Vec<_> = input.split(|&byte| byte == b'\n').take(32).flat_map(HeaderValue::from_bytes).collect();
    let chosen = POLICIES.map(|policy| chooses_stream(policy, &lines));
    assert!(chosen.is_sorted(), "from narrow to wide: {chosen:?}");
    let again = |lines: &[HeaderValue], how: &str| {
        assert_eq!(POLICIES.map(|policy| chooses_stream(policy, lines)), chosen, "{how}");
    };
    for _ in 1..lines.len() {
        lines.rotate_left(1);
        again(&lines, "in another order");
    }
    lines.reverse();
    again(&lines, "in reverse");
    // An open quote ends with its line.
    if !input.contains(&b'"') {
        let parts: Vec<_> = lines.iter().map(HeaderValue::as_bytes).collect();
        again(&HeaderValue::from_bytes(&parts.join(&b", "[..])).into_iter().collect::<Vec<_>>(), "as one line");
    }
}

/// From narrow to wide.
const POLICIES: [Negotiate; 4] = [Negotiate::Listed, Negotiate::Wildcards, Negotiate::Require, Negotiate::Always];

fn chooses_stream(policy: Negotiate, lines: &[HeaderValue]) -> bool {
    let layer = SseLayer::from_fn(|_: Request<()>| ready(Events::new(stream::pending::<Event>()))).negotiate(policy);
    let inside = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(String::new()))));
    let mut request = Request::new(());
    for line in lines {
        request.headers_mut().append(header::ACCEPT, line.clone());
    }
    let response =
        layer.layer(inside).call(request).now_or_never().expect("at once").expect("the service is infallible");
    let is_stream = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    let refused = !is_stream && policy == Negotiate::Require;
    assert_eq!(response.status() == StatusCode::NOT_ACCEPTABLE, refused, "{policy:?}");
    assert_eq!(response.headers().contains_key(header::VARY), policy != Negotiate::Always, "{policy:?}");
    is_stream
}
