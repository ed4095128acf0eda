//! A builder of [`Redis`].

use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "redis-tls")]
use super::tls::Tls;
use super::{
    Redis,
    connection::Endpoints,
    error::RedisError,
    observer::CatchPanics,
    settings::{MAX_PRESENCE_TTL, RESPONSE_TIMEOUT, Settings},
};
use crate::observe::link::LinkObserver;

/// A builder of [`Redis`]. Setters accept any value; [`build`](Self::build) and [`connect`](Self::connect) report the errors.
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` or `connect`"]
pub struct RedisBuilder {
    urls: Vec<String>,
    settings: Settings,
    #[cfg(feature = "redis-tls")]
    tls: Tls,
}

impl Redis {
    /// Creates a builder for the Redis at this URL.
    ///
    /// The URL is `redis://user:password@host:port/database`, `rediss://` for TLS with feature `redis-tls`, or `unix:/path`.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder {
            urls: vec![url.into()],
            settings: Settings::new(),
            #[cfg(feature = "redis-tls")]
            tls: Tls::default(),
        }
    }
}

impl RedisBuilder {
    /// Adds a URL that is tried if the servers before it are unreachable or replicas. May be called several times.
    ///
    /// Use it for other nodes of a cluster, or for the replica that is promoted in a failover.
    pub fn fallback(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Sets the prefix of all keys in Redis, which is the name of the hub: hubs with the same prefix share their events.
    ///
    /// A prefix without braces is written in braces. They are a hash tag, so that a cluster keeps all keys of a hub on one node. A
    /// prefix with braces is used as it is. Defaults to `sse`, written `{sse}`.
    pub fn prefix(mut self, prefix: &str) -> Self {
        let has_tag = prefix.contains(['{', '}']);
        self.settings.prefix = if has_tag { prefix.to_owned() } else { format!("{{{prefix}}}") };
        self
    }

    /// Sets the number of newest entries that the stream retains at least, unless they exceed the [`age`](Self::age).
    ///
    /// Redis trims a stream in blocks, so it retains up to a few hundred more. Defaults to 100,000, at least one.
    pub fn entries(mut self, entries: u64) -> Self {
        self.settings.entries = entries.clamp(1, MAX_ENTRIES);
        self
    }

    /// Sets the age up to which the stream retains an entry at least, or `None` for no limit.
    ///
    /// The stream is trimmed on a publish, so a hub without publishes retains older entries. Defaults to one hour.
    pub fn age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.settings.age = age.into();
        self
    }

    /// Sets the number of keys that a topic has in Redis.
    ///
    /// Beyond it a publish evicts the oldest of eight keys that are sampled at random, so approximately the one that was
    /// published least recently. Defaults to 1,024, at least one.
    pub fn keys(mut self, keys: u64) -> Self {
        self.settings.keys = keys.max(1);
        self
    }

    /// Sets how many entries, and how many bytes of them, a node loads when it starts: the newest that both bounds and the
    /// [`age`](Self::age) permit.
    ///
    /// A client whose cursor is before the first loaded entry receives a gap. Defaults to 100,000 entries and 64 MiB.
    pub fn initial_load(mut self, entries: usize, bytes: usize) -> Self {
        (self.settings.load_entries, self.settings.load_bytes) = (entries, bytes);
        self
    }

    /// Sets the time limit for sending a publish, and, separately, for the response to it.
    ///
    /// A publish that was not sent in time fails with [`NotSent`](crate::hub::PublishError::NotSent), one without a response in
    /// time with [`Unknown`](crate::hub::PublishError::Unknown). Defaults to 2 s.
    pub fn publish_timeout(mut self, limit: Duration) -> Self {
        self.settings.publish_timeout = limit;
        self
    }

    /// Sets the TTL of an [idempotency key](crate::hub::Topic::publish_once). Defaults to ten minutes.
    pub fn idempotency_ttl(mut self, ttl: Duration) -> Self {
        self.settings.idempotency_ttl = ttl;
        self
    }

