//! Several nodes in one process, on a broker in memory: what an application sees of a cluster, and what
//! the broker sees of it.
//!
//! With Redis, Node and Python the same is tried in `sio-redis`, `tests/mixed`.

#[path = "cluster/neighbours.rs"]
mod neighbours;
mod support;
#[path = "cluster/written.rs"]
mod written;

use std::{
    collections::{BTreeSet, VecDeque},
    error::Error,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Serialize, Serializer};
use sio_server::{
    Ack, ClusterEvent, Elsewhere, EmitError, Io, Limit, Namespace, Server,
    sio_cluster::{Action, Broker, Bus, BusEvent, Config, Publish, Room},
    testing::{Client, TestServer},
};

/// A broker that loses nothing and takes no time.
#[derive(Clone, Default)]
struct Fabric {
    state: Arc<Mutex<State>>,
    room: Option<Arc<Gauge>>,
    strict_order: bool,
}

/// Room for so many bytes, of which so many are taken.
struct Gauge {
    limit: usize,
    /// How many were asked for last.
    asked: AtomicUsize,
    taken: Mutex<(usize, Vec<Waker>)>,
}

impl Gauge {
    fn set(&self, taken: usize) {
        let mut state = self.taken.lock().unwrap();
        state.0 = taken;
        state.1.drain(..).for_each(Waker::wake);
    }
}

impl Room for Gauge {
    fn has_room(&self, bytes: usize) -> bool {
        self.asked.store(bytes, Ordering::Relaxed);
        self.taken.lock().unwrap().0 + bytes <= self.limit
    }

    fn poll_room(&self, bytes: usize, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.taken.lock().unwrap();
        if state.0 + bytes <= self.limit {
            return Poll::Ready(());
        }
        state.1.push(cx.waker().clone());
        Poll::Pending
    }
}

#[derive(Default)]
struct State {
    ports: Vec<Port>,
    published: Vec<Publish>,
    /// How many of a hundred messages that nodes say to one another alone are lost.
    lossy: usize,
    said: usize,
}

#[derive(Default)]
struct Port {
    channels: BTreeSet<String>,
    patterns: BTreeSet<String>,
    events: VecDeque<BusEvent>,
    waker: Option<Waker>,
    /// Hears nothing and says nothing, and is counted all the same.
    stopped: bool,
}

struct Plug {
    fabric: Fabric,
    port: usize,
}

impl Fabric {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What was published since this was asked last, without what nodes say to one another alone.
    fn published(&self) -> Vec<Publish> {
        let mut published = std::mem::take(&mut self.state().published);
        published.retain(|publish| !publish.channel.starts_with("socket.io-nodes#"));
        published
    }

    fn stop(&self, port: usize) {
        self.state().ports[port].stopped = true;
    }
}

impl Broker for Fabric {
    fn node(&self) -> Config {
        Config {
            census: Some(Duration::from_millis(10)),
            heartbeat: Duration::from_millis(200),
            lease: Duration::from_secs(6),
            strict_order: self.strict_order,
            timeout: Duration::from_secs(4),
            ..Config::default()
        }
    }

    fn connect(&self) -> Result<Box<dyn Bus>, Box<dyn Error + Send + Sync>> {
        let mut state = self.state();
        let port = state.ports.len();
        state.ports.push(Port::default());
        state.ports[port].tell(BusEvent::Up);
        let fabric = self.clone();
        drop(state);
        Ok(Box::new(Plug { fabric, port }))
    }
}

impl Bus for Plug {
    fn act(&mut self, action: Action) {
        let state = &mut *self.fabric.state();
        let port = &mut state.ports[self.port];
        match action {
            Action::Count { channel, request } => {
                let hears = |port: &&Port| port.channels.contains(&channel);
                let subscribers = state.ports.iter().filter(hears).count() as u64;
                let subscribers = Some(subscribers);
                state.ports[self.port].tell(BusEvent::Counted {
                    request,
                    subscribers,
                });
            }
            Action::Publish(publish) if !port.stopped => {
                if publish.channel.contains("-nodes#") {
                    state.said += 1;
                    let number = state.said.wrapping_mul(0x9e37_79b9) >> 16;
                    if number % 100 < state.lossy {
                        return;
                    }
                }
                for port in &mut state.ports {
                    port.hear(&publish);
                }
                state.published.push(publish);
            }
            Action::Subscribe(channel) => {
                port.channels.insert(channel);
            }
            Action::SubscribePattern(pattern) => {
                port.patterns.insert(pattern);
            }
            Action::Unsubscribe(channel) => {
                port.channels.remove(&channel);
            }
            Action::UnsubscribePattern(pattern) => {
                port.patterns.remove(&pattern);
            }
            _ => {}
        }
    }

