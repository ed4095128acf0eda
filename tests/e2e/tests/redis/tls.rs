//! Redis by TLS, with credentials in the URL.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use tempfile::TempDir;
use tokio::process::Command;
use tower_sse::{
    Event,
    backplane::redis::Redis as Backplane,
    hub::{Hub, PublishError},
};
use tower_sse_e2e::{certificate::Certificate, process::Process, redis::Redis};

use crate::nodes::{data, post, publish, reader, within};

/// A Redis that also listens by TLS, with a certificate of an authority of its own.
struct Secure {
    redis: Redis,
    port: u16,
    directory: TempDir,
}

impl Secure {
    /// Starts a server, which may require client certificates.
    fn start(auth_clients: &str) -> Self {
        let directory = TempDir::new().expect("there is a place");
        let certificate = Certificate::new().expect("it is made");
        let [both, authority] = ["both", "authority"].map(|name| directory.path().join(name));
        certificate.write(&both).expect("it is written");
        certificate.write_authority(&authority).expect("it is written");
        let [both, authority] = [both, authority].map(|path| path.display().to_string());
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("there is a port").port();
        let files = ["--tls-cert-file", &both, "--tls-key-file", &both, "--tls-ca-cert-file", &authority];
        let options = ["--tls-port", &port.to_string(), "--tls-auth-clients", auth_clients];
        let redis = Redis::start(&[&files[..], &options[..]].concat()).expect("it starts");
        Self { redis, port, directory }
    }

    fn url(&self, credentials: &str) -> String {
        format!("rediss://{credentials}127.0.0.1:{}/", self.port)
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory.path().join(name)).expect("it is there")
    }

    fn backplane(&self, credentials: &str) -> Backplane {
        let backplane = Backplane::new(&self.url(credentials)).expect("it is a URL");
        backplane.root_certificates(self.file("authority")).expect("it is a certificate")
    }
}

async fn assert_works(near: Backplane, far: Backplane) {
    // A limit that only a failure meets.
    let near = near.publish_timeout(Duration::from_secs(60));
    let near = Hub::builder().build_with_backplane(near.connect().await.expect("it is there"));
    let far = Hub::builder().build_with_backplane(far.connect().await.expect("it is there"));
    let mut reader = reader(&far).await;
    publish(&near, "by TLS").await;
    assert_eq!(data(&mut reader).await, "by TLS");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn documented_acl_user_is_sufficient() {
    let secure = Secure::start("no");
    // As docs/nodes.md has it.
    let rights = ["~{sse}:*", "+@read", "+@write", "+@scripting", "+@connection", "+role", "+info", "+time"];
    let ann = [&["ACL", "SETUSER", "ann", "on", ">p@ss/word"], &rights[..]].concat();
    assert_eq!(secure.redis.cli(&ann).expect("it does"), "OK");
    secure.redis.cli(&["ACL", "SETUSER", "default", "off"]).expect("it does");
    let known = "ann:p%40ss%2Fword@";
    assert_works(secure.backplane(known), secure.backplane(known)).await;
    for wrong in ["", "ann:wrong@"] {
        assert!(secure.backplane(wrong).connect().await.is_err(), "{wrong}");
        let hub = Hub::builder().build_with_backplane(secure.backplane(wrong));
        let refused = within(hub.topic("topic").expect("there is room").publish(Event::new("x"))).await;
        assert!(matches!(refused, Err(PublishError::NotSent(_))), "{refused:?}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn a_password_without_a_name_is_enough_where_redis_asks_for_one() {
    let secure = Secure::start("no");
    secure.redis.cli(&["CONFIG", "SET", "requirepass", "secret"]).expect("it does");
    assert_works(secure.backplane(":secret@"), secure.backplane(":secret@")).await;
    assert!(secure.backplane("").connect().await.is_err());
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn tls_verifies_the_server_and_shows_a_client_certificate() {
    let secure = Secure::start("yes");
    let identified =
        || secure.backplane("").client_certificate(secure.file("both"), secure.file("both")).expect("they are");
    assert_works(identified(), identified()).await;
    assert!(secure.backplane("").connect().await.is_err(), "it shows none");
    let stranger = Certificate::new().expect("it is made");
    let other = secure.directory.path().join("other");
    stranger.write_authority(&other).expect("it is written");
    for authority in [None, Some("other")] {
        let backplane = Backplane::new(&secure.url("")).expect("it is a URL");
        let backplane = backplane.client_certificate(secure.file("both"), secure.file("both")).expect("they are");
        let backplane = match authority {
            Some(name) => backplane.root_certificates(secure.file(name)).expect("it is a certificate"),
            None => backplane,
        };
        let refused = backplane.connect().await.expect_err("it is not trusted").to_string();
        assert!(refused.contains("certificate"), "{refused}");
    }
    let plain = Backplane::new(&secure.redis.url()).expect("it is a URL");
    assert!(plain.root_certificates(secure.file("authority")).is_err(), "it is not by TLS");
    let garbage = Backplane::new(&secure.url("")).expect("it is a URL").root_certificates(*b"garbage");
    assert!(garbage.is_err(), "it is no certificate");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn the_system_is_told_whom_to_trust_by_a_file() {
    let secure = Secure::start("no");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub_node"));
    command.env("REDIS_URL", secure.url("")).env("SSL_CERT_FILE", secure.directory.path().join("authority"));
    let mut process = Process::start(command).expect("it starts");
    let address: SocketAddr = process.line("listening on ").await.expect("it listens").parse().expect("an address");
    let hub = Hub::builder().build_with_backplane(secure.backplane(""));
    let mut reader = reader(&hub).await;
    within(post(address, "/publish", "from there")).await.expect("it is published");
    assert_eq!(data(&mut reader).await, "from there");
}
