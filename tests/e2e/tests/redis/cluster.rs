//! A Redis Cluster, one node of which serves the keys of a hub.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use tower_sse::backplane::{conformance, redis::Redis as Backplane};
use tower_sse_e2e::redis::Redis;

#[tokio::test]
#[ignore = "needs redis-server; run by ./tests/run"]
async fn cluster_of_three_conforms_to_the_contract() {
    let servers: Vec<_> = (0..3).map(|_| member()).collect();
    let addresses: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    let made = Command::new("redis-cli").args(["--cluster", "create"]).args(&addresses).arg("--cluster-yes").output();
    assert!(made.expect("redis-cli is installed").status.success(), "the cluster is created");
    let deadline = Instant::now() + LIMIT;
    servers.iter().for_each(|server| wait_until_joined(server, deadline));
    let hubs = AtomicUsize::new(0);
    let url = servers[0].url();
    conformance::run(|| {
        let prefix = format!("hub{}", hubs.fetch_add(1, Ordering::Relaxed));
        let url = url.clone();
        move || Backplane::builder(&url).prefix(&prefix).build().expect("a valid URL")
    })
    .await;
    let keys: Vec<_> = servers.iter().map(|server| server.cli(&["DBSIZE"]).expect("the command succeeds")).collect();
    assert!(keys.iter().all(|keys| keys != "0"), "the hubs were spread over all nodes: {keys:?}");
}

/// Waits until the cluster is available at a member.
fn wait_until_joined(server: &Redis, deadline: Instant) {
    loop {
        let info = server.cli(&["CLUSTER", "INFO"]).expect("the command succeeds");
        if info.contains("cluster_state:ok") {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "not joined after {LIMIT:?}: the member at {} reports {info}",
            server.port()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn member() -> Redis {
    let bus = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let bus = bus.expect("a free port").port().to_string();
    Redis::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]).expect("the server starts")
}

/// A limit that only a failure reaches, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
