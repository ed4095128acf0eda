//! A Redis Cluster, one node of which serves the keys of a hub.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
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
    for server in &servers {
        while !server.cli(&["CLUSTER", "INFO"]).expect("the command succeeds").contains("cluster_state:ok") {
            thread::sleep(Duration::from_millis(20));
        }
    }
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

fn member() -> Redis {
    let bus = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let bus = bus.expect("a free port").port().to_string();
    Redis::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]).expect("the server starts")
}
