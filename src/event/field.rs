//! Names, ids and comments of events: single lines of text, valid once constructed.

use std::{
    borrow::Borrow,
    error::Error,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The name of an event, by which a page listens for it with `addEventListener`. An event without a name is a `message`.
///
/// An `EventName` is valid once constructed: it is not empty, since a client treats an empty name as no name, and contains neither
/// CR nor LF, since a line break would end the field and begin another one ([HTML §9.2.6]). Literals are checked at compile time by
/// [`event_name!`](crate::event_name), other text at run time by `TryFrom<&str>` and `TryFrom<String>`. Cloning is cheap.
///
/// ```
/// use tower_sse::{EventName, event_name};
///
/// const TICK: EventName = event_name!("tick");
/// assert_eq!(EventName::try_from("tick")?, TICK);
/// assert!(EventName::try_from("two\nlines").is_err());
/// # Ok::<(), tower_sse::InvalidEventName>(())
/// ```
///
/// [HTML §9.2.6]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Text);

/// The id of an event, which a client sends back as `Last-Event-ID` when it reconnects.
///
/// An `EventId` is valid once constructed: it contains no CR or LF, which would end the field, and no NUL, which makes a client
/// ignore the field ([HTML §9.2.6]). An empty id is valid and makes the client forget its last one. Literals are checked at compile
/// time by [`event_id!`](crate::event_id), other text at run time by `TryFrom<&str>` and `TryFrom<String>`. Integers convert by
/// `From`. Cloning is cheap.
///
/// Keep ids short and within `[0-9A-Za-z]` and ` *,-./:;=_`: above 128 bytes, or with other bytes, a cross-origin
/// client needs a preflight request at each reconnect ([Fetch, CORS-safelisted request-header]).
///
/// ```
/// use tower_sse::{EventId, event_id};
///
/// assert_eq!(EventId::from(42), event_id!("42"));
/// assert_eq!(EventId::try_from(String::from("42-0"))?, "42-0");
/// assert!(EventId::try_from("two\nlines").is_err());
/// # Ok::<(), tower_sse::InvalidEventId>(())
/// ```
///
/// [HTML §9.2.6]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
/// [Fetch, CORS-safelisted request-header]: https://fetch.spec.whatwg.org/#cors-safelisted-request-header
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Text);

/// The comment of an event: a line that clients skip, for those who read the raw stream.
///
/// An `EventComment` is valid once constructed: it contains neither CR nor LF, which would end the comment and begin a field
/// ([HTML §9.2.5]). It may be empty. Literals are checked at compile time by [`event_comment!`](crate::event_comment), other text
/// at run time by `TryFrom<&str>` and `TryFrom<String>`. Cloning is cheap.
///
/// ```
/// use tower_sse::{Event, EventComment, event_comment};
///
/// let event = Event::builder().comment(event_comment!("from the cache")).data("42.10");
/// assert_eq!(event.to_bytes(), ": from the cache\ndata: 42.10\n\n");
/// assert!(EventComment::try_from("two\nlines").is_err());
/// ```
///
/// [HTML §9.2.5]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventComment(Text);

/// An error of text that is no [`EventName`]: it is empty, or contains CR or LF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEventName(());

/// An error of text that is no [`EventId`]: it contains CR, LF or NUL, or is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEventId(());

/// An error of text that is no [`EventComment`]: it contains CR or LF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEventComment(());

/// Makes an [`EventName`] of a literal, checked at compile time.
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

/// Makes an [`EventId`] of a literal, checked at compile time.
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

/// Makes an [`EventComment`] of a literal, checked at compile time.
///
/// ```
/// use tower_sse::event_comment;
///
/// assert_eq!(event_comment!("from the cache").as_str(), "from the cache");
/// ```
///
/// ```compile_fail
/// use tower_sse::event_comment;
///
/// let comment = event_comment!("\ndata: forged");
/// ```
#[macro_export]
macro_rules! event_comment {
    ($comment:expr) => {
        const { $crate::EventComment::from_static($comment) }
    };
}

