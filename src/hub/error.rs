//! The errors of hub operations.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use http::StatusCode;

use crate::{error::BoxError, negotiate::refusal::Refusal};

/// A topic is unavailable: the hub is full, or the name is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicError(TopicErrorKind);

/// A publish failed. None of the events of the call was published, unless the error is [`Unknown`](Self::Unknown) or
/// [`Pending`](Self::Pending).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PublishError {
    /// An event is larger than what its topic, or the hub, may keep.
    TooLarge {
        /// The size of the event in bytes, as [`Retention::bytes`](crate::hub::Retention::bytes) counts it.
        size: usize,
        /// The maximum size.
        limit: usize,
    },
    /// The topic had been closed, and cannot be created again.
    Topic(TopicError),
    /// The backplane did not accept the event, which will not be published.
    NotSent(BackplaneError),
    /// The backplane did not respond. The event may be published already, may be published later, or not at all.
    ///
    /// Retry only under an [idempotency key](crate::hub::Topic::publish_once).
    Unknown(BackplaneError),
    /// The outcome is not known yet: await the [`Published`](crate::hub::Published) instead.
    Pending,
}

/// A subscription was not created.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// A topic is unavailable.
    Topic(TopicError),
    /// No topic was named.
    NoTopic,
    /// More topics were named than a subscription [may have](crate::hub::HubBuilder::max_topics_per_subscription).
    #[non_exhaustive]
    TooManyTopics {
        /// The number of topics that were named, each counted once.
        topics: usize,
        /// The maximum number of topics.
        limit: usize,
    },
    /// The member is too long.
    #[non_exhaustive]
    MemberTooLong {
        /// The length of the member, in bytes.
        bytes: usize,
        /// The maximum length, in bytes.
        limit: usize,
    },
}

/// An error of a [backplane](crate::backplane), as part of a [`PublishError`].
///
/// Displays as the error that the backplane reported, which [`get_ref`](Self::get_ref) returns. Clones share it.
#[derive(Clone)]
pub struct BackplaneError(Arc<dyn Error + Send + Sync>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TopicErrorKind {
    TooMany { limit: usize },
    NameTooLong { bytes: usize, limit: usize },
}

impl TopicError {
    pub(crate) fn too_many(limit: usize) -> Self {
        Self(TopicErrorKind::TooMany { limit })
    }

    pub(crate) fn name_too_long(bytes: usize, limit: usize) -> Self {
        Self(TopicErrorKind::NameTooLong { bytes, limit })
    }

    /// Returns whether the hub has as many topics as it may, all of them held. A later attempt may succeed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.0, TopicErrorKind::TooMany { .. })
    }
}

impl PublishError {
    /// Creates the error of a publish that a backplane did not accept. For implementations of
    /// [`Backplane`](crate::backplane::Backplane).
    pub fn not_sent(error: impl Into<BoxError>) -> Self {
        Self::NotSent(BackplaneError::new(error))
    }

    /// Creates the error of a publish whose outcome is unknown. For implementations of
    /// [`Backplane`](crate::backplane::Backplane).
    pub fn unknown(error: impl Into<BoxError>) -> Self {
        Self::Unknown(BackplaneError::new(error))
    }
}

impl BackplaneError {
    fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into().into())
    }

    /// Returns the error that the backplane reported, to be downcast for example.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TopicErrorKind::TooMany { limit } => write!(f, "hub is full: all {limit} topics are in use"),
            TopicErrorKind::NameTooLong { bytes, limit } => {
                write!(f, "topic name of {bytes} bytes exceeds the limit of {limit}")
            }
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { size, limit } => write!(f, "event of {size} bytes exceeds the limit of {limit}"),
            Self::Topic(_) => f.write_str("closed topic cannot be opened again"),
            Self::NotSent(_) => f.write_str("event was not published"),
            Self::Unknown(_) => f.write_str("outcome of the publish is unknown"),
            Self::Pending => f.write_str("outcome of the publish is not known yet"),
        }
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(_) => f.write_str("topic unavailable"),
            Self::NoTopic => f.write_str("subscription names no topic"),
            Self::TooManyTopics { topics, limit } => {
                write!(f, "subscription names {topics} topics, which exceeds the limit of {limit}")
            }
            Self::MemberTooLong { bytes, limit } => {
                write!(f, "member of {bytes} bytes exceeds the limit of {limit}")
            }
        }
    }
}

impl fmt::Display for BackplaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BackplaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for TopicError {}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Topic(error) => Some(error),
            Self::NotSent(error) | Self::Unknown(error) => Some(error.get_ref()),
            Self::TooLarge { .. } | Self::Pending => None,
        }
    }
}

impl Error for SubscribeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Topic(error) => Some(error),
            Self::NoTopic | Self::TooManyTopics { .. } | Self::MemberTooLong { .. } => None,
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

/// A full hub is refused with [`Refusal::later`], since room may come. A name that is too long is a `400 Bad Request`.
impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        let refusal = if error.is_full() { Self::later(RETRY_AFTER) } else { Self::status(StatusCode::BAD_REQUEST) };
        refusal.with_source(error)
    }
}

/// An unavailable topic is refused as a [`TopicError`]. Any other error is a `400 Bad Request`.
impl From<SubscribeError> for Refusal {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::Topic(error) => error.into(),
            error => Self::status(StatusCode::BAD_REQUEST).with_source(error),
        }
    }
}

/// The delay after which a client of a full hub retries. Topics become free when clients leave, which is seldom at once.
const RETRY_AFTER: Duration = Duration::from_secs(10);
