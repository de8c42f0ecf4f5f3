//! What the server does on which event: the contract, a line each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sio_server::{Ack, Arguments, CallError, Handshake, Io, Namespace, Socket, Target, Value};

use crate::settings::Data;

/// Why each socket has gone, in Node's words.
#[derive(Default)]
pub(crate) struct Reasons(Mutex<HashMap<String, &'static str>>);

impl Reasons {
    fn set(&self, id: &str, reason: &'static str) {
        self.0
            .lock()
            .expect("nobody panics")
            .insert(id.into(), reason);
    }

    fn of(&self, id: &str) -> Option<&'static str> {
        self.0.lock().expect("nobody panics").get(id).copied()
    }
}

/// A room or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Rooms {
    Several(Vec<String>),
    One(String),
}

impl From<Rooms> for Vec<String> {
    fn from(rooms: Rooms) -> Self {
        match rooms {
            Rooms::Several(rooms) => rooms,
            Rooms::One(room) => vec![room],
        }
    }
}

#[expect(clippy::too_many_lines, reason = "it is a list, and reads as one")]
pub(crate) fn handlers(
    namespace: Namespace<Data>,
    reasons: &Arc<Reasons>,
    io: &Io,
) -> Namespace<Data> {
    let (gone, asked) = (Arc::clone(reasons), Arc::clone(reasons));
    let clients = io.clone();
    namespace
        .on_connect(async |socket| {
            socket.emit("auth", &socket.data().auth);
        })
        .on_disconnect(async move |socket, reason| gone.set(socket.id(), reason.as_str()))
        .on("message", async |socket, arguments: Arguments| {
            socket.emit("message-back", &arguments);
        })
        .on("message-with-ack", async |_, arguments: Arguments| {
            Ack(arguments)
        })
        .on("whoami", async |socket, ()| Ack(socket.id().to_owned()))
        .on("join", async |socket, rooms: Rooms| {
            socket.join(Vec::from(rooms));
        })
        .on("leave", async |socket, room: String| socket.leave(&room))
        .on("rooms", async |socket, ()| {
            let mut rooms = socket.rooms();
            rooms.sort_unstable();
            Ack(rooms)
        })
        .on("to", async |socket, arguments: Arguments| {
            relay(arguments, |rooms, except| {
                socket.broadcast().to(rooms).except(except)
            });
        })
        .on("in", async |socket, arguments: Arguments| {
            relay(arguments, |rooms, except| {
                socket.everyone().to(rooms).except(except)
            });
        })
        .on("local", async |socket, arguments: Arguments| {
            let mut arguments = arguments.0;
            if arguments.len() > 1 {
                arguments.insert(1, Value::Array(Vec::new()));
            }
            relay(Arguments(arguments), |rooms, _| socket.everyone().to(rooms));
        })
        .on("broadcast", async |socket, arguments: Arguments| {
            named(arguments, |event, arguments| {
                socket.broadcast().emit(event, arguments);
            });
        })
        .on("all", async |socket, arguments: Arguments| {
            named(arguments, |event, arguments| {
                socket.everyone().emit(event, arguments);
            });
        })
        .on("volatile", async |socket, arguments: Arguments| {
            named(arguments, |event, arguments| {
                socket.emit_volatile(event, arguments);
            });
        })
        .on(
            "burst",
            async |socket, (n, kind, rooms): (u32, String, Option<Vec<String>>)| {
                let rooms = rooms.unwrap_or_default();
                let to_room = socket.everyone().to(&rooms);
                for i in 0..n {
                    let payload = burst(i, &kind);
                    if rooms.is_empty() {
                        socket.emit("burst", &payload);
                    } else {
                        to_room.emit("burst", &payload);
                    }
                }
            },
        )
        .on(
            "flood",
            async |socket, flood: (Vec<String>, u32, usize, Option<bool>)| {
                let (rooms, n, size, volatile) = flood;
                let mut target = socket.everyone().to(rooms);
                if volatile == Some(true) {
                    target = target.volatile();
                }
                let text = "x".repeat(size);
                for i in 0..n {
                    target.emit("flood", &(i, &text));
                }
            },
        )
        .on("ask-client", async |socket, arguments: Arguments| {
            let mut arguments = arguments.0.into_iter();
            let Some(Value::String(event)) = arguments.next() else {
                return;
            };
            let payload = Arguments(arguments.collect());
            let timeout = Duration::from_millis(500);
            match socket.call(&event, &payload).timeout(timeout).await {
                Ok(answer) => {
                    let answer: Arguments = answer;
                    socket.emit("client-answered", &answer);
                }
                Err(CallError::Timeout) => {
                    socket.emit("client-timeout", &());
                }
                Err(_) => {}
            }
        })
        .on("ask-room", async |socket, arguments: Arguments| {
            let mut arguments = arguments.0.into_iter();
            let (Some(rooms), Some(Value::String(event))) = (arguments.next(), arguments.next())
            else {
                return;
            };
            let payload = Arguments(arguments.collect());
            let room = socket.everyone().to(names(rooms));
            let asked = room.call(&event, &payload);
            if let Ok(answers) = asked.timeout(Duration::from_millis(500)).await {
                let timed_out = !answers.is_complete();
                let values: Vec<Value> = answers.into_values();
                socket.emit("room-answered", &(timed_out, values));
            }
        })
        .on("disconnect-me", async |socket, close: Option<bool>| {
            if close == Some(true) {
                socket.disconnect_connection();
            } else {
                socket.disconnect();
            }
        })
        .on(
            "disconnect-room",
            async |socket, (room, close): (String, Option<bool>)| {
                let room = socket.everyone().to(&room);
                if close == Some(true) {
                    room.disconnect_connections();
                } else {
                    room.disconnect();
                }
            },
        )
        .on(
            "sockets-join",
            async |socket, (room, target): (String, String)| {
                socket.everyone().to(&room).join(&target);
            },
        )
        .on(
            "sockets-leave",
            async |socket, (room, target): (String, String)| {
                socket.everyone().to(&room).leave(&target);
            },
        )
        .on("fetch-sockets", async |socket, room: String| {
            let mut ids = socket.everyone().to(&room).ids();
            ids.sort_unstable();
            Ack(ids)
        })
        .on("fetch-full", async |socket, room: String| {
            let sockets = socket.everyone().to(&room).sockets::<Data>();
            Ack(sockets.iter().map(Full::of).collect::<Vec<_>>())
        })
        .on("disconnect-reason", async move |_, id: String| {
            Ack(asked.of(&id))
        })
        .on("count", async |socket, ()| {
            Ack(socket.io().of(socket.namespace()).len())
        })
        .on("clients", async move |_, ()| Ack(clients.connections()))
        .on("set-data", async |socket, value: Value| {
            *socket.data().value.lock().expect("nobody panics") = value;
        })
        .on("sync", async |_, ()| {})
}

