//! Random programs on several nodes, and the same on one: nobody can tell the difference.

mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sio_cluster::{
    Action, Answer, Config, Emit, EntryId, Event, Format, Message, Node, Python, Question, Session,
    ShardedPubSub, Streams,
};
use sio_packet::Value;
use sio_rooms::Selection;
use sio_testkit::{Chance, run_seeds};
use world::{Host, World};

#[test]
fn several_nodes_behave_as_one() {
    run_seeds(300, |seed| {
        let chance = &mut Chance::seed(seed);
        let python = match chance.percent(30) {
            // What both formats carry is heard once.
            true => vec![Python::default()],
            false => Vec::new(),
        };
        let format = match chance.below(4) {
            0 => Format::Sharded(ShardedPubSub::default()),
            1 => Format::Streams(Streams::default()),
            _ => Format::default(),
        };
        let config = Config {
            format,
            python,
            ..Config::default()
        };
        let nodes = 1 + chance.below(4) as u8;
        let mut world = World::new(nodes, &config);
        let mut oracle = Host::default();
        let mut next = 0;
        for _ in 0..60 {
            step(&mut world, &mut oracle, &mut next, chance);
            let mut all = Host::default();
            for member in &world.members {
                all.sockets.extend(member.host.sockets.clone());
                all.heard.extend(member.host.heard.clone());
            }
            assert_eq!(all.sockets, oracle.sockets);
            assert_eq!(all.heard, oracle.heard);
        }
    });
}

fn step(world: &mut World, oracle: &mut Host, next: &mut u32, chance: &mut Chance<'_>) {
    let at = chance.below(world.members.len() as u64) as usize;
    match chance.below(12) {
        0..=2 => {
            // Of 20 characters, by which the sharded adapter tells sockets from rooms.
            let id = format!("socket-{next:013}");
            *next += 1;
            let rooms: BTreeSet<_> = (0..chance.below(3)).map(|_| room(chance)).collect();
            oracle.sockets.insert(id.clone(), rooms.clone());
            world.members[at].host.sockets.insert(id, rooms);
        }
        3..=5 => {
            let emit = Message::Emit(emit(oracle, next, chance));
            oracle.tell(&emit);
            world.tell(at, emit);
        }
        6 => {
            let (to, rooms) = (selection(oracle, chance), vec![room(chance)]);
            let join = Message::Join { to, rooms };
            oracle.tell(&join);
            world.tell(at, join);
        }
        7 => {
            let (to, rooms) = (selection(oracle, chance), vec![room(chance)]);
            let leave = Message::Leave { to, rooms };
            oracle.tell(&leave);
            world.tell(at, leave);
        }
        8 if chance.percent(30) => {
            let to = Selection::everyone().to(room(chance));
            let disconnect = Message::Disconnect { to, close: true };
            oracle.tell(&disconnect);
            world.tell(at, disconnect);
        }
        9 => {
            let to = selection(oracle, chance);
            let mut found: BTreeSet<_> = world.members[at].host.chosen(&to).into_iter().collect();
            let request = world.ask(at, Question::Fetch(to.clone()));
            world.settle(|len| chance.below(len as u64) as usize);
            let asking = world.members[at].asking.remove(&request).unwrap();
            assert!(asking.done.expect("all have answered").is_nobody());
            for (from, answer) in asking.answers {
                assert!(from.is_some(), "nodes of ours say who they are");
                let Answer::Sockets(sockets) = answer else {
                    panic!("sockets");
                };
                for socket in sockets {
                    let rooms: BTreeSet<_> = socket.rooms.into_iter().collect();
                    assert_eq!(Some(&rooms), oracle.sockets.get(&socket.id));
                    assert!(found.insert(socket.id), "each is there once");
                }
            }
            assert!(found.iter().eq(&oracle.chosen(&to)));
        }
        10 => {
            let emit = emit(oracle, next, chance);
            let mut acks = world.members[at].host.emit(&emit);
            let mut expected = oracle.emit(&emit);
            let request = world.ask(at, Question::Emit(emit));
            world.settle(|len| chance.below(len as u64) as usize);
            // Where Python may answer and nobody else does, its answer is waited for.
            world.wait(6);
            let asking = world.members[at].asking.remove(&request).unwrap();
            assert!(asking.done.expect("all have answered").is_nobody());
            for (_, answer) in asking.answers {
                if let Answer::Ack(args) = answer {
                    acks.push(args[0].as_str().unwrap().to_owned());
                }
            }
            acks.sort();
            expected.sort();
            assert_eq!(acks, expected);
        }
        _ => {
            let question = Question::ServerEmit(vec!["hello".into()]);
            let request = world.ask(at, question);
            world.settle(|len| chance.below(len as u64) as usize);
            let asking = world.members[at].asking.remove(&request).unwrap();
            assert!(asking.done.expect("all have answered").is_nobody());
            assert_eq!(asking.answers.len(), world.members.len() - 1);
        }
    }
    world.settle(|len| chance.below(len as u64) as usize);
}

