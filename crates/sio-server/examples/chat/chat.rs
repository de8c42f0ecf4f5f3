//! The chat as a server: what a page may ask for, and what it is told.
//!
//! What the lobby knows is the same on all nodes of a cluster: whoever changes it tells the others. A
//! server that is alone tells nobody.

use std::{env, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use sio_server::{Ack, Config, Event, Handshake, Io, Namespace, Refuse, Server, Socket};

use crate::lobby::{Change, Lobby, Message, Person, RoomCount, State, Welcome};

// What a page asks for. An answer that is `None` is a refusal: the page asked for the impossible.
const JOIN: Event<String, Option<Welcome>> = Event::new("join");
const LEAVE: Event<String> = Event::new("leave");
const LIKE: Event<Like> = Event::new("like");
const SAY: Event<Said, bool> = Event::new("message");
const TYPING: Event<String> = Event::new("typing");

// What a page is told.
const LIKED: Event<Liked> = Event::new("like");
const MESSAGE: Event<Message> = Event::new("message");
const PEOPLE: Event<People> = Event::new("people");
const ROOMS: Event<Vec<RoomCount>> = Event::new("rooms");
const TYPED: Event<Typed> = Event::new("typing");

// What nodes tell one another.
const CHANGE: Event<Change> = Event::new("change");
pub(crate) const STATE: Event<(), State> = Event::new("state");

#[derive(serde::Deserialize)]
struct Like {
    room: String,
    id: String,
    on: bool,
}

#[derive(serde::Serialize)]
struct Liked {
    room: String,
    id: String,
    person: String,
    on: bool,
}

#[derive(serde::Serialize)]
struct People {
    room: String,
    people: Vec<Person>,
}

/// What somebody says; the key tells a message that is sent twice from one that is said twice.
#[derive(serde::Deserialize)]
struct Said {
    key: String,
    room: String,
    text: String,
}

#[derive(serde::Serialize)]
struct Typed {
    room: String,
    #[serde(flatten)]
    person: Person,
}

/// What every handler finds at its socket: who it is, and the place all of them share.
struct Guest {
    person: Person,
    lobby: Arc<Lobby>,
}

pub(crate) fn server(lobby: Arc<Lobby>) -> Server {
    let (changed, asked) = (Arc::clone(&lobby), Arc::clone(&lobby));
    let chat = Namespace::new("/", async move |hello: Handshake| {
        let person: Person = hello.auth()?;
        if person.is_sound() {
            Ok(Guest { person, lobby })
        } else {
            Err(Refuse::new("A name has 1 to 24 characters."))
        }
    })
    .on_connect(async |socket: Socket<Guest>| {
        socket.emit(ROOMS, &socket.data().lobby.rooms());
    })
    .on(JOIN, async |socket, room| {
        let guest = socket.data();
        let Some(welcome) = guest.lobby.enter(&room, socket.id(), &guest.person) else {
            return Ack(None);
        };
        socket.join(&room);
        tell_nodes(&socket, Change::enter(&room, socket.id(), &guest.person));
        tell_who_is_here(&socket, room);
        Ack(Some(welcome))
    })
    .on(LEAVE, async |socket, room| {
        if socket.data().lobby.exit(&room, socket.id()) {
            socket.leave(&room);
            tell_nodes(&socket, Change::exit(&room, socket.id()));
            tell_who_is_here(&socket, room);
        }
    })
    .on(SAY, async |socket, said| {
        let guest = socket.data();
        let Said { key, room, text } = said;
        let taken = guest.lobby.say(&room, socket.id(), key, text, |message| {
            socket.everyone().to(&room).emit(MESSAGE, message);
            tell_nodes(&socket, Change::Say(message.clone()));
        });
        Ack(taken)
    })
    .on(LIKE, async |socket, like| {
        let guest = socket.data();
        let Like { room, id, on } = like;
        if guest.lobby.like(&room, socket.id(), &id, on) {
            let person = guest.person.person.clone();
            tell_nodes(&socket, Change::like(&room, &id, &person, on));
            socket.everyone().to(&room).emit(
                LIKED,
                &Liked {
                    room,
                    id,
                    person,
                    on,
                },
            );
        }
    })
    .on(TYPING, async |socket, room| {
        let guest = socket.data();
        if guest.lobby.is_in(&room, socket.id()) {
            let typed = Typed {
                room: room.clone(),
                person: guest.person.clone(),
            };
            // A hint that cannot be shown now is of no use later.
            socket.to(&room).volatile().emit(TYPED, &typed);
        }
    })
    .on_disconnect(async |socket, _reason| {
        for room in socket.data().lobby.exit_all(socket.id()) {
            tell_nodes(&socket, Change::exit(&room, socket.id()));
            tell_who_is_here(&socket, room);
        }
    })
    .on_server_side(CHANGE, async move |_io, change| changed.apply(change))
    .on_server_side(STATE, async move |_io, ()| Ack(asked.state()));

    let mut config = Config::default();
    config.client_files = env::var_os("SIO_CLIENT_DIR").map(Into::into);
    if config.client_files.is_none() {
        eprintln!("SIO_CLIENT_DIR is not set, so the page has no client (see cargo xtask demo)");
    }

    Server::new().config(config).mount(chat).fallback(page)
}

/// The page and what belongs to it.
async fn page(request: Request<()>) -> Response<Bytes> {
    let (kind, content) = match request.uri().path() {
        "/" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/chat.css" => ("text/css", include_str!("page/chat.css")),
        "/chat.js" => ("text/javascript", include_str!("page/chat.js")),
        _ => {
            let mut missing = Response::new(Bytes::from_static(b"there is no such page"));
            *missing.status_mut() = StatusCode::NOT_FOUND;
            return missing;
        }
    };
    let mut response = Response::new(Bytes::from_static(content.as_bytes()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Shows all pages of this node who is where, after the lobby has learned it from other nodes.
#[allow(dead_code, reason = "only the chat on several nodes does")]
pub(crate) fn show_everything(io: &Io, lobby: &Lobby) {
    for room in lobby.rooms().into_iter().map(|room| room.name) {
        let people = lobby.people(&room);
        let to = io.to(&room).local();
        to.emit(PEOPLE, &People { room, people });
    }
    io.everyone().local().emit(ROOMS, &lobby.rooms());
}

/// Tells the other nodes what has changed, before their pages hear of it.
fn tell_nodes(socket: &Socket<Guest>, change: Change) {
    socket.io().server_side_emit(CHANGE, &change);
}

/// Tells a room who is in it, and everybody how many are in each.
fn tell_who_is_here(socket: &Socket<Guest>, room: String) {
    let lobby = &socket.data().lobby;
    let people = lobby.people(&room);
    socket
        .everyone()
        .to(&room)
        .emit(PEOPLE, &People { room, people });
    socket.everyone().emit(ROOMS, &lobby.rooms());
}
