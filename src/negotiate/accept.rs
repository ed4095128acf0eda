//! Negotiation of the event stream by `Accept`.
//!
//! Several header lines are one list ([RFC 9110 §5.3]). The most specific range decides ([§12.5.1]). Weights are 0 to 1 with at most
//! three decimals ([§12.4.2]). An element that does not parse is skipped, so no value is an error.
//!
//! [RFC 9110 §5.3]: https://www.rfc-editor.org/rfc/rfc9110#section-5.3
//! [§12.4.2]: https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2
//! [§12.5.1]: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1

use http::{HeaderMap, HeaderValue, header::ACCEPT};
use memchr::{memchr, memchr_iter};

/// A policy by which a request's `Accept` chooses between the event stream and the inner service.
///
/// Both responses carry `Vary: Accept` if the policy reads `Accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Negotiate {
    /// Chooses the stream if `text/event-stream` itself is listed and nothing listed has a higher weight. An `EventSource` gets the
    /// stream, and a browser's navigation, `curl` or a JSON client gets the inner service. The default.
    #[default]
    Listed,
    /// As [`Listed`](Self::Listed), but `text/*` and `*/*` count too, and a request without `Accept` accepts everything. `curl` gets the
    /// stream, and a browser's navigation still gets the inner service.
    Wildcards,
    /// Chooses the stream if it is acceptable at all. Other requests get `406 Not Acceptable`, and the inner service is not called.
    Require,
    /// Chooses the stream always. `Accept` is not read, so there is no `Vary`, and the event service decides by its
    /// [`Reply`](crate::Reply). For clients that request a stream in another way, as those of LLM services do.
    Always,
}

/// The service that answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Stream,
    Inner,
    NotAcceptable,
}

impl Negotiate {
    /// Returns whether responses depend on `Accept`.
    pub(crate) fn depends_on_accept(self) -> bool {
        self != Self::Always
    }

    pub(crate) fn decide(self, headers: &HeaderMap) -> Decision {
        if self == Self::Always {
            return Decision::Stream;
        }
        self.decide_fast(headers).unwrap_or_else(|| self.decide_by_weight(headers))
    }

    /// Returns the decision if it needs no weights. Most requests are for pages, and most of the others are those of an `EventSource`.
    fn decide_fast(self, headers: &HeaderMap) -> Option<Decision> {
        let lines = || headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
        if self == Self::Listed && !lines().any(mentions_event_stream) {
            return Some(Decision::Inner);
        }
        let mut lines = lines();
        let is_all = lines.next()? == EVENT_STREAM && lines.next().is_none();
        is_all.then_some(Decision::Stream)
    }

    fn decide_by_weight(self, headers: &HeaderMap) -> Decision {
        let ranges = Ranges::read(headers);
        let (chosen, otherwise) = match self {
            Self::Listed => (ranges.prefer(ranges.listed), Decision::Inner),
            Self::Wildcards => (ranges.prefer(ranges.effective()), Decision::Inner),
            Self::Require | Self::Always => (ranges.effective() > 0, Decision::NotAcceptable),
        };
        if chosen { Decision::Stream } else { otherwise }
    }
}

/// Returns whether `text/event-stream` is all that a request accepts, as that of an `EventSource`.
pub(crate) fn is_event_stream_alone(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
    let Some(first) = lines.next() else { return false };
    if first == EVENT_STREAM && lines.next().is_none() {
        return true;
    }
    if !mentions_event_stream(first) {
        return false;
    }
    let ranges = Ranges::read(headers);
    let elements = headers.get_all(ACCEPT).iter().flat_map(|value| split(value.as_bytes(), b','));
    let mut elements = elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty());
    ranges.listed.is_some_and(|weight| weight > 0) && elements.all(is_event_stream)
}

/// The weights that a list gives to `text/event-stream`, in thousandths.
#[derive(Debug, Default)]
struct Ranges {
    /// `true` if the list has an element. An empty list is the same as no header.
    any: bool,
    /// The weight of `text/event-stream` itself.
    listed: Option<u16>,
    /// The weight of `text/*`.
    text: Option<u16>,
    /// The weight of `*/*`.
    all: Option<u16>,
    /// The highest weight of anything listed.
    highest: u16,
}

impl Ranges {
    fn read(headers: &HeaderMap) -> Self {
        let mut ranges = Self::default();
        let elements = headers.get_all(ACCEPT).iter().flat_map(|value| split(value.as_bytes(), b','));
        for element in elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()) {
            ranges.any = true;
            ranges.add(element);
        }
        ranges
    }

    fn add(&mut self, element: &[u8]) {
        let mut parts = split(element, b';');
        let range = parts.next().unwrap_or_default().trim_ascii();
        let Some(Parameters { weight, foreign }) = Parameters::read(parts) else { return };
        let Some((kind, subtype)) = split_type(range) else { return };
        self.highest = self.highest.max(weight);
        if foreign {
            // A range with parameters matches only a type with the same ones, and an event stream has none but its charset.
            return;
        }
        let slot = match (kind, subtype) {
            (b"*", b"*") => &mut self.all,
            (kind, b"*") if kind.eq_ignore_ascii_case(b"text") => &mut self.text,
            (kind, subtype) if is_event_stream_type(kind, subtype) => &mut self.listed,
            _ => return,
        };
        *slot = Some(slot.map_or(weight, |other| other.max(weight)));
    }

    /// Returns the weight of an event stream by the most specific range.
    fn effective(&self) -> u16 {
        if !self.any {
            return 1000;
        }
        self.listed.or(self.text).or(self.all).unwrap_or(0)
    }

    /// Returns whether this weight is above 0 and nothing has a higher one. A tie goes to the stream.
    fn prefer(&self, weight: impl Into<Option<u16>>) -> bool {
        weight.into().is_some_and(|weight| weight > 0 && weight >= self.highest)
    }
}