fn emit(oracle: &Host, next: &mut u32, chance: &mut Chance<'_>) -> Emit {
    *next += 1;
    Emit {
        to: selection(oracle, chance),
        data: vec!["news".into(), (*next).into()],
        ..Emit::default()
    }
}

fn room(chance: &mut Chance<'_>) -> String {
    format!("room-{}", chance.below(4))
}

fn selection(oracle: &Host, chance: &mut Chance<'_>) -> Selection {
    let name = |chance: &mut Chance<'_>| {
        let count = oracle.sockets.len() as u64;
        if count > 0 && chance.percent(30) {
            let at = chance.below(count) as usize;
            oracle.sockets.keys().nth(at).unwrap().clone()
        } else {
            room(chance)
        }
    };
    let mut to = Selection::everyone();
    for _ in 0..chance.below(3) {
        to = to.to(name(chance));
    }
    for _ in 0..chance.below(2) {
        to = to.except(name(chance));
    }
    to
}

#[test]
fn a_node_that_is_stopped_is_named_when_the_time_is_over() {
    let mut world = World::new(3, &Config::default());
    world.settle(|len| len - 1);
    let names: Vec<_> = world
        .members
        .iter()
        .map(|member| member.node.uid().to_owned())
        .collect();
    assert!(world.members[0].node.peers().eq([&*names[1], &*names[2]]));
    world.members[2].frozen = true;
    let request = world.ask(0, Question::Fetch(Selection::everyone()));
    world.settle(|len| len - 1);
    assert_eq!(world.members[0].asking[&request].answers.len(), 1);
    world.wait(4);
    assert_eq!(world.members[0].asking[&request].done, None);
    world.wait(1);
    let missing = world.members[0].asking[&request].done.clone().unwrap();
    assert_eq!(
        (missing.nodes, missing.unnamed),
        (vec![names[2].clone()], 0)
    );
    world.wait(10);
    let left = Event::PeerLeft(names[2].clone());
    assert!(world.members[0].events.contains(&left), "its lease is over");
}

#[test]
fn a_node_that_says_goodbye_is_not_waited_for() {
    let mut world = World::new(3, &Config::default());
    world.settle(|len| len - 1);
    world.members[2].frozen = true;
    let request = world.ask(0, Question::Rooms);
    world.settle(|len| len - 1);
    assert_eq!(world.members[0].asking[&request].done, None);
    world.members[2].node.leave();
    world.settle(|len| len - 1);
    let missing = world.members[0].asking[&request].done.clone().unwrap();
    assert!(missing.is_nobody());
}