    fn room(&self) -> Option<Arc<dyn Room>> {
        let room = self.fabric.room.clone()?;
        Some(room)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<BusEvent> {
        let port = &mut self.fabric.state().ports[self.port];
        match port.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                port.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Port {
    fn tell(&mut self, event: BusEvent) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn hear(&mut self, publish: &Publish) {
        if self.stopped {
            return;
        }
        let channel = &publish.channel;
        let fits = |pattern: &&String| channel.starts_with(pattern.trim_end_matches('*'));
        let pattern = self.patterns.iter().find(fits).cloned();
        let named = self.channels.get(channel).cloned();
        for subscription in named.into_iter().chain(pattern) {
            self.tell(BusEvent::Message {
                subscription,
                channel: channel.clone(),
                body: Bytes::copy_from_slice(&publish.body),
            });
        }
    }
}

/// Nodes that know each other.
async fn nodes<const N: usize>(
    fabric: &Fabric,
    server: impl Fn(usize) -> Server,
) -> [TestServer; N] {
    let nodes = std::array::from_fn(|number| {
        TestServer::new(server(number).cluster(fabric.clone())).expect("it goes together")
    });
    for node in &nodes {
        let status = || node.io().cluster().unwrap();
        until(|| status().up && status().peers.len() == N - 1).await;
    }
    nodes
}

#[track_caller]
fn until(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Instant::now() < deadline, "it never happened: {caller}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn room_server(_number: usize) -> Server {
    let mut config = sio_server::Config::default();
    // However few descriptors the process may have: no connection here takes one.
    config.max_connections = Some(10_000);
    Server::new()
        .config(config)
        .on("join", async |socket, room: String| Ack(socket.join(&room)))
}

async fn crowd(node: &TestServer, count: usize, room: &str) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = node.connect("/").await.unwrap();
        let _: bool = client.call("join", room).await.unwrap();
        clients.push(client);
    }
    clients
}

/// Counts how often it is written.
struct Counted(Arc<AtomicUsize>);

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        serializer.serialize_str("written")
    }
}

