//! Errors between a node and Redis.

use std::{error::Error, fmt};

use ::redis::{ErrorKind, ServerErrorKind};

use crate::{hub::error::PublishError, panic::PanicError};

/// An error of the [`Redis`](crate::backplane::redis::Redis) backplane: of its settings, of a connection, or a response of Redis.
#[derive(Debug, Clone)]
pub struct RedisError(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Client(::redis::RedisError),
    Protocol(&'static str),
    Panicked(PanicError),
}

impl RedisError {
    pub(super) fn protocol(message: &'static str) -> Self {
        Self(Kind::Protocol(message))
    }

    /// Returns the cluster node that serves the keys, if this error is a redirect to it.
    pub(super) fn redirected_to(&self) -> Option<(String, u16)> {
        match &self.0 {
            Kind::Client(error) => error.redirect_node().and_then(|(address, _)| {
                let (host, port) = address.rsplit_once(':')?;
                Some((host.to_owned(), port.parse().ok()?))
            }),
            Kind::Protocol(_) | Kind::Panicked(_) => None,
        }
    }

    /// Returns whether Redis was reachable and responded with this error.
    pub(super) fn is_response(&self) -> bool {
        match &self.0 {
            Kind::Client(error) => error.code().is_some(),
            Kind::Protocol(_) | Kind::Panicked(_) => true,
        }
    }

    /// Returns whether the value at one key has another type. Other keys are unaffected by this error.
    pub(super) fn is_wrong_type(&self) -> bool {
        matches!(&self.0, Kind::Client(error) if error.code() == Some("WRONGTYPE"))
    }

    /// Returns whether Redis rejected the command, so that it had no effect.
    pub(super) fn was_rejected(&self) -> bool {
        match &self.0 {
            Kind::Client(error) => match error.kind() {
                ErrorKind::Server(ServerErrorKind::ResponseError) => false,
                ErrorKind::Server(_) => true,
                _ => error.code().is_some_and(|code| REJECTIONS.contains(&code)),
            },
            Kind::Protocol(_) => true,
            Kind::Panicked(_) => false,
        }
    }

    /// Returns whether a new connection, possibly to another server, may succeed.
    pub(super) fn needs_reconnect(&self) -> bool {
        let Kind::Client(error) = &self.0 else { return false };
        matches!(error.kind(), ErrorKind::Server(kind) if kind != ServerErrorKind::ResponseError)
    }

    pub(super) fn is_no_script(&self) -> bool {
        let Kind::Client(error) = &self.0 else { return false };
        error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
    }

    /// Converts an error of the command that publishes.
    pub(super) fn into_publish_error(self) -> PublishError {
        if self.was_rejected() { PublishError::not_sent(self) } else { PublishError::unknown(self) }
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Client(error) => write!(f, "redis: {error}"),
            Kind::Protocol(message) => f.write_str(message),
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

impl From<PanicError> for RedisError {
    fn from(panicked: PanicError) -> Self {
        Self(Kind::Panicked(panicked))
    }
}

impl From<::redis::RedisError> for RedisError {
    fn from(error: ::redis::RedisError) -> Self {
        Self(Kind::Client(error))
    }
}

/// The codes of error responses after which a command had no effect, except for those that the client has kinds for.
/// `WRONGTYPE` can only refer to the stream: the script replaces every other value of a wrong type.
const REJECTIONS: [&str; 9] =
    ["OOM", "NOREPLICAS", "MISCONF", "BUSY", "NOAUTH", "WRONGPASS", "NOTREADY", "UNKILLABLE", "WRONGTYPE"];