#[test]
fn a_node_of_another_language_that_is_silent_is_counted() {
    let mut world = World::new(2, &Config::default());
    world.settle(|len| len - 1);
    let request = world.ask(0, Question::Fetch(Selection::everyone()));
    world.members[0].node.handle_count(request, Some(4));
    // The broker's own count comes later, and is the same question's.
    world.settle(|len| len - 1);
    world.wait(5);
    assert!(world.members[0].asking[&request].done.is_some());
    let request = world.ask(0, Question::Fetch(Selection::everyone()));
    let mut actions = Vec::new();
    while let Some(action) = world.members[0].node.poll_action() {
        actions.push(action);
    }
    world.members[0].node.handle_count(request, Some(4));
    world.wait(5);
    let missing = world.members[0].asking[&request].done.clone().unwrap();
    assert_eq!((missing.nodes.len(), missing.unnamed), (1, 2));
}

#[test]
fn while_the_broker_is_away_questions_are_done_at_once_and_the_gap_is_told() {
    let mut world = World::new(2, &Config::default());
    world.settle(|len| len - 1);
    let peer = world.members[1].node.uid().to_owned();
    world.connected = false;
    let now = world.now;
    world
        .members
        .iter_mut()
        .for_each(|member| member.node.handle_down(now));
    let request = world.ask(0, Question::Fetch(Selection::everyone()));
    world.settle(|len| len - 1);
    let missing = world.members[0].asking[&request].done.clone().unwrap();
    assert_eq!(missing.nodes, [peer], "whoever was there is missing");
    world.wait(30);
    assert_eq!(
        world.members[0].node.peers().count(),
        1,
        "nobody can be heard"
    );
    world.connected = true;
    let now = world.now;
    world
        .members
        .iter_mut()
        .for_each(|member| member.node.handle_up(now));
    world.settle(|len| len - 1);
    let gap = |event: &Event| matches!(event, Event::Gap { lasted } if lasted.as_secs() == 30);
    assert!(world.members[0].events.iter().any(gap));
    let request = world.ask(0, Question::Fetch(Selection::everyone()));
    world.settle(|len| len - 1);
    let missing = world.members[0].asking[&request].done.clone().unwrap();
    assert!(missing.is_nobody());
}

#[test]
fn an_emit_is_one_message_and_a_packet_for_a_room_that_is_empty_is_not_read() {
    let mut world = World::new(3, &Config::default());
    world.settle(|len| len - 1);
    let before = world.members[0].published;
    let to = Selection::everyone().to("somewhere");
    let data: Vec<Value> = vec!["news".into()];
    let emit = Emit {
        to,
        data,
        ..Emit::default()
    };
    world.tell(0, Message::Emit(emit));
    world.settle(|len| len - 1);
    assert_eq!(world.members[0].published, before + 1);
    world.inject("socket.io#/#somewhere#", b"\xc1 not even MessagePack");
    assert_eq!(world.members[1].node.refused(), 0);
}

