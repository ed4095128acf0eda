//! What goes wrong between a node and Redis.

use std::{error::Error, fmt, sync::Arc};

use ::redis::{ErrorKind, ServerErrorKind};

use crate::{hub::error::PublishError, panic::Panicked};

/// Redis cannot be reached, or does not do what is asked.
#[derive(Debug, Clone)]
pub struct RedisError(Why);

#[derive(Debug, Clone)]
enum Why {
    Client(::redis::RedisError),
    Said(&'static str),
    Panicked(Panicked),
}

impl RedisError {
    pub(super) fn said(what: &'static str) -> Self {
        Self(Why::Said(what))
    }

    /// The node of a cluster that has the keys, if this one has not.
    pub(super) fn elsewhere(&self) -> Option<(String, u16)> {
        match &self.0 {
            Why::Client(error) => error.redirect_node().and_then(|(address, _)| {
                let (host, port) = address.rsplit_once(':')?;
                Some((host.to_owned(), port.parse().ok()?))
            }),
            Why::Said(_) | Why::Panicked(_) => None,
        }
    }

    /// Returns whether Redis can be reached, and does not do what is asked for.
    pub(super) fn is_answer(&self) -> bool {
        match &self.0 {
            Why::Client(error) => error.code().is_some(),
            Why::Said(_) | Why::Panicked(_) => true,
        }
    }

    /// Returns whether this error says that the value at a key is of another type. It says nothing of other keys.
    pub(super) fn is_of_this_key(&self) -> bool {
        matches!(&self.0, Why::Client(error) if error.code() == Some("WRONGTYPE"))
    }

    /// Whether Redis has answered, and by that said that nothing was done.
    pub(super) fn is_no(&self) -> bool {
        match &self.0 {
            Why::Client(error) => match error.kind() {
                ErrorKind::Server(ServerErrorKind::ResponseError) => false,
                ErrorKind::Server(_) => true,
                _ => error.code().is_some_and(|code| REFUSALS.contains(&code)),
            },
            Why::Said(_) => true,
            Why::Panicked(_) => false,
        }
    }

    /// Whether it says that another connection, perhaps to another server, would do better.
    pub(super) fn is_of_this_connection(&self) -> bool {
        let Why::Client(error) = &self.0 else { return false };
        matches!(error.kind(), ErrorKind::Server(kind) if kind != ServerErrorKind::ResponseError)
    }

    pub(super) fn is_no_script(&self) -> bool {
        let Why::Client(error) = &self.0 else { return false };
        error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
    }

    /// What the publisher is told, whose event was on its way.
    pub(super) fn into_publish_error(self) -> PublishError {
        let why = Arc::from(self.to_string());
        if self.is_no() { PublishError::NotSent(why) } else { PublishError::Unknown(why) }
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Client(error) => write!(f, "redis: {error}"),
            Why::Said(what) => f.write_str(what),
            Why::Panicked(panicked) => panicked.fmt(f),
        }
    }
}

impl Error for RedisError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Why::Client(error) => Some(error),
            Why::Said(_) => None,
            Why::Panicked(panicked) => Some(panicked),
        }
    }
}

impl From<Panicked> for RedisError {
    fn from(panicked: Panicked) -> Self {
        Self(Why::Panicked(panicked))
    }
}

impl From<::redis::RedisError> for RedisError {
    fn from(error: ::redis::RedisError) -> Self {
        Self(Why::Client(error))
    }
}

/// Redis's answers, beside those that the client has kinds for, after which nothing was done.
/// `WRONGTYPE` is the stream's: of everything else the script takes care.
const REFUSALS: [&str; 9] =
    ["OOM", "NOREPLICAS", "MISCONF", "BUSY", "NOAUTH", "WRONGPASS", "NOTREADY", "UNKILLABLE", "WRONGTYPE"];