    /// Sets the time after which a node without a heartbeat leaves the [presence](crate::hub::Topic::presence) on other nodes.
    ///
    /// A node sends a heartbeat once a second, and the others notice its expiry up to three seconds later. Defaults to 5 s, at
    /// least 2 s, at most a day.
    pub fn presence_ttl(mut self, ttl: Duration) -> Self {
        self.settings.presence_ttl = ttl.clamp(MIN_PRESENCE_TTL, MAX_PRESENCE_TTL);
        self
    }

    /// Sets the observer of the link to Redis. Panics of the observer are caught. Defaults to none.
    pub fn observer(mut self, observer: impl LinkObserver) -> Self {
        self.settings.observer = Arc::new(CatchPanics(observer));
        self
    }

    /// Sets the root certificates to trust, as PEM (feature `redis-tls`). No other root is trusted then.
    ///
    /// Defaults to the roots of the system, which are the files named by the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` if
    /// these are set.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificates(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.tls.set_roots(certificates.into());
        self
    }

    /// Sets the client certificate and its private key, both as PEM (feature `redis-tls`).
    ///
    /// Redis requires one over TLS unless it is configured with `tls-auth-clients no`. Defaults to none.
    #[cfg(feature = "redis-tls")]
    pub fn client_certificate(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.tls.set_identity(certificate.into(), key.into());
        self
    }

    /// Builds the backplane without connecting. Its hub keeps streams open while it waits for Redis.
    ///
    /// # Errors
    ///
    /// If a URL is invalid, if certificates or a key are invalid, or if certificates are set and no URL is `rediss://`.
    pub fn build(self) -> Result<Redis, RedisError> {
        #[cfg_attr(not(feature = "redis-tls"), expect(unused_mut, reason = "only TLS is set afterwards"))]
        let mut endpoints = Endpoints::new(&self.urls)?;
        #[cfg(feature = "redis-tls")]
        endpoints.set_tls(self.tls)?;
        Ok(Redis::new(endpoints, self.settings))
    }

    /// Builds the backplane, and connects once to check that Redis is reachable and permits the commands to read and publish.
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build), and if the check fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection and has no other effect.
    pub async fn connect(self) -> Result<Redis, RedisError> {
        let redis = self.build()?;
        redis.endpoints.connect(&redis.settings, RESPONSE_TIMEOUT).await?;
        Ok(redis)
    }
}

impl fmt::Debug for RedisBuilder {
    /// Leaves out the URLs, which may contain passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

const MIN_PRESENCE_TTL: Duration = Duration::from_secs(2);

/// The maximum of Redis's counters, which have 63 bits. Redis rejects larger numbers.
const MAX_ENTRIES: u64 = i64::MAX.unsigned_abs();

#[cfg(test)]
mod tests {
    use super::*;

    /// Redis rejected every publish.
    #[test]
    fn number_of_entries_is_limited_to_what_redis_counts() {
        let builder = Redis::builder("redis://127.0.0.1/").entries(u64::MAX);
        assert!(i64::try_from(builder.settings.entries).is_ok());
    }

    #[test]
    fn build_reports_errors_of_all_setters() {
        let valid = || Redis::builder("redis://127.0.0.1/").fallback("redis://[::1]/");
        assert!(valid().build().is_ok());
        assert!(Redis::builder("http://127.0.0.1/").fallback("redis://127.0.0.1/").build().is_err());
        let error = valid().fallback("garbage").prefix("chat").build().expect_err("the URL is invalid");
        assert!(std::error::Error::source(&error).is_some(), "{error}");
    }

    #[test]
    fn debug_output_contains_no_password() {
        let builder = Redis::builder("redis://ann:secret@127.0.0.1/");
        assert!(!format!("{builder:?} {:?}", builder.clone().build().unwrap()).contains("secret"));
    }

    #[cfg(feature = "redis-tls")]
    #[test]
    fn certificates_are_checked_on_build() {
        let refused = |url, roots: &[u8]| Redis::builder(url).root_certificates(roots).build().unwrap_err().to_string();
        assert_eq!(refused("rediss://127.0.0.1/", b"garbage"), "root certificates contain no certificate");
        assert_eq!(refused("redis://127.0.0.1/", b"garbage"), "certificates are set, but no url uses tls");
        let no_key = Redis::builder("rediss://127.0.0.1/").client_certificate(b"garbage", b"garbage");
        assert!(no_key.build().is_err());
    }
}
