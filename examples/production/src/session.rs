//! Sessions: a signed cookie, which outlives the process, and a record of later logouts.
//!
//! With several processes, keep the logouts in a shared store, such as a database, and query it in `is_good`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use axum_extra::extract::{
    SignedCookieJar,
    cookie::{Cookie, Key, SameSite},
};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::{
    app::App,
    client::{Client, key_of},
    settings::Settings,
};

/// The content of the cookie: a user, and the time of the login.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    user: Arc<str>,
    since: Time,
}

/// The time since the Unix epoch, in whole microseconds, as in the cookie.
type Time = Duration;

pub(crate) struct Sessions {
    key: Key,
    password: Option<String>,
    is_secure: bool,
    lasts: Duration,
    /// The last logout of each user: earlier sessions are invalid.
    over: Mutex<HashMap<Arc<str>, Time>>,
}

impl Session {
    pub(crate) fn user(&self) -> &str {
        &self.user
    }
}

impl Sessions {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            key: settings.cookie_key.clone(),
            password: settings.password.clone(),
            // A browser sends a secure cookie over TLS only.
            is_secure: settings.tls_outside,
            lasts: settings.session,
            over: Mutex::default(),
        }
    }

    /// Returns the session of a request, if it has a valid one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Option<Session> {
        let cookie = SignedCookieJar::from_headers(headers, self.key.clone()).get(COOKIE)?;
        let (since, user) = cookie.value().split_once('.')?;
        let session = Session { user: user.into(), since: Time::from_micros(since.parse().ok()?) };
        self.is_good(&session).then_some(session)
    }

    /// Returns whether the session is still valid. Called for each request, and again while a stream is open.
    pub(crate) fn is_good(&self, session: &Session) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        now() < session.since + self.lasts && over.get(&session.user).is_none_or(|&over| over < session.since)
    }

    fn begin(&self, user: &str) -> Cookie<'static> {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner).get(user).copied();
        // A new login right after a logout has to be later than it.
        let since = now().max(over.map_or(Time::ZERO, |over| over + Duration::from_micros(1)));
        self.cookie(format!("{}.{user}", since.as_micros()))
    }

    fn end(&self, session: &Session) {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        // Sessions of forgotten logouts have expired.
        over.retain(|_, over| now < *over + self.lasts);
        over.insert(Arc::clone(&session.user), now);
    }

    /// Returns a cookie without an age: the browser drops it when it is closed, and the server checks the expiry.
    fn cookie(&self, value: String) -> Cookie<'static> {
        let cookie = Cookie::build((COOKIE, value)).path("/").http_only(true).same_site(SameSite::Strict);
        cookie.secure(self.is_secure).build()
    }

    fn takes(&self, password: &str) -> bool {
        // In constant time.
        self.password.as_ref().is_none_or(|right| {
            let differs = right.bytes().zip(password.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
            right.len() == password.len() && differs == 0
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct LogIn {
    user: String,
    #[serde(default)]
    password: String,
}

#[derive(Serialize)]
pub(crate) struct Who {
    user: Option<String>,
}

pub(crate) async fn who(Extension(client): Extension<Client>) -> Json<Who> {
    Json(Who { user: client.session.map(|session| session.user.to_string()) })
}

/// Logs a user in. A real service has a password for each user, or an identity provider.
pub(crate) async fn log_in(
    State(app): State<Arc<App>>,
    Json(LogIn { user, password }): Json<LogIn>,
) -> Result<(SignedCookieJar, StatusCode), StatusCode> {
    if !is_name(&user) || !app.sessions.takes(&password) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    info!(user, "logged in");
    let jar = SignedCookieJar::new(app.sessions.key.clone()).add(app.sessions.begin(&user));
    Ok((jar, StatusCode::NO_CONTENT))
}

/// Logs a user out everywhere: each stream of the user ends at once, in every browser.
pub(crate) async fn log_out(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
) -> (SignedCookieJar, StatusCode) {
    if let Some(session) = client.session {
        // Invalidate sessions first, then end the open streams.
        app.sessions.end(&session);
        let streams = app.streams.end_key(&key_of(&session.user), "logged out");
        info!(user = session.user(), streams, "logged out");
    }
    let mut gone = app.sessions.cookie(String::new());
    gone.make_removal();
    (SignedCookieJar::new(app.sessions.key.clone()).add(gone), StatusCode::NO_CONTENT)
}

pub(crate) fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn now() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

const COOKIE: &str = "session";
