//! What may stand in an event's name and in its id.
//!
//! Both are single lines of text. A value that exists is valid: a line break would cut the field and let the rest be
//! read as a field of its own, and a NUL makes the client ignore an id ([HTML §9.2.6]), so neither can be held.
//!
//! ```
//! use tower_sse::{EventId, EventName, event_id, event_name};
//!
//! const TICK: EventName = event_name!("tick"); // checked by the compiler
//! let id = EventId::try_from(String::from("42"))?; // checked when it runs
//! assert!(EventName::try_from("two\nlines").is_err());
//! assert_ne!(id, event_id!("43"));
//! # Ok::<(), tower_sse::InvalidEventId>(())
//! ```
//!
//! [HTML §9.2.6]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

use std::{
    error::Error,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The name of an event: what a page gives to `addEventListener`. An event without one is a `message`.
///
/// Holds no CR and no LF, and is not empty (an empty name means *no name* to a client). Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Text);

/// The id of an event: what a client sends back as `Last-Event-ID` when it reconnects.
///
/// Holds no CR, LF or NUL. An empty id is valid and makes the client forget its last one. Cloning is cheap.
///
/// Keep ids short and within `[0-9A-Za-z]` and ` *,-./:;=_`: above 128 bytes, or with other bytes, a cross-origin
/// client needs a preflight request at each reconnect ([Fetch, CORS-safelisted request-header]).
///
/// [Fetch, CORS-safelisted request-header]: https://fetch.spec.whatwg.org/#cors-safelisted-request-header
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Text);

/// The text is not an event name: it is empty, or holds a CR or LF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEventName(());

/// The text is not an event id: it holds a CR, LF or NUL, or bytes that are not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEventId(());

/// An [`EventName`] out of a literal, checked at compile time.
///
/// ```
/// use tower_sse::event_name;
///
/// let name = event_name!("price");
/// assert_eq!(name.as_str(), "price");
/// ```
///
/// ```compile_fail
/// use tower_sse::event_name;
///
/// let name = event_name!("price\ndata: forged");
/// ```
#[macro_export]
macro_rules! event_name {
    ($name:expr) => {
        const { $crate::EventName::from_static($name) }
    };
}

/// An [`EventId`] out of a literal, checked at compile time.
///
/// ```
/// use tower_sse::event_id;
///
/// assert_eq!(event_id!("7").as_str(), "7");
/// ```
///
/// ```compile_fail
/// use tower_sse::event_id;
///
/// let id = event_id!("7\0");
/// ```
#[macro_export]
macro_rules! event_id {
    ($id:expr) => {
        const { $crate::EventId::from_static($id) }
    };
}

impl EventName {
    /// A name out of a literal. Prefer [`event_name!`], which checks at compile time wherever it stands.
    ///
    /// # Panics
    ///
    /// Outside a `const` context, when the text is not a valid name. Inside one that is a compile error.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(
            !name.is_empty() && !has_any(name.as_bytes(), b"\r\n"),
            "an event name is not empty and holds no CR or LF"
        );
        Self(Text::Static(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl EventId {
    /// An id out of a literal. Prefer [`event_id!`], which checks at compile time wherever it stands.
    ///
    /// # Panics
    ///
    /// Outside a `const` context, when the text is not a valid id. Inside one that is a compile error.
    #[must_use]
    pub const fn from_static(id: &'static str) -> Self {
        assert!(!has_any(id.as_bytes(), b"\r\n\0"), "an event id holds no CR, LF or NUL");
        Self(Text::Static(id))
    }

    /// An id out of digits, letters and hyphens.
    pub(crate) fn from_plain(id: &str) -> Self {
        debug_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        Self(Text::Shared(id.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for EventName {
    type Error = InvalidEventName;

    fn try_from(name: String) -> Result<Self, InvalidEventName> {
        if name.is_empty() || has_any(name.as_bytes(), b"\r\n") {
            return Err(InvalidEventName(()));
        }
        Ok(Self(Text::Shared(name.into())))
    }
}

impl TryFrom<String> for EventId {
    type Error = InvalidEventId;

    fn try_from(id: String) -> Result<Self, InvalidEventId> {
        if has_any(id.as_bytes(), b"\r\n\0") {
            return Err(InvalidEventId(()));
        }
        Ok(Self(Text::Shared(id.into())))
    }
}

impl From<u64> for EventId {
    fn from(id: u64) -> Self {
        Self(Text::Shared(itoa::Buffer::new().format(id).into()))
    }
}

impl TryFrom<&[u8]> for EventId {
    type Error = InvalidEventId;

    fn try_from(id: &[u8]) -> Result<Self, InvalidEventId> {
        std::str::from_utf8(id).map_err(|_| InvalidEventId(()))?.try_into()
    }
}

impl fmt::Display for InvalidEventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event name must not be empty and must hold no CR or LF")
    }
}

impl fmt::Display for InvalidEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event id must be UTF-8 and must hold no CR, LF or NUL")
    }
}

impl Error for InvalidEventName {}
impl Error for InvalidEventId {}

/// What both are as text: the same conversions and forms.
macro_rules! text {
    ($kind:ident, $error:ident) => {
        impl TryFrom<&str> for $kind {
            type Error = $error;

            fn try_from(text: &str) -> Result<Self, $error> {
                String::from(text).try_into()
            }
        }

        impl std::str::FromStr for $kind {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                text.try_into()
            }
        }

        impl AsRef<str> for $kind {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $kind {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $kind {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

text!(EventName, InvalidEventName);
text!(EventId, InvalidEventId);

/// Text that is cheap to clone, and needs no allocation where it is a literal.
#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

const fn has_any(text: &[u8], unwanted: &[u8]) -> bool {
    let mut at = 0;
    while at < text.len() {
        let mut of = 0;
        while of < unwanted.len() {
            if text[at] == unwanted[of] {
                return true;
            }
            of += 1;
        }
        at += 1;
    }
    false
}
