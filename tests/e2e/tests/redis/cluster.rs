//! A cluster: the keys of a hub are at one of its nodes, wherever a hub begins to look.

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
async fn a_cluster_of_three_keeps_the_contract_wherever_the_keys_are() {
    let servers: Vec<_> = (0..3).map(|_| member()).collect();
    let addresses: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    let made = Command::new("redis-cli").args(["--cluster", "create"]).args(&addresses).arg("--cluster-yes").output();
    assert!(made.expect("redis-cli is installed").status.success(), "the cluster is made");
    for server in &servers {
        while !server.cli(&["CLUSTER", "INFO"]).expect("it says").contains("cluster_state:ok") {
            thread::sleep(Duration::from_millis(20));
        }
    }
    let fresh = AtomicUsize::new(0);
    let url = servers[0].url();
    conformance::run(|| {
        let prefix = format!("hub{}", fresh.fetch_add(1, Ordering::Relaxed));
        let url = url.clone();
        move || Backplane::new(&url).expect("it is a URL").prefix(&prefix)
    })
    .await;
    let keys: Vec<_> = servers.iter().map(|server| server.cli(&["DBSIZE"]).expect("it says")).collect();
    assert!(keys.iter().all(|keys| keys != "0"), "the hubs were at all of them: {keys:?}");
}

fn member() -> Redis {
    let bus = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let bus = bus.expect("there is a port").port().to_string();
    Redis::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]).expect("it starts")
}