/// The parameters of a media range.
struct Parameters {
    weight: u16,
    /// `true` if there are parameters that an event stream does not have.
    foreign: bool,
}

impl Parameters {
    /// Reads the parameters. Returns `None` if one does not parse.
    fn read<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut read = Self { weight: 1000, foreign: false };
        for part in parts {
            let part = part.trim_ascii();
            if part.is_empty() {
                continue;
            }
            let equals = part.iter().position(|&byte| byte == b'=')?;
            let (name, value) = (part[..equals].trim_ascii(), part[equals + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"q") {
                read.weight = weight(value)?;
                // Parameters after the weight are not the range's.
                break;
            }
            let charset = name.eq_ignore_ascii_case(b"charset") && unquoted(value).eq_ignore_ascii_case(b"utf-8");
            read.foreign |= !charset;
        }
        Some(read)
    }
}

/// Parses a weight into thousandths: `0` or `1`, and up to three decimals.
fn weight(value: &[u8]) -> Option<u16> {
    let (whole, decimals) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, place) in decimals.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * place;
    }
    (thousandths <= 1000).then_some(thousandths)
}

/// Splits a media range into type and subtype. Returns `None` if it lacks one.
fn split_type(range: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = range.iter().position(|&byte| byte == b'/')?;
    let (kind, subtype) = (&range[..slash], &range[slash + 1..]);
    let token = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'/');
    (token(kind) && token(subtype)).then_some((kind, subtype))
}

/// Returns whether `text/event-stream` may be listed. If this returns `false`, it is not.
fn mentions_event_stream(line: &[u8]) -> bool {
    memchr_iter(b'-', line).any(|hyphen| {
        let before = hyphen.checked_sub(b"event".len());
        let word = before.and_then(|from| line.get(from..from + b"event-stream".len()));
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"event-stream"))
    })
}

/// Returns whether a `Content-Type` is an event stream's, with any parameters.
pub(crate) fn is_event_stream(content_type: &[u8]) -> bool {
    if content_type == EVENT_STREAM {
        return true;
    }
    let range = split(content_type, b';').next().unwrap_or_default().trim_ascii();
    split_type(range).is_some_and(|(kind, subtype)| is_event_stream_type(kind, subtype))
}

fn is_event_stream_type(kind: &[u8], subtype: &[u8]) -> bool {
    kind.eq_ignore_ascii_case(b"text") && subtype.eq_ignore_ascii_case(b"event-stream")
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inside @ .., b'"'] => inside,
        _ => value,
    }
}

/// Splits at each separator that is not within a quoted string (RFC 9110 §5.6.4).
pub(crate) fn split(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let has_quotes = memchr(b'"', list).is_some();
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let end = if has_quotes { unquoted_at(list, separator) } else { memchr(separator, list) };
        rest = end.map(|end| &list[end + 1..]);
        Some(&list[..end.unwrap_or(list.len())])
    })
}

/// Returns the position of the first separator outside quotes.
fn unquoted_at(list: &[u8], separator: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    list.iter().position(|&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return byte == separator && !quoted,
        }
        false
    })
}

const EVENT_STREAM: &[u8] = b"text/event-stream";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Generates lines of ranges and parts of ranges, in any case.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let pieces = [
            "text/event-stream",
            "Text/EVENT-stream",
            "event",
            "-",
            "stream",
            "text/",
            "*/*",
            "text/*",
            "a/b-c",
            ";q=0",
            ".5",
            ";v=",
            "\"",
            ",",
            ", ",
            "é",
        ];
        let piece = prop_oneof![
            8 => prop::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
            1 => prop::collection::vec(33..127_u8, 0..4),
        ];
        prop::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn fast_decision_agrees_with_weights(lines in prop::collection::vec(line(), 0..3)) {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(ACCEPT, HeaderValue::from_bytes(line).unwrap());
            }
            for policy in [Negotiate::Listed, Negotiate::Wildcards, Negotiate::Require] {
                if let Some(decision) = policy.decide_fast(&headers) {
                    prop_assert_eq!(decision, policy.decide_by_weight(&headers), "{:?}", policy);
                }
            }
        }
    }

    #[test]
    fn pages_and_event_sources_need_no_weights() {
        let decide =
            |accept| Negotiate::Listed.decide_fast(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]));
        assert_eq!(decide("text/html,application/signed-exchange;v=b3;q=0.7,*/*;q=0.8"), Some(Decision::Inner));
        assert_eq!(decide("text/event-stream"), Some(Decision::Stream));
        assert_eq!(decide("application/json, text/event-stream"), None);
        assert_eq!(Negotiate::Listed.decide_fast(&HeaderMap::new()), Some(Decision::Inner));
    }
}
