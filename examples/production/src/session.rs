//! Who is logged in: a signed cookie, so that it outlives the process, and a note of who has logged out since.
//!
//! With several processes the notes belong where all of them look, a database for one; then `is_good` asks there.

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

/// What the cookie says: a user, since when.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    user: Arc<str>,
    since: Time,
}

/// Since the epoch, in whole microseconds, as the cookie has it.
type Time = Duration;

pub(crate) struct Sessions {
    key: Key,
    password: Option<String>,
    is_secure: bool,
    lasts: Duration,
    /// When users have logged out: what they were logged in with until then is no good any more.
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
            // A browser sends a secure cookie by TLS only.
            is_secure: settings.tls_outside,
            lasts: settings.session,
            over: Mutex::default(),
        }
    }

    /// The session of a request, if it has one that is good.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Option<Session> {
        let cookie = SignedCookieJar::from_headers(headers, self.key.clone()).get(COOKIE)?;
        let (since, user) = cookie.value().split_once('.')?;
        let session = Session { user: user.into(), since: Time::from_micros(since.parse().ok()?) };
        self.is_good(&session).then_some(session)
    }

    /// Whether it is still good: asked when a request comes, and again while a stream is open.
    pub(crate) fn is_good(&self, session: &Session) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        now() < session.since + self.lasts && over.get(&session.user).is_none_or(|&over| over < session.since)
    }

    fn begin(&self, user: &str) -> Cookie<'static> {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner).get(user).copied();
        // One that logs in again at once is later than the end.
        let since = now().max(over.map_or(Time::ZERO, |over| over + Duration::from_micros(1)));
        self.cookie(format!("{}.{user}", since.as_micros()))
    }

    fn end(&self, session: &Session) {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        // By then what they were logged in with is too old by itself.
        over.retain(|_, over| now < *over + self.lasts);
        over.insert(Arc::clone(&session.user), now);
    }

    /// Without an age: the browser forgets it when it is closed, and how long it is good is seen here.
    fn cookie(&self, value: String) -> Cookie<'static> {
        let cookie = Cookie::build((COOKIE, value)).path("/").http_only(true).same_site(SameSite::Strict);
        cookie.secure(self.is_secure).build()
    }

    fn takes(&self, password: &str) -> bool {
        // In a time that does not tell where they differ.
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

/// A real one asks for a password of each user, or sends them to whoever knows them.
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

/// Out everywhere: each stream of the user's ends at once, whichever browser it is in.
pub(crate) async fn log_out(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
) -> (SignedCookieJar, StatusCode) {
    if let Some(session) = client.session {
        // First no new one, then no old one.
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
