//! A balancer that knows nothing of sessions: requests come to nodes that do not have their session.

use std::net::SocketAddr;

use sio_server::{Ack, Config, Io, Server, Value};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    Fabric,
    support::{Peer, Polling, Ws, get, post, until},
};

pub(super) struct Node {
    pub(super) io: Io,
    pub(super) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Node {
    pub(super) async fn start(fabric: &Fabric, server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = Config::default();
        config.reached_at = Some(address.to_string());
        let server = server
            .config(config)
            .cluster(fabric.clone())
            .on("echo", async |_socket, value: Value| Ack(value));
        let io = server.io();
        let service = server.into_service().unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let http = hyper::server::conn::http1::Builder::new();
                let stream = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(
                    http.serve_connection(stream, service.clone())
                        .with_upgrades(),
                );
            }
        });
        Self {
            io,
            address,
            serving,
        }
    }
}

async fn two_nodes() -> [Node; 2] {
    let fabric = Fabric::default();
    let nodes = [
        Node::start(&fabric, Server::new()).await,
        Node::start(&fabric, Server::new()).await,
    ];
    know_each_other(&nodes).await;
    nodes
}

pub(super) async fn know_each_other(nodes: &[Node]) {
    for node in nodes {
        // A service begins with its first request, its place among the nodes before that.
        until("the nodes know each other", || {
            let status = node.io.cluster();
            status.is_some_and(|status| status.peers.len() == nodes.len() - 1)
        })
        .await;
    }
}

#[tokio::test]
async fn a_session_may_be_polled_at_any_node() {
    let [home, other] = two_nodes().await;
    let mut client = Polling::join(home.address).await;
    client.gets = Peer::connect(other.address).await;
    client.posts = Peer::connect(other.address).await;
    for number in 0..3 {
        client.ask().await;
        client.post(&format!(r#"42{number}["echo","here"]"#)).await;
        let answer = client.gets.answer().await;
        assert_eq!(answer.body, format!(r#"43{number}["here"]"#));
    }
    assert_eq!((home.io.connections(), other.io.connections()), (1, 0));

    // The page is judged where the session is, by the host that it asked for.
    let stranger = format!(
        "{}Origin: http://evil.example\r\n\r\n",
        get(&client.query())
    );
    client.gets.send(stranger).await;
    assert_eq!(client.gets.answer().await.status, 403);
}

#[tokio::test]
async fn a_websocket_takes_over_from_polling_at_another_node() {
    let [home, other] = two_nodes().await;
    let mut client = Polling::join(home.address).await;
    let query = format!("EIO=4&transport=websocket&sid={}", client.sid);
    let mut ws = Ws::upgrade(other.address, &query).await;
    ws.text("2probe").await;
    ws.expect_text("3probe").await;
    // The GET that waits is let go.
    assert_eq!(client.get().await, "6");
    ws.text("5").await;
    ws.text(r#"421["echo","across"]"#).await;
    ws.expect_text(r#"431["across"]"#).await;
    ws.leave().await;
    until("the session ends", || home.io.connections() == 0).await;
}

#[tokio::test]
async fn a_session_whose_node_has_gone_is_unknown() {
    let [home, other] = two_nodes().await;
    let client = Polling::join(home.address).await;
    home.serving.abort();
    let _ = home.serving.await;
    for request in [
        format!("{}\r\n", get(&client.query())),
        post(&client.query(), "42[\"echo\",1]"),
        // One that nobody gave away, and one that was handed on before.
        format!(
            "{}\r\n",
            get("EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA")
        ),
        format!("{}Sio-Handed-On: n-01\r\n\r\n", get(&client.query())),
    ] {
        let mut peer = Peer::connect(other.address).await;
        peer.send(request).await;
        let answer = peer.answer().await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.body, r#"{"code":1,"message":"Session ID unknown"}"#);
    }
}