/// What `fetch-full` tells of a socket.
#[derive(Serialize)]
struct Full {
    id: String,
    rooms: Vec<String>,
    data: Value,
    handshake: Handshake,
}

impl Full {
    fn of(socket: &Socket<Data>) -> Self {
        let mut rooms = socket.rooms();
        rooms.sort_unstable();
        Self {
            id: socket.id().into(),
            rooms,
            data: socket.data().value.lock().expect("nobody panics").clone(),
            handshake: socket.handshake(),
        }
    }
}

/// `[rooms], [except], event, …args`
fn relay(arguments: Arguments, target: impl FnOnce(Vec<String>, Vec<String>) -> Target) {
    let mut arguments = arguments.0.into_iter();
    let (Some(rooms), Some(except)) = (arguments.next(), arguments.next()) else {
        return;
    };
    named(Arguments(arguments.collect()), |event, payload| {
        target(names(rooms), names(except)).emit(event, payload);
    });
}

/// `event, …args`
fn named(arguments: Arguments, emit: impl FnOnce(&str, &Arguments)) {
    let mut arguments = arguments.0.into_iter();
    if let Some(Value::String(event)) = arguments.next() {
        emit(&event, &Arguments(arguments.collect()));
    }
}

fn names(value: Value) -> Vec<String> {
    let Value::Array(values) = value else {
        return Vec::new();
    };
    let name = |value| match value {
        Value::String(name) => Some(name),
        _ => None,
    };
    values.into_iter().filter_map(name).collect()
}

/// `(i)`, and of a mixed burst every other one with two attachments.
fn burst(i: u32, kind: &str) -> Arguments {
    let mut arguments = vec![Value::from(i)];
    if kind == "mixed" && i % 2 == 1 {
        let [low, high, ..] = i.to_le_bytes();
        arguments.push(Value::Binary(Bytes::copy_from_slice(&[low, high])));
        arguments.push(Value::Binary(format!("x{i}").into()));
    }
    Arguments(arguments)
}
