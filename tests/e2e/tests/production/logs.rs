use crate::server::Server;

#[tokio::test]
async fn lines_are_json_with_the_reason_of_each_end() {
    let mut server = Server::start(&[]).await;
    drop(server.events(&[]).await);
    server.metric_becomes("sse_streams_closed_total{reason=\"client_gone\"}", 1.0).await;
    let ann = server.log_in("ann").await;
    let mut stream = server.events(&[&ann]).await;
    server.process.signal("INT").await.unwrap();
    stream.rest().await;
    assert!(server.process.ended().await.unwrap().success());

    let closed = server.logged("stream closed").await;
    let reasons: Vec<_> = closed.iter().map(|line| &line["fields"]["reason"]).collect();
    assert_eq!(reasons, ["client gone", "drained"]);
    assert_eq!(closed[1]["span"]["name"], "sse.stream");
    assert_eq!(closed[1]["span"]["path"], "/events");
    assert_eq!(server.logged("logged in").await[0]["fields"]["user"], "ann");
    assert_eq!(server.logged("leaving").await[0]["fields"]["signal"], "SIGINT");
    let text = format!("{:?}", server.log());
    assert!(!text.contains(ann.split_once('=').unwrap().1), "a cookie is in the log: {text}");
}
