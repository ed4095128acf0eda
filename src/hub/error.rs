//! Why a hub takes a topic, an event or a subscriber not.

use std::{error::Error, fmt, sync::Arc};

use crate::negotiate::refusal::Refusal;

/// A hub has no room for a topic, or its name is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicError(Why);

/// An event was not published. Nothing of the call was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The event is larger than what its topic, or the hub, may keep.
    TooLarge {
        /// What it counts for, in bytes.
        size: usize,
        /// What there may be.
        limit: usize,
    },
    /// The topic had been closed, and there is no room for a new one of its name.
    Topic(TopicError),
    /// What feeds the hub did not take it: it is not there, and will not come.
    NotSent(Arc<str>),
    /// What feeds the hub did not answer: it may be there, now or later. To repeat it is safe only with an
    /// [idempotency key](crate::hub::Topic::publish_once).
    Unknown(Arc<str>),
    /// It is not known yet: wait for the [future](crate::hub::Published).
    Pending,
}

/// A subscription was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// One of the topics cannot be had.
    Topic(TopicError),
    /// No topic was named: nothing would ever come.
    NoTopic,
    /// More topics were named than this many, which a [subscription may have](crate::hub::HubBuilder::max_topics_per_subscription).
    TooManyTopics(usize),
    /// The member's value is longer than this many bytes.
    MemberTooLong(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    TooMany { limit: usize },
    NameTooLong { bytes: usize, limit: usize },
}

impl TopicError {
    pub(crate) fn too_many(limit: usize) -> Self {
        Self(Why::TooMany { limit })
    }

    pub(crate) fn name_too_long(bytes: usize, limit: usize) -> Self {
        Self(Why::NameTooLong { bytes, limit })
    }

    /// Returns whether the hub has as many topics as it may, and all of them are held: later there may be room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.0, Why::TooMany { .. })
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Why::TooMany { limit } => write!(f, "the hub has {limit} topics in use, which is its limit"),
            Why::NameTooLong { bytes, limit } => {
                write!(f, "a topic's name has at most {limit} bytes, and this one has {bytes}")
            }
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, limit } => {
                write!(f, "the event counts for {size} bytes where at most {limit} are kept")
            }
            Self::Topic(_) => f.write_str("the topic was closed and cannot be opened again"),
            Self::NotSent(why) => write!(f, "the event was not sent: {why}"),
            Self::Unknown(why) => write!(f, "whether the event was published is unknown: {why}"),
            Self::Pending => f.write_str("whether the event was published is not known yet"),
        }
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(_) => f.write_str("topic unavailable"),
            Self::NoTopic => f.write_str("a subscription needs at least one topic"),
            Self::TooManyTopics(limit) => write!(f, "a subscription has at most {limit} topics"),
            Self::MemberTooLong(limit) => write!(f, "a member's value has at most {limit} bytes"),
        }
    }
}

impl Error for TopicError {}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Topic(error) => Some(error),
            _ => None,
        }
    }
}

impl Error for SubscribeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Topic(error) => Some(error),
            Self::NoTopic | Self::TooManyTopics(_) | Self::MemberTooLong(_) => None,
        }
    }
}

impl From<TopicError> for PublishError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

impl From<TopicError> for SubscribeError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

/// A full hub asks the client to come later; what cannot be had at all is `400 Bad Request`.
impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        let refusal = if error.is_full() { Self::later(COME_BACK_AFTER) } else { Self::status(BAD_REQUEST) };
        refusal.with_source(error)
    }
}

impl From<SubscribeError> for Refusal {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::Topic(error) => error.into(),
            error => Self::status(BAD_REQUEST).with_source(error),
        }
    }
}

const BAD_REQUEST: http::StatusCode = http::StatusCode::BAD_REQUEST;

/// Topics become free when clients leave, which is seldom at once.
const COME_BACK_AFTER: std::time::Duration = std::time::Duration::from_secs(10);
