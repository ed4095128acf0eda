//! What goes wrong between a node and Redis.

use std::{error::Error, fmt};

use ::redis::{ErrorKind, ServerErrorKind};

use crate::{hub::error::PublishError, panic::Panicked};

/// Redis cannot be reached, or does not do what is asked.
#[derive(Debug, Clone)]
pub struct RedisError(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Client(::redis::RedisError),
    Protocol(&'static str),
    Panicked(Panicked),
}

impl RedisError {
    pub(super) fn protocol(what: &'static str) -> Self {
        Self(Kind::Protocol(what))
    }

    /// The node of a cluster that has the keys, if this one has not.
    pub(super) fn redirected_to(&self) -> Option<(String, u16)> {
        match &self.0 {
            Kind::Client(error) => error.redirect_node().and_then(|(address, _)| {
                let (host, port) = address.rsplit_once(':')?;
                Some((host.to_owned(), port.parse().ok()?))
            }),
            Kind::Protocol(_) | Kind::Panicked(_) => None,
        }
    }

    /// Returns whether Redis can be reached, and does not do what is asked for.
    pub(super) fn is_answer(&self) -> bool {
        match &self.0 {
            Kind::Client(error) => error.code().is_some(),
            Kind::Protocol(_) | Kind::Panicked(_) => true,
        }
    }

    /// Returns whether this error says that the value at a key is of another type. It says nothing of other keys.
    pub(super) fn is_of_this_key(&self) -> bool {
        matches!(&self.0, Kind::Client(error) if error.code() == Some("WRONGTYPE"))
    }

    /// Whether Redis has answered, and by that said that nothing was done.
    pub(super) fn was_rejected(&self) -> bool {
        match &self.0 {
            Kind::Client(error) => match error.kind() {
                ErrorKind::Server(ServerErrorKind::ResponseError) => false,
                ErrorKind::Server(_) => true,
                _ => error.code().is_some_and(|code| REFUSALS.contains(&code)),
            },
            Kind::Protocol(_) => true,
            Kind::Panicked(_) => false,
        }
    }

    /// Whether it says that another connection, perhaps to another server, would do better.
    pub(super) fn needs_reconnect(&self) -> bool {
        let Kind::Client(error) = &self.0 else { return false };
        matches!(error.kind(), ErrorKind::Server(kind) if kind != ServerErrorKind::ResponseError)
    }

    pub(super) fn is_no_script(&self) -> bool {
        let Kind::Client(error) = &self.0 else { return false };
        error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
    }

    /// What the publisher is told, whose event was on its way.
    pub(super) fn into_publish_error(self) -> PublishError {
        if self.was_rejected() { PublishError::not_sent(self) } else { PublishError::unknown(self) }
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Client(error) => write!(f, "redis: {error}"),
            Kind::Protocol(what) => f.write_str(what),
            Kind::Panicked(panicked) => panicked.fmt(f),
        }
    }
}

impl Error for RedisError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Client(error) => Some(error),
            Kind::Protocol(_) => None,
            Kind::Panicked(panicked) => Some(panicked),
        }
    }
}

impl From<Panicked> for RedisError {
    fn from(panicked: Panicked) -> Self {
        Self(Kind::Panicked(panicked))
    }
}

impl From<::redis::RedisError> for RedisError {
    fn from(error: ::redis::RedisError) -> Self {
        Self(Kind::Client(error))
    }
}

/// Redis's answers, beside those that the client has kinds for, after which nothing was done.
/// `WRONGTYPE` is the stream's: of everything else the script takes care.
const REFUSALS: [&str; 9] =
    ["OOM", "NOREPLICAS", "MISCONF", "BUSY", "NOAUTH", "WRONGPASS", "NOTREADY", "UNKILLABLE", "WRONGTYPE"];
