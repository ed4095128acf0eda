//! Redis over TLS, with credentials in the URL.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use tempfile::TempDir;
use tokio::process::Command;
use tower_sse::{
    Event,
    backplane::redis::{Redis as Backplane, RedisBuilder},
    hub::{Hub, PublishError},
};
use tower_sse_e2e::{certificate::Certificate, process::Process, redis::Redis};

use crate::nodes::{data, hub_on, post, publish, reader, within};

/// A Redis that also listens over TLS, with a certificate of a private authority.
struct Secure {
    redis: Redis,
    port: u16,
    directory: TempDir,
}

impl Secure {
    /// Starts Redis with this value of `tls-auth-clients`.
    fn start(auth_clients: &str) -> Self {
        let directory = TempDir::new().expect("a directory is created");
        let certificate = Certificate::new().expect("a certificate is created");
        let [both, authority] = ["both", "authority"].map(|name| directory.path().join(name));
        certificate.write(&both).expect("the file is written");
        certificate.write_authority(&authority).expect("the file is written");
        let [both, authority] = [both, authority].map(|path| path.display().to_string());
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let files = ["--tls-cert-file", &both, "--tls-key-file", &both, "--tls-ca-cert-file", &authority];
        let options = ["--tls-port", &port.to_string(), "--tls-auth-clients", auth_clients];
        let redis = Redis::start(&[&files[..], &options[..]].concat()).expect("the server starts");
        Self { redis, port, directory }
    }

    fn url(&self, credentials: &str) -> String {
        format!("rediss://{credentials}127.0.0.1:{}/", self.port)
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory.path().join(name)).expect("the file exists")
    }

    fn backplane(&self, credentials: &str) -> RedisBuilder {
        Backplane::builder(self.url(credentials)).root_certificates(self.file("authority"))
    }
}

async fn assert_works(near: RedisBuilder, far: RedisBuilder) {
    // A limit that only a failure reaches.
    let near = near.publish_timeout(Duration::from_secs(60));
    let near = Hub::builder().build_with_backplane(near.connect().await.expect("redis is reachable"));
    let far = Hub::builder().build_with_backplane(far.connect().await.expect("redis is reachable"));
    let mut reader = reader(&far).await;
    publish(&near, "over TLS").await;
    assert_eq!(data(&mut reader).await, "over TLS");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn documented_permissions_suffice_for_a_user_of_the_url() {
    let secure = Secure::start("no");
    // As in docs/nodes.md.
    let rights = ["~{sse}:*", "+@read", "+@write", "+@scripting", "+@connection", "+role", "+info", "+time"];
    let ann = [&["ACL", "SETUSER", "ann", "on", ">p@ss/word"], &rights[..]].concat();
    assert_eq!(secure.redis.cli(&ann).expect("the command succeeds"), "OK");
    secure.redis.cli(&["ACL", "SETUSER", "default", "off"]).expect("the command succeeds");
    let known = "ann:p%40ss%2Fword@";
    assert_works(secure.backplane(known), secure.backplane(known)).await;
    for wrong in ["", "ann:wrong@"] {
        assert!(secure.backplane(wrong).connect().await.is_err(), "{wrong}");
        let hub = hub_on(secure.backplane(wrong));
        let refused = within(hub.topic("topic").expect("the hub has room").publish(Event::new("x"))).await;
        assert!(matches!(refused, Err(PublishError::NotSent(_))), "{refused:?}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn password_without_a_user_name_suffices() {
    let secure = Secure::start("no");
    secure.redis.cli(&["CONFIG", "SET", "requirepass", "secret"]).expect("the command succeeds");
    assert_works(secure.backplane(":secret@"), secure.backplane(":secret@")).await;
    assert!(secure.backplane("").connect().await.is_err());
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn untrusted_roots_and_missing_client_certificates_are_refused() {
    let secure = Secure::start("yes");
    let identified = || secure.backplane("").client_certificate(secure.file("both"), secure.file("both"));
    assert_works(identified(), identified()).await;
    assert!(secure.backplane("").connect().await.is_err(), "no client certificate is set");
    let stranger = Certificate::new().expect("a certificate is created");
    let other = secure.directory.path().join("other");
    stranger.write_authority(&other).expect("the file is written");
    for authority in [None, Some("other")] {
        let backplane = Backplane::builder(secure.url(""));
        let backplane = backplane.client_certificate(secure.file("both"), secure.file("both"));
        let backplane = match authority {
            Some(name) => backplane.root_certificates(secure.file(name)),
            None => backplane,
        };
        let refused = backplane.connect().await.expect_err("the root is not trusted").to_string();
        assert!(refused.contains("certificate"), "{refused}");
    }
    let plain = Backplane::builder(secure.redis.url()).root_certificates(secure.file("authority"));
    assert!(plain.build().is_err(), "the URL is without TLS");
    let garbage = Backplane::builder(secure.url("")).root_certificates(*b"garbage");
    assert!(garbage.build().is_err(), "not a certificate");
}

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn ssl_cert_file_sets_the_trusted_roots() {
    let secure = Secure::start("no");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub_node"));
    command.env("REDIS_URL", secure.url("")).env("SSL_CERT_FILE", secure.directory.path().join("authority"));
    let mut process = Process::start(command).expect("the server starts");
    let address: SocketAddr =
        process.line("listening on ").await.expect("the node listens").parse().expect("an address");
    let hub = hub_on(secure.backplane(""));
    let mut reader = reader(&hub).await;
    within(post(address, "/publish", "from there")).await.expect("the publish succeeds");
    assert_eq!(data(&mut reader).await, "from there");
}
