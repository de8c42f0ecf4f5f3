//! How often each node writes a packet, counted by a parser.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use sio_packet::{
    Form, Kind, Limits, Message, Msgpack, Packet, ParseError, Parser, Scratch, WriteError,
};
use sio_server::Server;

use super::{
    Fabric,
    neighbours::{Node, know_each_other},
    support::{Got, Ws},
};

/// MessagePack that counts the events it writes.
struct Counting(Arc<AtomicUsize>);

impl Parser for Counting {
    fn recognizes(&self, first: Message<'_>) -> bool {
        Msgpack.recognizes(first)
    }

    fn decode<'a>(
        &self,
        message: Message<'a>,
        limits: &Limits,
        scratch: &'a mut Scratch,
    ) -> Result<(Packet<'a>, &'a mut [Bytes]), ParseError> {
        Msgpack.decode(message, limits, scratch)
    }

    fn encode(
        &self,
        packet: &Packet<'_>,
        attachments: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<Form, WriteError> {
        if packet.kind == Kind::Event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Msgpack.encode(packet, attachments, out)
    }
}

async fn client(node: &Node) -> Ws {
    let mut client = Ws::open(node.address).await;
    let connect = Packet::parse("0", &Limits::default()).unwrap();
    let mut message = Vec::new();
    Msgpack.encode(&connect, &[], &mut message).unwrap();
    client.binary(&message).await;
    assert!(matches!(client.next().await, Got::Binary(_)));
    client
}

#[tokio::test]
async fn a_packet_for_many_on_each_of_three_nodes_is_written_once_by_each() {
    let fabric = Fabric::default();
    let (mut nodes, mut written) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let count = Arc::new(AtomicUsize::new(0));
        let server = Server::new().parser(Counting(Arc::clone(&count)));
        nodes.push(Node::start(&fabric, server).await);
        written.push(count);
    }
    know_each_other(&nodes).await;
    let mut clients = Vec::new();
    for node in &nodes {
        for _ in 0..50 {
            clients.push(client(node).await);
        }
    }
    fabric.published();
    nodes[0].io.emit("news", "of today");
    for client in &mut clients {
        assert!(matches!(client.next().await, Got::Binary(_)));
    }
    let written = written.iter().map(|count| count.load(Ordering::Relaxed));
    assert_eq!(written.collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(fabric.published().len(), 1);
    for client in clients {
        client.leave().await;
    }
}