impl EventName {
    /// Creates a name from a literal. Prefer [`event_name!`](crate::event_name), which checks at compile time wherever it stands.
    ///
    /// # Panics
    ///
    /// Panics if the text is not a valid name. In a `const` context that is a compile error.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(Self::is_valid(name), "event name must not be empty or contain CR or LF");
        Self(Text::Static(name))
    }

    const fn is_valid(name: &str) -> bool {
        !name.is_empty() && !contains_any(name.as_bytes(), b"\r\n")
    }
}

impl EventId {
    /// Creates an id from a literal. Prefer [`event_id!`](crate::event_id), which checks at compile time wherever it stands.
    ///
    /// # Panics
    ///
    /// Panics if the text is not a valid id. In a `const` context that is a compile error.
    #[must_use]
    pub const fn from_static(id: &'static str) -> Self {
        assert!(Self::is_valid(id), "event id must not contain CR, LF or NUL");
        Self(Text::Static(id))
    }

    /// Creates an id from digits, letters and hyphens.
    pub(crate) fn from_plain(id: &str) -> Self {
        debug_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        Self(Text::Shared(id.into()))
    }

    const fn is_valid(id: &str) -> bool {
        !contains_any(id.as_bytes(), b"\r\n\0")
    }
}

impl EventComment {
    /// Creates a comment from a literal. Prefer [`event_comment!`](crate::event_comment), which checks at compile time wherever it
    /// stands.
    ///
    /// # Panics
    ///
    /// Panics if the text is not a valid comment. In a `const` context that is a compile error.
    #[must_use]
    pub const fn from_static(comment: &'static str) -> Self {
        assert!(Self::is_valid(comment), "event comment must not contain CR or LF");
        Self(Text::Static(comment))
    }

    const fn is_valid(comment: &str) -> bool {
        !contains_any(comment.as_bytes(), b"\r\n")
    }
}

/// Implements the decimal form of integers as ids. Signed ones too: an integer literal without a type is an `i32`.
macro_rules! from_integers {
    ($($integer:ty)*) => {$(
        impl From<$integer> for EventId {
            fn from(id: $integer) -> Self {
                Self(Text::Shared(itoa::Buffer::new().format(id).into()))
            }
        }
    )*};
}

from_integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

impl TryFrom<&[u8]> for EventId {
    type Error = InvalidEventId;

    fn try_from(id: &[u8]) -> Result<Self, InvalidEventId> {
        std::str::from_utf8(id).map_err(|_| InvalidEventId(()))?.try_into()
    }
}

impl fmt::Display for InvalidEventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event name must not be empty or contain CR or LF")
    }
}

impl fmt::Display for InvalidEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event id must be UTF-8 without CR, LF or NUL")
    }
}

impl fmt::Display for InvalidEventComment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event comment must not contain CR or LF")
    }
}

impl Error for InvalidEventName {}
impl Error for InvalidEventId {}
impl Error for InvalidEventComment {}

/// Implements the conversions and traits that these types have as text.
macro_rules! text {
    ($kind:ident, $error:ident, $noun:literal) => {
        impl $kind {
            #[doc = concat!("Returns the ", $noun, " as text.")]
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl TryFrom<String> for $kind {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                if Self::is_valid(&text) { Ok(Self(Text::Shared(text.into()))) } else { Err($error(())) }
            }
        }

        impl TryFrom<&str> for $kind {
            type Error = $error;

            fn try_from(text: &str) -> Result<Self, $error> {
                if Self::is_valid(text) { Ok(Self(Text::Shared(text.into()))) } else { Err($error(())) }
            }
        }

        impl std::str::FromStr for $kind {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                text.try_into()
            }
        }

        impl From<$kind> for String {
            fn from(text: $kind) -> Self {
                text.as_str().into()
            }
        }

        impl AsRef<str> for $kind {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        /// `Eq`, `Ord` and `Hash` are those of the text.
        impl Borrow<str> for $kind {
            fn borrow(&self) -> &str {
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

text!(EventName, InvalidEventName, "name");
text!(EventId, InvalidEventId, "id");
text!(EventComment, InvalidEventComment, "comment");

/// Text that is cheap to clone, and takes no allocation if it is a literal.
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

const fn contains_any(text: &[u8], unwanted: &[u8]) -> bool {
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
