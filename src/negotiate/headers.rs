//! Response heads of event streams.

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        HeaderName, TRANSFER_ENCODING, VARY,
    },
};

use super::accept;

/// Returns the head of a stream with these headers of the event service, which take precedence.
pub(crate) fn stream_head(own: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    if own.is_empty() {
        // The common case: there is no header to look for.
        headers.insert(CONTENT_TYPE, EVENT_STREAM);
        headers.insert(CACHE_CONTROL, NO_CACHE);
        headers.insert(X_ACCEL_BUFFERING, NO);
        return response;
    }
    *headers = own;
    headers.entry(CONTENT_TYPE).or_insert(EVENT_STREAM);
    drop_framing(headers);
    complete(headers);
    response
}

/// Returns whether a response is an event stream by its head, in a coding or not.
pub(crate) fn is_event_stream(status: StatusCode, headers: &HeaderMap) -> bool {
    status.is_success()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)
        && headers.get(CONTENT_TYPE).is_some_and(|kind| accept::is_event_stream(kind.as_bytes()))
}

/// Returns whether bytes can be added to an event stream with this head: it is neither in a coding nor a range.
pub(crate) fn takes_bytes(status: StatusCode, headers: &HeaderMap) -> bool {
    status != StatusCode::PARTIAL_CONTENT
        && !headers.contains_key(CONTENT_RANGE)
        && headers.get_all(CONTENT_ENCODING).iter().all(is_no_coding)
}

/// Returns whether a `Content-Encoding` stands for no coding. Servers write `identity` (RFC 9110 §8.4 reserves it), `none` and an
/// empty value.
fn is_no_coding(value: &HeaderValue) -> bool {
    let mut codings = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    codings.all(|coding| {
        coding.is_empty() || coding.eq_ignore_ascii_case(b"identity") || coding.eq_ignore_ascii_case(b"none")
    })
}

/// Adapts the head of a decorated event stream, to whose body bytes are added.
pub(crate) fn decorate_head(headers: &mut HeaderMap) {
    for name in [ETAG, ACCEPT_RANGES, CONTENT_DIGEST, REPR_DIGEST, DIGEST, CONTENT_MD5] {
        headers.remove(name);
    }
    drop_framing(headers);
    forbid_transforms(headers);
    complete(headers);
}

/// Adds `Vary: Accept`, unless the response varies by `Accept` or by everything already.
pub(crate) fn vary_by_accept(headers: &mut HeaderMap) {
    let varies = headers.get_all(VARY).iter().any(|value| {
        value.as_bytes().split(|&byte| byte == b',').any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"accept")
        })
    });
    if !varies {
        headers.append(VARY, BY_ACCEPT);
    }
}

/// Returns whether responses to this method have no body.
pub(crate) fn is_head(method: &Method) -> bool {
    method == Method::HEAD
}

/// Removes the headers of an event stream.
pub(crate) fn drop_stream_head(headers: &mut HeaderMap) {
    for name in [CONTENT_TYPE, CACHE_CONTROL, X_ACCEL_BUFFERING] {
        headers.remove(name);
    }
    drop_body_head(headers);
}

/// Removes the headers that describe a body, for one that is replaced.
pub(crate) fn drop_body_head(headers: &mut HeaderMap) {
    headers.remove(CONTENT_ENCODING);
    drop_framing(headers);
}

/// Adds headers that keep caches and proxies from buffering events, if the response lacks them.
fn complete(headers: &mut HeaderMap) {
    headers.entry(CACHE_CONTROL).or_insert(NO_CACHE);
    headers.entry(X_ACCEL_BUFFERING).or_insert(NO);
}

/// Adds the directives to `Cache-Control` that a stream needs: `no-transform`, without which proxies compress and buffer events, and
/// `no-cache`, unless there is `no-store`. Keeps all other directives.
fn forbid_transforms(headers: &mut HeaderMap) {
    let (mut caches, mut transforms) = (true, true);
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in accept::split(value.as_bytes(), b',') {
            let directive = directive.trim_ascii();
            // With field names, `no-cache="set-cookie"`, it is another directive.
            caches &= !directive.eq_ignore_ascii_case(b"no-cache") && !directive.eq_ignore_ascii_case(b"no-store");
            transforms &= !directive.eq_ignore_ascii_case(b"no-transform");
        }
    }
    let lacks: &[u8] = match (caches, transforms) {
        (true, true) => b"no-cache, no-transform",
        (true, false) => b"no-cache",
        (false, true) => b"no-transform",
        (false, false) => return,
    };
    // Merged into the first line, since some implementations read only that.
    let Some(value) = headers.get_mut(CACHE_CONTROL) else { return };
    let old = value.as_bytes().trim_ascii();
    let merged = if old.is_empty() { lacks.to_vec() } else { [old, b", ", lacks].concat() };
    if let Ok(merged) = HeaderValue::from_bytes(&merged) {
        *value = merged;
    }
}

/// Removes the headers of connection and length, which are the server's: HTTP/2 and 3 forbid `Connection` (RFC 9113 §8.2.2), Safari
/// fails on it, and a length would truncate the stream.
fn drop_framing(headers: &mut HeaderMap) {
    for name in [CONNECTION, KEEP_ALIVE, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
}

const BY_ACCEPT: HeaderValue = HeaderValue::from_static("accept");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, no-transform");
const NO: HeaderValue = HeaderValue::from_static("no");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const DIGEST: HeaderName = HeaderName::from_static("digest");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