#[test]
fn sec_what_cannot_be_read_is_told_counted_and_skipped_on_every_channel() {
    let config = Config {
        python: vec![Python::default()],
        ..Config::default()
    };
    let mut world = World::new(2, &config);
    world.settle(|len| len - 1);
    let own = format!("socket.io-response#/#{}#", world.members[1].node.uid());
    let deep = "[".repeat(200_000);
    for (refused, channel) in [
        "socket.io#/#",
        "socket.io-request#/#",
        "socket.io-response#/#",
        &own,
        "flask-socketio",
        "socket.io-nodes#",
    ]
    .into_iter()
    .enumerate()
    {
        for body in ["", "{", deep.as_str(), "{\"type\":[]}", "cos\nsystem\n."] {
            world.inject(channel, body.as_bytes());
        }
        let node = &world.members[1].node;
        assert_eq!(node.refused(), 5 * (refused as u64 + 1), "{channel}");
    }
    // Answers to what nobody asked, or to what was asked long ago.
    let before = world.members[1].node.refused();
    let uid = world.members[1].node.uid().to_owned();
    for request in [format!("{uid}0"), format!("{uid}x"), "abc".into()] {
        let body = format!(r#"{{"requestId":"{request}","sockets":7}}"#);
        world.inject("socket.io-response#/#", body.as_bytes());
    }
    assert_eq!(world.members[1].node.refused(), before);
    let request = world.ask(0, Question::Fetch(Selection::everyone()));
    world.settle(|len| len - 1);
    assert!(world.members[0].asking[&request].done.is_some());
}

#[test]
fn times_without_an_end_do_not_overflow_the_clock() {
    let config = Config {
        format: Format::Streams(Streams::default()),
        census: Some(Duration::MAX),
        heartbeat: Duration::MAX,
        lease: Duration::MAX,
        timeout: Duration::MAX,
        ..Config::default()
    };
    let mut world = World::new(2, &config);
    world.settle(|len| len - 1);
    assert_eq!(world.members[0].node.peers().count(), 1);
    let now = world.now;
    let node = &mut world.members[0].node;
    node.recount(now);
    node.ask("/", Question::Rooms, Some(Duration::MAX), now);
    assert!(node.poll_timeout() > now + Duration::from_secs(1 << 30));
    while node.poll_action().is_some() {}
    node.keep(Session::default(), Duration::MAX);
    let Some(Action::Keep { lasts, .. }) = node.poll_action() else {
        panic!("a session is kept");
    };
    // Redis counts milliseconds in 63 bits, from 1970 on.
    assert!(lasts.as_millis() < 1 << 62);
}

#[test]
fn a_room_that_is_left_and_joined_again_at_once_is_heard() {
    let config = Config {
        format: Format::Sharded(ShardedPubSub::default()),
        ..Config::default()
    };
    let mut world = World::new(2, &config);
    let rooms = BTreeSet::from(["lobby".to_owned()]);
    world.members[1].host.sockets.insert("ann".into(), rooms);
    world.settle(|len| len - 1);
    let node = &mut world.members[1].node;
    node.close_room("/", "lobby");
    node.open_room("/", "lobby");
    let news = Emit {
        to: Selection::everyone().to("lobby"),
        data: vec!["news".into()],
        ..Emit::default()
    };
    world.settle(|len| len - 1);
    world.tell(0, Message::Emit(news));
    world.settle(|len| len - 1);
    assert_eq!(world.members[1].host.heard["ann"].len(), 1);
}

#[test]
fn a_stream_that_was_cut_short_is_told_and_an_outage_of_its_broker_is_not() {
    let config = Config {
        format: Format::Streams(Streams::default()),
        ..Config::default()
    };
    let mut world = World::new(1, &config);
    let now = world.now;
    let node = &mut world.members[0].node;
    node.handle_down(now);
    node.handle_up(now);
    assert_eq!(node.poll_event(), None);
    node.handle_trimmed("socket.io");
    let stream = "socket.io".into();
    assert_eq!(node.poll_event(), Some(Event::Trimmed { stream }));
}

#[test]
fn sec_an_entry_that_nobody_can_read_is_skipped_once_and_counted() {
    let config = Config {
        format: Format::Streams(Streams::default()),
        ..Config::default()
    };
    let mut world = World::new(1, &config);
    let node = &mut world.members[0].node;
    let id = EntryId::default();
    let poison: [&[(&[u8], &[u8])]; 5] = [
        &[],
        &[(b"nsp", b"/"), (b"type", b"3"), (b"uid", b"\xff")],
        &[
            (b"nsp", b"/"),
            (b"type", b"3"),
            (b"uid", b"a"),
            (b"seq", b"-1"),
        ],
        &[(b"nsp", b"/"), (b"type", b"three"), (b"uid", b"a")],
        &[
            (b"nsp", b"/"),
            (b"type", b"3"),
            (b"uid", b"a"),
            (b"data", b"[7]"),
        ],
    ];
    for (count, fields) in poison.iter().enumerate() {
        node.handle_entry("socket.io", id, fields.iter().copied());
        assert_eq!(node.refused(), count as u64 + 1);
        assert!(matches!(node.poll_event(), Some(Event::Refused { .. })));
    }
    // A namespace that is not open here is none of our business, whatever is in it.
    let elsewhere: [(&[u8], &[u8]); 4] = [
        (b"nsp", b"/x"),
        (b"type", b"3"),
        (b"uid", b"a"),
        (b"data", b"[7]"),
    ];
    node.handle_entry("socket.io", id, elsewhere);
    assert_eq!(node.poll_event(), None);
}

/// One of the formats.
fn format(chance: &mut Chance<'_>) -> Format {
    match chance.below(3) {
        0 => Format::Sharded(ShardedPubSub::default()),
        1 => Format::Streams(Streams::default()),
        _ => Format::default(),
    }
}

#[test]
fn with_strict_order_clients_of_all_nodes_hear_everything_in_one_order() {
    run_seeds(100, |seed| {
        let chance = &mut Chance::seed(seed);
        let config = Config {
            format: format(chance),
            strict_order: true,
            ..Config::default()
        };
        let mut world = World::new(3, &config);
        for (number, member) in world.members.iter_mut().enumerate() {
            let rooms = ["all", "some"].map(String::from).into();
            member
                .host
                .sockets
                .insert(format!("socket-{number:013}"), rooms);
        }
        world.settle(|len| len - 1);
        let mut told = 0;
        for number in 0..50 {
            let at = chance.below(3) as usize;
            let message = match chance.below(10) {
                0 => Message::Leave {
                    to: Selection::everyone().to("some"),
                    rooms: vec!["some".into()],
                },
                1 => Message::Join {
                    to: Selection::everyone(),
                    rooms: vec!["some".into()],
                },
                _ => {
                    let room = ["all", "some"][chance.below(2) as usize];
                    told += usize::from(room == "all");
                    Message::Emit(Emit {
                        to: Selection::everyone().to(room),
                        data: vec!["news".into(), number.into()],
                        ..Emit::default()
                    })
                }
            };
            world.tell(at, message);
            if chance.percent(20) {
                // Some are heard meanwhile, anywhere.
                world.settle_some(5, |len| chance.below(len as u64) as usize);
            }
        }
        world.settle(|len| chance.below(len as u64) as usize);
        let heard = |number: usize| world.members[number].host.heard.values().next();
        assert!(heard(0).is_some_and(|heard| heard.len() >= told));
        assert!((1..3).all(|number| heard(number) == heard(0)));
    });
}

#[test]
fn with_strict_order_a_question_behind_an_order_is_done_when_the_order_is_here_too() {
    for number in 0..3 {
        let formats = [
            Format::default(),
            Format::Sharded(ShardedPubSub::default()),
            Format::Streams(Streams::default()),
        ];
        let config = Config {
            format: formats[number].clone(),
            strict_order: true,
            ..Config::default()
        };
        let mut world = World::new(2, &config);
        let id = "a-socket-of-20-chars".to_owned();
        world.members[0].host.sockets.insert(id, BTreeSet::new());
        let join = Message::Join {
            to: Selection::everyone(),
            rooms: vec!["tea".into()],
        };
        world.tell(0, join);
        let request = world.ask(0, Question::Settled);
        world.members[0].frozen = true;
        world.settle(|len| len - 1);
        world.members[0].frozen = false;
        assert!(world.members[0].asking[&request].done.is_none());
        world.settle(|len| len - 1);
        let done = world.members[0].asking[&request].done.as_ref();
        assert!(done.is_some_and(|missing| missing.is_nobody()));
        assert!(
            world.members[0]
                .host
                .sockets
                .values()
                .all(|rooms| rooms.contains("tea"))
        );
    }
}

#[test]
fn every_node_knows_how_many_are_where_whatever_was_lost() {
    run_seeds(200, |seed| {
        let chance = &mut Chance::seed(seed);
        let config = Config {
            census: Some(Duration::from_millis(100)),
            ..Config::default()
        };
        let mut world = World::new(4, &config);
        let (mut oracle, mut next) = (Host::default(), 0);
        world.lost = chance.below(60);
        for _ in 0..40 {
            step(&mut world, &mut oracle, &mut next, chance);
            if chance.percent(30) {
                world.wait(1);
            }
        }
        // One is killed, and another one was cut off for a while.
        let now = world.now;
        world.members[3].leave_broker();
        world.members[2].node.handle_down(now);
        world.wait(3);
        let now = world.now;
        world.members[2].node.handle_up(now);
        world.lost = 0;
        world.wait(12);
        for number in 0..3 {
            let member = &world.members[number];
            assert_eq!(member.node.uncounted().count(), 0);
            let others = (0..3).filter(|other| *other != number);
            let mut all = BTreeMap::new();
            for (crowd, count) in others.flat_map(|other| world.members[other].census()) {
                *all.entry(crowd).or_insert(0) += count as i64;
            }
            assert_eq!(member.elsewhere, all);
        }
    });
}

#[test]
fn a_node_that_does_not_count_is_called_uncounted_and_hears_no_counts() {
    let config = Config {
        census: Some(Duration::from_millis(100)),
        ..Config::default()
    };
    let mut world = World::new(2, &config);
    let now = world.now;
    let mut silent = Node::new(Config::default(), [7; 16], now);
    let mut said = Vec::new();
    while let Some(action) = silent.poll_action() {
        if let Action::Publish(publish) = action {
            said.push(publish);
        }
    }
    for publish in said {
        world.inject(&publish.channel, &publish.body);
    }
    world.wait(1);
    let uncounted: Vec<_> = world.members[0].node.uncounted().collect();
    assert_eq!(uncounted, [silent.uid()]);
    let body = br#"{"uid":"x","seq":1,"of":1,"part":0,"counts":[["/",null,3]],"type":34}"#;
    silent.handle_message(
        "socket.io-nodes#",
        "socket.io-nodes#",
        body,
        |_, _| false,
        now,
    );
    assert!(matches!(silent.poll_event(), Some(Event::PeerJoined(_))));
    assert_eq!(silent.poll_event(), None);
    assert_eq!(silent.refused(), 0);
}

/// Nodes on a stream, of which the first has a session.
fn with_session() -> (World, Session) {
    let config = Config {
        format: Format::Streams(Streams::default()),
        ..Config::default()
    };
    let mut world = World::new(3, &config);
    world.settle(|len| len - 1);
    let mut session = Session::default();
    session.pid = "a-secret".into();
    session.sid = "ann".into();
    session.rooms = vec!["ann".into(), "tea".into()];
    let node = &mut world.members[0].node;
    node.keep(session.clone(), Duration::from_secs(60));
    session.node = Some(node.uid().into());
    world.settle(|len| len - 1);
    (world, session)
}

/// What comes of a claim, if anything has by now.
fn taken(world: &mut World, number: usize) -> Option<Option<Session>> {
    let events = std::mem::take(&mut world.members[number].events);
    let mut taken = events.into_iter().filter_map(|event| match event {
        Event::Taken { session, .. } => Some(session.map(|session| *session)),
        _ => None,
    });
    taken.next()
}

#[test]
fn a_session_is_taken_when_the_node_that_has_it_has_let_go_and_by_one_alone() {
    let (mut world, session) = with_session();
    let now = world.now;
    world.members[1].node.take("a-secret", now);
    world.members[2].node.take("a-secret", now);
    world.settle(|len| len - 1);
    assert_eq!(taken(&mut world, 1), None, "it has not let go yet");
    assert_eq!(taken(&mut world, 2), Some(None), "somebody was quicker");
    let events = std::mem::take(&mut world.members[0].events);
    let let_go = events.into_iter().find_map(|event| match event {
        Event::LetGo { pid, reply } => Some((pid, reply)),
        _ => None,
    });
    let (pid, reply) = let_go.expect("it is told to");
    assert_eq!(pid, "a-secret");
    // It has left a room since that was written.
    let mut newest = session;
    newest.rooms.pop();
    world.members[0].node.lets_go(reply, Some(newest.clone()));
    world.settle(|len| len - 1);
    assert_eq!(taken(&mut world, 1), Some(Some(newest)));
    assert!(world.kept.is_empty());
}

#[test]
fn who_is_gone_is_not_waited_for_and_who_is_silent_keeps_what_it_has() {
    let (mut world, session) = with_session();
    let now = world.now;
    world.members[0].frozen = true;
    world.members[1].node.take("a-secret", now);
    world.settle(|len| len - 1);
    world.wait(1);
    assert_eq!(taken(&mut world, 1), None);
    world.wait(1);
    assert_eq!(taken(&mut world, 1), Some(None), "it may live");
    // Killed: nobody listens to its channel.
    let (mut world, _) = with_session();
    let now = world.now;
    world.members[0].leave_broker();
    world.members[1].node.take("a-secret", now);
    world.settle(|len| len - 1);
    assert_eq!(taken(&mut world, 1), Some(Some(session)));
}

#[test]
fn a_node_that_was_cut_off_lets_go_of_what_was_taken_when_it_is_back() {
    let (mut world, session) = with_session();
    let now = world.now;
    let subscribed = world.members[0].leave_broker();
    world.members[1].node.take("a-secret", now);
    world.settle(|len| len - 1);
    assert_eq!(taken(&mut world, 1), Some(Some(session.clone())));
    world.members[1]
        .node
        .keep(session.clone(), Duration::from_secs(60));
    world.settle(|len| len - 1);
    // It writes of it as if nothing had happened.
    world.members[0].node.keep(session, Duration::from_secs(60));
    world.members[0].come_back(subscribed, now);
    world.settle(|len| len - 1);
    let events = std::mem::take(&mut world.members[0].events);
    let let_go = events.into_iter().find_map(|event| match event {
        Event::LetGo { pid, reply } => Some((pid, reply)),
        _ => None,
    });
    let (pid, reply) = let_go.expect("it is told to");
    assert_eq!(pid, "a-secret");
    world.members[0].node.lets_go(reply, None);
    world.settle(|len| len - 1);
    let rewrite = Event::Rewrite { pid };
    assert!(
        world.members[1].events.contains(&rewrite),
        "when it has let go"
    );
    world.members[1].events.clear();
    // Once.
    let subscribed = world.members[0].leave_broker();
    world.members[0].come_back(subscribed, now);
    world.settle(|len| len - 1);
    let told = |event: &Event| matches!(event, Event::LetGo { .. });
    assert!(!world.members[0].events.iter().any(told));
}

#[test]
fn without_the_broker_and_for_a_secret_that_is_none_nothing_is_taken() {
    let (mut world, _) = with_session();
    let now = world.now;
    world.members[1].node.take("sio:session:*", now);
    world.settle(|len| len - 1);
    assert_eq!(taken(&mut world, 1), Some(None));
    world.members[1].node.handle_down(now);
    world.members[1].node.take("a-secret", now);
    world.settle(|len| len - 1);
    assert_eq!(taken(&mut world, 1), Some(None));
    assert_eq!(world.kept.len(), 1, "it is there for others");
}

#[test]
fn what_was_missed_is_what_the_namespace_was_told_after_an_entry() {
    let (mut world, _) = with_session();
    for number in 0..4 {
        let news = Emit {
            data: vec!["news".into(), number.into()],
            ..Emit::default()
        };
        world.tell(number as usize % 2, Message::Emit(news));
        world.settle(|len| len - 1);
    }
    let now = world.now;
    let after = EntryId {
        millis: 2,
        number: 0,
    };
    world.members[2].node.missed("/", after, now);
    world.members[2].node.missed("/other", after, now);
    world.settle(|len| len - 1);
    let events = std::mem::take(&mut world.members[2].events);
    let missed: Vec<Vec<_>> = events
        .into_iter()
        .filter_map(|event| match event {
            Event::Missed { packets, .. } => packets,
            _ => None,
        })
        .map(|packets| {
            packets
                .into_iter()
                .map(|past| past.emit.data[1].clone())
                .collect()
        })
        .collect();
    assert_eq!(missed, [vec![2.into(), 3.into()], vec![]]);
}