#[tokio::test]
async fn a_packet_for_a_thousand_on_each_of_three_nodes_is_one_message_and_is_written_twice() {
    let fabric = Fabric::default();
    let nodes: [_; 3] = nodes(&fabric, room_server).await;
    let mut clients = Vec::new();
    for node in &nodes {
        clients.extend(crowd(node, 1000, "all").await);
    }
    fabric.published();
    let written = Arc::new(AtomicUsize::new(0));
    let sent = nodes[0]
        .io()
        .to("all")
        .emit("news", &Counted(Arc::clone(&written)));
    assert_eq!(sent.reached, 1000);
    for client in &clients {
        let text: String = client.expect("news").await.unwrap();
        assert_eq!(text, "written");
    }
    assert_eq!(fabric.published().len(), 1);
    // Once for the clients of its node, once for the other nodes.
    assert_eq!(written.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_is_for_a_socket_of_the_same_node_is_not_published() {
    let fabric = Fabric::default();
    let nodes: [_; 2] = nodes(&fabric, room_server).await;
    let here = nodes[0].connect("/").await.unwrap();
    let there = nodes[1].connect("/").await.unwrap();
    fabric.published();
    nodes[0].io().to(here.id()).emit("news", "here");
    let _: String = here.expect("news").await.unwrap();
    nodes[0].io().to(here.id()).join("room").await;
    assert_eq!(nodes[0].io().room_len("room"), 1);
    assert_eq!(fabric.published(), []);
    nodes[0].io().to(there.id()).emit("news", "there");
    let _: String = there.expect("news").await.unwrap();
    assert_eq!(fabric.published().len(), 1);
}

#[tokio::test]
async fn an_order_that_was_awaited_is_carried_out_everywhere() {
    let fabric = Fabric::default();
    let nodes: [_; 3] = nodes(&fabric, room_server).await;
    let mut clients = Vec::new();
    for node in &nodes {
        clients.extend(crowd(node, 5, "lobby").await);
    }
    let io = nodes[0].io();
    for _ in 0..50 {
        assert!(io.to("lobby").join(["attic", "cellar"]).await.is_nobody());
        assert!(nodes.iter().all(|node| node.io().room_len("attic") == 5));
        assert!(io.to("attic").leave("attic").await.is_nobody());
        assert!(nodes.iter().all(|node| node.io().room_len("attic") == 0));
    }
    assert!(io.to("cellar").disconnect().await.is_nobody());
    assert!(nodes.iter().all(|node| node.io().is_empty()));
    fabric.stop(2);
    let missing = io.to("lobby").join("attic").await;
    assert_eq!(missing.nodes, [nodes[2].io().cluster().unwrap().name]);
}

#[tokio::test]
async fn nodes_ask_each_other_and_each_says_what_became_of_it() {
    let fabric = Fabric::default();
    let nodes: [_; 4] = nodes(&fabric, |number| {
        let server = Server::new().on_server_side("fail", async |_io, ()| {
            if true {
                panic!("as it was told to");
            }
        });
        match number {
            3 => server,
            _ => server.on_server_side("add", async move |_io, (a, b): (usize, usize)| {
                Ack((number, a + b))
            }),
        }
    })
    .await;
    let name = |number: usize| nodes[number].io().cluster().unwrap().name;
    let io = nodes[0].io();
    let sums = io.server_side_call::<_, _, (usize, usize)>("add", &(2, 3));
    let mut sums = sums.await.unwrap();
    sums.given.sort_by_key(|(_, answer)| *answer);
    assert_eq!(sums.given, [(name(1), (1, 5)), (name(2), (2, 5))]);
    assert_eq!(sums.declined, [name(3)]);
    assert!(!sums.is_complete() && sums.missing.is_nobody());
    // A payload that is not what the handler takes, an answer that is not what was asked for.
    let odd = io
        .server_side_call::<_, _, u32>("add", "two")
        .await
        .unwrap();
    assert_eq!(odd.declined.len(), 3);
    let odd = io
        .server_side_call::<_, _, String>("add", &(1, 1))
        .await
        .unwrap();
    assert_eq!(odd.unread.len(), 2);
    let failed = io.server_side_call::<_, _, ()>("fail", &()).await.unwrap();
    assert_eq!(failed.declined.len(), 3);
    fabric.stop(1);
    let started = Instant::now();
    let sums = io.server_side_call::<_, _, (usize, usize)>("add", &(1, 1));
    let sums = sums.timeout(Duration::from_secs(1)).await.unwrap();
    assert_eq!(sums.given, [(name(2), (2, 2))]);
    assert_eq!(sums.missing.nodes, [name(1)]);
    // Not the four seconds that are the nodes' own.
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn what_a_node_tells_the_others_is_heard_in_order_and_not_by_itself() {
    let fabric = Fabric::default();
    let heard: [Arc<Mutex<Vec<u32>>>; 3] = Default::default();
    let nodes: [_; 3] = nodes(&fabric, |number| {
        let heard = Arc::clone(&heard[number]);
        Server::new().on_server_side("count", async move |_io: Io, n: u32| {
            heard.lock().unwrap().push(n);
        })
    })
    .await;
    for n in 0..500 {
        nodes[0].io().server_side_emit("count", &n);
    }
    for heard in &heard[1..] {
        until(|| heard.lock().unwrap().len() == 500).await;
        assert!(heard.lock().unwrap().iter().copied().eq(0..500));
    }
    assert!(heard[0].lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_application_is_told_what_happens_to_the_cluster() {
    let fabric = Fabric::default();
    let told: Arc<Mutex<Vec<ClusterEvent>>> = Arc::default();
    let nodes: [_; 2] = nodes(&fabric, |_| {
        let told = Arc::clone(&told);
        Server::new().on_cluster(move |event| told.lock().unwrap().push(event.clone()))
    })
    .await;
    let events = || std::mem::take(&mut *told.lock().unwrap());
    let all = events();
    let up = |event: &&ClusterEvent| **event == ClusterEvent::BrokerUp;
    assert_eq!(all.iter().filter(up).count(), 2);
    for node in &nodes {
        let name = node.io().cluster().unwrap().name;
        assert!(all.contains(&ClusterEvent::NodeJoined { name }));
    }
    let down = BusEvent::Down {
        reason: "it was unplugged".into(),
    };
    fabric.state().ports[0].tell(down);
    until(|| !nodes[0].io().cluster().unwrap().up).await;
    fabric.state().ports[0].tell(BusEvent::Lost { messages: 3 });
    fabric.state().ports[0].tell(BusEvent::Up);
    until(|| told.lock().unwrap().len() >= 4).await;
    let [down, lost, gap, up] = &events()[..] else {
        panic!("four things happened");
    };
    let reason = "it was unplugged".to_owned();
    assert_eq!(*down, ClusterEvent::BrokerDown { reason });
    assert_eq!(*lost, ClusterEvent::Lost { messages: 3 });
    assert!(matches!(gap, ClusterEvent::Gap { .. }));
    assert_eq!(*up, ClusterEvent::BrokerUp);
    assert_eq!(nodes[0].io().cluster().unwrap().lost, 3);
}

#[tokio::test]
async fn while_the_broker_is_away_nobody_is_taken_for_counted() {
    let fabric = Fabric::default();
    let [node]: [_; 1] = nodes(&fabric, room_server).await;
    let down = BusEvent::Down {
        reason: "it was unplugged".into(),
    };
    fabric.state().ports[0].tell(down);
    until(|| !node.io().cluster().unwrap().up).await;
    let fetched = node.io().everyone().fetch().await;
    assert!(fetched.missing.uncounted && !fetched.missing.is_nobody());
}

/// What a node should know of everybody, from what each has itself.
fn agree(nodes: &[TestServer], namespace: &str, room: &str) -> bool {
    let ios: Vec<_> = nodes.iter().map(|node| node.io().of(namespace)).collect();
    let all = |count: &dyn Fn(&Io) -> usize| ios.iter().map(count).sum::<usize>() as u64;
    let (everybody, members) = (all(&|io| io.len()), all(&|io| io.room_len(room)));
    ios.iter().all(|io| {
        let (population, of_room) = (io.population(), io.room_population(room));
        population.uncounted.is_empty()
            && of_room.uncounted.is_empty()
            && population.here == io.len() as u64
            && population.total() == everybody
            && of_room.total() == members
    })
}

#[tokio::test]
async fn each_node_knows_how_many_are_in_a_room_of_all_without_asking() {
    let fabric = Fabric::default();
    let nodes: [_; 3] = nodes(&fabric, |number| {
        let room = Namespace::matching(|name| name == "/room", async |_| Ok(()));
        room_server(number).mount(room)
    })
    .await;
    for lossy in [0, 30] {
        fabric.state().lossy = lossy;
        let mut clients = Vec::new();
        for node in &nodes {
            clients.extend(crowd(node, 20, "lobby").await);
            clients.push(node.connect("/room").await.unwrap());
        }
        until(|| agree(&nodes, "/", "lobby") && agree(&nodes, "/room", "lobby")).await;
        assert_eq!(nodes[1].io().room_population("lobby").total(), 60);
        assert_eq!(nodes[1].io().population().total(), 60);
        assert_eq!(nodes[1].io().of("/room").population().elsewhere, 2);
        nodes[0].io().to("lobby").leave("lobby").await;
        until(|| agree(&nodes, "/", "lobby")).await;
        assert_eq!(nodes[2].io().room_population("lobby").total(), 0);
        drop(clients);
        until(|| nodes.iter().all(|node| node.io().population().total() == 0)).await;
        until(|| agree(&nodes, "/room", "lobby")).await;
        assert_eq!(nodes[0].io().of("/room").population().total(), 0);
    }
}

#[tokio::test]
async fn a_node_that_comes_later_knows_the_counts_of_those_that_were_there() {
    let fabric = Fabric::default();
    let [old]: [_; 1] = nodes(&fabric, room_server).await;
    let _clients = crowd(&old, 7, "lobby").await;
    let new = TestServer::new(room_server(1).cluster(fabric.clone())).unwrap();
    until(|| new.io().room_population("lobby").total() == 7).await;
    assert!(new.io().room_population("lobby").uncounted.is_empty());
    let name = old.io().cluster().unwrap().name;
    fabric.stop(0);
    drop(old);
    until(|| new.io().cluster().unwrap().peers != [name.clone()]).await;
    assert_eq!(new.io().room_population("lobby").total(), 0);
}

#[tokio::test]
async fn with_strict_order_clients_of_all_nodes_hear_everything_in_one_order() {
    let fabric = Fabric {
        strict_order: true,
        ..Fabric::default()
    };
    let nodes: [_; 3] = nodes(&fabric, room_server).await;
    let mut clients = Vec::new();
    for node in &nodes {
        clients.extend(crowd(node, 2, "all").await);
    }
    const EACH: usize = 200;
    let emitting: Vec<_> = nodes
        .iter()
        .zip(0..)
        .map(|(node, from)| {
            let io = node.io().clone();
            thread::spawn(move || {
                for number in 0..EACH {
                    let sent = io.to("all").emit("news", &(from, number));
                    assert_eq!((sent.reached, sent.elsewhere), (0, Elsewhere::Queued));
                }
            })
        })
        .collect();
    let mut heard: Vec<Vec<(usize, usize)>> = Vec::new();
    for client in &clients {
        let mut all = Vec::new();
        for _ in 0..3 * EACH {
            all.push(client.expect("news").await.unwrap());
        }
        heard.push(all);
    }
    emitting
        .into_iter()
        .for_each(|emitting| emitting.join().unwrap());
    assert!(heard.iter().all(|all| *all == heard[0]));
    for from in 0..3 {
        let of = heard[0].iter().filter(|(of, _)| *of == from);
        assert!(of.map(|(_, number)| *number).eq(0..EACH));
    }
    // What is said before somebody leaves, or is put out, is heard first; also on the same node.
    let io = nodes[0].io();
    io.to("all").emit("news", &(7, 0));
    let left = io.to("all").leave("all");
    io.to("all").emit("news", &(7, 1));
    assert!(left.await.is_nobody());
    assert!(nodes.iter().all(|node| node.io().room_len("all") == 0));
    io.emit("news", &(7, 2));
    assert!(io.everyone().disconnect().await.is_nobody());
    for client in &clients {
        for number in [0, 2] {
            assert_eq!(
                client.expect::<(usize, usize), _>("news").await.unwrap(),
                (7, number)
            );
        }
    }
    assert!(nodes.iter().all(|node| node.io().is_empty()));
    // While the broker is away nobody hears anything; what is local goes on.
    let alone = nodes[0].connect("/").await.unwrap();
    fabric.stop(0);
    io.emit("news", &(8, 0));
    io.everyone().local().emit("news", &(8, 1));
    assert_eq!(
        alone.expect::<(usize, usize), _>("news").await.unwrap(),
        (8, 1)
    );
}

#[tokio::test]
async fn who_does_not_wait_is_told_that_others_do_not_hear_it_and_who_waits_is_refused_or_heard_by_all()
 {
    let gauge = Arc::new(Gauge {
        limit: 10_000,
        asked: AtomicUsize::default(),
        taken: Mutex::default(),
    });
    for strict_order in [false, true] {
        let fabric = Fabric {
            room: Some(Arc::clone(&gauge)),
            strict_order,
            ..Fabric::default()
        };
        gauge.set(0);
        let nodes: [_; 2] = nodes(&fabric, room_server).await;
        let here = nodes[0].connect("/").await.unwrap();
        let there = nodes[1].connect("/").await.unwrap();
        let io = nodes[0].io();
        let word = |number: u8| format!("{number:0100}");
        io.emit("news", &word(0));
        for client in [&here, &there] {
            assert_eq!(client.expect::<String, _>("news").await.unwrap(), word(0));
        }
        let weight = gauge.asked.load(Ordering::Relaxed);
        assert!(weight > 100);
        let lost = || io.cluster().unwrap().lost;
        // To the byte: one less than there is, as many, one more.
        let mut number = 0;
        for (room, expected) in [(weight + 1, true), (weight, true), (weight - 1, false)] {
            for waits in [false, true] {
                number += 1;
                gauge.set(10_000 - room);
                let lost_before = lost();
                if waits {
                    let sent = io
                        .everyone()
                        .emit_within(Duration::ZERO, "news", &word(number));
                    match sent.await {
                        Ok(sent) => assert!(expected && sent.elsewhere == Elsewhere::Queued),
                        Err(error) => assert!(!expected && matches!(error, EmitError::Broker(_))),
                    }
                    assert_eq!(lost(), lost_before);
                } else {
                    let sent = io.emit("news", &word(number));
                    let reached = usize::from(!strict_order);
                    assert_eq!(sent.reached, reached);
                    assert_eq!(sent.elsewhere == Elsewhere::Queued, expected);
                    assert_eq!(lost() - lost_before, u64::from(!expected));
                }
                if expected || (!waits && !strict_order) {
                    assert_eq!(
                        here.expect::<String, _>("news").await.unwrap(),
                        word(number)
                    );
                }
                if expected {
                    assert_eq!(
                        there.expect::<String, _>("news").await.unwrap(),
                        word(number)
                    );
                }
            }
        }
        // Who waits is sent as soon as there is room, and whatever waits behind it is not in its way.
        gauge.set(10_000);
        let sent = io
            .everyone()
            .emit_within(Duration::from_secs(10), "news", &word(100));
        let waiting = tokio::spawn(async move { sent.await });
        let too_late = io
            .everyone()
            .emit_within(Duration::from_millis(20), "news", &word(101));
        assert!(matches!(too_late.await, Err(EmitError::Broker(_))));
        assert!(!waiting.is_finished());
        gauge.set(10_000 - weight);
        assert_eq!(waiting.await.unwrap().unwrap().elsewhere, Elsewhere::Queued);
        assert_eq!(there.expect::<String, _>("news").await.unwrap(), word(100));
        assert_eq!(here.expect::<String, _>("news").await.unwrap(), word(100));
        // What is nothing to the others does not wait for them.
        gauge.set(10_000);
        let local = io
            .everyone()
            .local()
            .emit_within(Duration::ZERO, "news", &word(102));
        assert_eq!(local.await.unwrap().elsewhere, Elsewhere::Nothing);
        assert_eq!(here.expect::<String, _>("news").await.unwrap(), word(102));
    }
}

#[tokio::test]
async fn answers_of_other_nodes_are_bounded_together_and_who_is_beyond_is_missing() {
    let fabric = Fabric::default();
    let nodes: [_; 2] = nodes(&fabric, |number| {
        let mut config = sio_server::Config::default();
        if number == 0 {
            config.max_answer_bytes = 10_000;
        }
        room_server(number)
            .config(config)
            .on_server_side("much", async |_io, len: usize| Ack("x".repeat(len)))
    })
    .await;
    let there = crowd(&nodes[1], 3, "jury").await;
    for client in &there {
        client.on("vote", |()| Ack("x".repeat(4_000)));
    }
    let io = nodes[0].io();
    let votes = io.to("jury").call::<_, _, String>("vote", &());
    let votes = votes.timeout(Duration::from_secs(10)).await.unwrap();
    assert_eq!((votes.given.len(), votes.elsewhere.acks), (2, 1));
    assert!(!votes.is_complete());
    assert_eq!(io.counters().limit(Limit::AnswerBytes), 1);
    for (len, missing) in [(5_000, 0), (20_000, 1)] {
        let much = io.server_side_call::<_, _, String>("much", &len);
        let much = much.await.unwrap();
        assert_eq!(much.missing.nodes.len(), missing);
        assert_eq!(much.given.len(), 1 - missing);
    }
}
