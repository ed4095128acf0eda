//! Where Redis is, and how it is reached.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult, Value,
    aio::MultiplexedConnection, cmd, pipe,
};

use super::{error::RedisError, settings::Settings};

/// The addresses, of which one has the keys.
#[derive(Debug)]
pub(super) struct Endpoints {
    known: Vec<ConnectionInfo>,
    #[cfg(feature = "redis-tls")]
    pub(super) tls: crate::backplane::redis::tls::Tls,
    /// Where a node of a cluster said that the keys are.
    moved: Mutex<Option<ConnectionInfo>>,
}

/// A connection, on which the scripts are known.
#[derive(Clone)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
    scripts: Arc<Scripts>,
    /// Which run of which server this is, if it says so.
    run: Option<Arc<String>>,
}

/// What the scripts are called by.
struct Scripts {
    publish: String,
    read: String,
}

/// A connection for all that is answered at once: made when it is needed, shared, and made anew when it breaks.
#[derive(Debug)]
pub(super) struct SharedConnection {
    servers: Arc<Endpoints>,
    settings: Arc<Settings>,
    current: tokio::sync::Mutex<Option<Connection>>,
}

impl Endpoints {
    pub(super) fn new(url: &str) -> Result<Self, RedisError> {
        Ok(Self {
            known: vec![parse(url)?],
            #[cfg(feature = "redis-tls")]
            tls: crate::backplane::redis::tls::Tls::default(),
            moved: Mutex::default(),
        })
    }

    pub(super) fn and(&mut self, url: &str) -> Result<(), RedisError> {
        self.known.push(parse(url)?);
        Ok(())
    }

    /// A connection to the first that has the keys, and is no replica.
    pub(super) async fn connect(&self, settings: &Settings, answer: Duration) -> Result<Connection, RedisError> {
        let moved = self.redirect().take();
        let mut failed = None;
        for info in moved.into_iter().chain(self.known.iter().cloned()) {
            match self.connect_to(info, settings, answer).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| RedisError::protocol("there is no address")))
    }

    fn client(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        #[cfg(feature = "redis-tls")]
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return self.tls.client(info);
        }
        Ok(Client::open(info)?)
    }

    /// Whether what is set for TLS is of use.
    #[cfg(feature = "redis-tls")]
    pub(super) fn check_tls(&self) -> Result<(), RedisError> {
        let by_tls = self.known.iter().filter(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. }));
        let mut clients = by_tls.map(|info| self.client(info.clone()));
        clients.next().unwrap_or_else(|| Err(RedisError::protocol("no address of redis is by TLS"))).map(drop)
    }

    /// A connection to this address, or to where a cluster says that the keys are.
    async fn connect_to(
        &self,
        mut info: ConnectionInfo,
        settings: &Settings,
        answer: Duration,
    ) -> Result<Connection, RedisError> {
        for _ in 0..REDIRECTS {
            let opened = Connection::open(self.client(info.clone())?, settings, answer).await;
            let Some((host, port)) = opened.as_ref().err().and_then(RedisError::redirected_to) else { return opened };
            info = at(info, host, port);
        }
        Connection::open(self.client(info)?, settings, answer).await
    }

    /// What an error says of where to look next.
    pub(super) fn note_redirect(&self, error: &RedisError) {
        if let (Some((host, port)), Some(known)) = (error.redirected_to(), self.known.first()) {
            *self.redirect() = Some(at(known.clone(), host, port));
        }
    }

    fn redirect(&self) -> std::sync::MutexGuard<'_, Option<ConnectionInfo>> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    async fn open(client: Client, settings: &Settings, answer: Duration) -> Result<Self, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(answer));
        let mut inner = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut setup = pipe();
        setup.cmd("ROLE").cmd("EXISTS").arg(settings.epoch());
        setup.cmd("SCRIPT").arg("LOAD").arg(PUBLISH).cmd("SCRIPT").arg("LOAD").arg(READ);
        setup.cmd("INFO").arg("server").arg("replication");
        let answers: Vec<RedisResult<Value>> = setup.ignore_errors().query_async(&mut inner).await?;
        let mut answers = answers.into_iter();
        let (role, reached) = (answers.next(), answers.next());
        let replica = Value::BulkString(b"slave".to_vec());
        // Where it may not be asked, it is believed to be none.
        let is_replica = |role: Value| matches!(role, Value::Array(role) if role.first() == Some(&replica));
        if role.and_then(Result::ok).is_some_and(is_replica) {
            return Err(RedisError::protocol("this redis is a replica"));
        }
        let mut script = || -> Result<String, RedisError> {
            let sha = answers.next().ok_or_else(|| RedisError::protocol("redis did not answer all"))??;
            Ok(::redis::from_redis_value(sha).map_err(::redis::RedisError::from)?)
        };
        let scripts = Arc::new(Scripts { publish: script()?, read: script()? });
        reached.ok_or_else(|| RedisError::protocol("redis did not answer all"))??;
        // A user may not be allowed to ask, and before Redis 7 it is asked for otherwise: then it is not known.
        let info = answers.next().and_then(Result::ok).and_then(|info| ::redis::from_redis_value::<String>(info).ok());
        let run = info.as_deref().and_then(run).map(Arc::new);
        Ok(Self { inner, scripts, run })
    }

    /// Which run of which server this is, if that is known.
    pub(super) fn run(&self) -> Option<&String> {
        self.run.as_deref()
    }

    /// The beginning of a call that publishes.
    pub(super) fn publishes(&self) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.scripts.publish);
        command
    }

    /// The beginning of a call that reads.
    pub(super) fn reads(&self) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.scripts.read);
        command
    }

    pub(super) fn inner(&mut self) -> &mut MultiplexedConnection {
        &mut self.inner
    }
}

impl SharedConnection {
    pub(super) fn new(servers: &Arc<Endpoints>, settings: &Arc<Settings>) -> Self {
        let (servers, settings) = (Arc::clone(servers), Arc::clone(settings));
        Self { servers, settings, current: tokio::sync::Mutex::default() }
    }

    pub(super) async fn connection(&self, answer: Duration) -> Result<Connection, RedisError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let connection = self.servers.connect(&self.settings, answer).await?;
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// It is not used any more: the next one is new, and perhaps elsewhere.
    pub(super) async fn broken(&self, error: Option<&RedisError>) {
        if let Some(error) = error {
            self.servers.note_redirect(error);
        }
        *self.current.lock().await = None;
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// A text that another run of the server has not, nor the same run after it was the replica of another server. The script that
/// reads writes the same.
fn run(info: &str) -> Option<String> {
    let value = |name| info.lines().find_map(|line| line.strip_prefix(name));
    Some(format!("{}/{}", value("run_id:")?, value("master_replid:")?))
}

fn parse(url: &str) -> Result<ConnectionInfo, RedisError> {
    Ok(url.into_connection_info()?)
}

/// The same, at another address.
fn at(info: ConnectionInfo, to: String, to_port: u16) -> ConnectionInfo {
    let mut address = info.addr().clone();
    match &mut address {
        ConnectionAddr::TcpTls { host, port, .. } => (*host, *port) = (to, to_port),
        address => *address = ConnectionAddr::Tcp(to, to_port),
    }
    info.set_addr(address)
}

const PUBLISH: &str = include_str!("publish.lua");

const READ: &str = concat!(include_str!("page.lua"), include_str!("read.lua"));

const CONNECT: Duration = Duration::from_secs(2);

/// A cluster that changes may be wrong once or twice.
const REDIRECTS: usize = 2;
