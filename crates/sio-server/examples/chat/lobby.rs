//! What the chat knows: the rooms, who is in them, and what was said there last; on all nodes, if there
//! are several.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// These rooms stay when everybody has left; all others go with the last of their people.
const ALWAYS: [&str; 3] = ["lobby", "music", "rust"];
const MAX_MESSAGES: usize = 50;
const MAX_ROOMS: usize = 100;
const MAX_TEXT: usize = 1000;

/// Somebody with a name. `person` stays the same when the connection does not.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) person: String,
}

impl Person {
    /// Whether name and id have a length that a page can show and we can keep.
    pub(crate) fn is_sound(&self) -> bool {
        is_short(&self.name) && !self.person.is_empty() && self.person.len() <= 64
    }
}

/// Takes somebody out of a room, which goes with the last of its people unless it always stays.
fn exit(rooms: &mut BTreeMap<String, Room>, name: &str, socket: &str) -> bool {
    let Some(room) = rooms.get_mut(name) else {
        return false;
    };
    let was_in = room.people.remove(socket).is_some();
    if room.people.is_empty() && !ALWAYS.contains(&name) {
        rooms.remove(name);
    }
    was_in
}

fn is_short(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= 24
}

/// Something that was said, and the people who like it.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Message {
    id: String,
    key: String,
    room: String,
    text: String,
    #[serde(flatten)]
    author: Person,
    /// Milliseconds since 1970, as JavaScript counts.
    at: u64,
    likes: Vec<String>,
}

/// A room, and how many people are in it.
#[derive(Serialize)]
pub(crate) struct RoomCount {
    pub(crate) name: String,
    people: usize,
}

/// What somebody who has just come in is shown.
#[derive(Serialize)]
pub(crate) struct Welcome {
    people: Vec<Person>,
    messages: Vec<Message>,
}

/// What a node tells the others when something has changed.
#[derive(Deserialize, Serialize)]
pub(crate) enum Change {
    Enter {
        room: String,
        socket: String,
        person: Person,
    },
    Exit {
        room: String,
        socket: String,
    },
    Like {
        room: String,
        id: String,
        person: String,
        on: bool,
    },
    Say(Message),
}

impl Change {
    pub(crate) fn enter(room: &str, socket: &str, person: &Person) -> Self {
        Self::Enter {
            room: room.to_owned(),
            socket: socket.to_owned(),
            person: person.clone(),
        }
    }

    pub(crate) fn exit(room: &str, socket: &str) -> Self {
        Self::Exit {
            room: room.to_owned(),
            socket: socket.to_owned(),
        }
    }

    pub(crate) fn like(room: &str, id: &str, person: &str, on: bool) -> Self {
        Self::Like {
            room: room.to_owned(),
            id: id.to_owned(),
            person: person.to_owned(),
            on,
        }
    }
}

/// What a node tells one that asks, because it is new or has missed something.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct State(BTreeMap<String, Room>);

#[derive(Clone, Default, Deserialize, Serialize)]
struct Room {
    /// By the id of their socket: two tabs are two people with one name.
    people: BTreeMap<String, Person>,
    messages: VecDeque<Message>,
}

impl Room {
    fn people(&self) -> Vec<Person> {
        let mut people: Vec<_> = self.people.values().cloned().collect();
        people.sort_by(|a, b| (&a.name, &a.person).cmp(&(&b.name, &b.person)));
        people
    }

    fn keep(&mut self, message: Message) {
        if self.messages.len() == MAX_MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
    }

    fn like(&mut self, id: &str, person: &str, on: bool) {
        if let Some(message) = self.messages.iter_mut().find(|message| message.id == id) {
            message.likes.retain(|one| one != person);
            if on {
                message.likes.push(person.to_owned());
            }
        }
    }
}

/// The rooms. Shared by all handlers; nothing waits while the lock is held.
pub(crate) struct Lobby(Mutex<BTreeMap<String, Room>>);

impl Default for Lobby {
    fn default() -> Self {
        Self(Mutex::new(
            ALWAYS.map(|name| (name.to_owned(), Room::default())).into(),
        ))
    }
}

impl Lobby {
    pub(crate) fn rooms(&self) -> Vec<RoomCount> {
        let count = |(name, room): (&String, &Room)| RoomCount {
            name: name.clone(),
            people: room.people.len(),
        };
        self.lock().iter().map(count).collect()
    }

    pub(crate) fn people(&self, room: &str) -> Vec<Person> {
        self.lock().get(room).map(Room::people).unwrap_or_default()
    }

    pub(crate) fn is_in(&self, room: &str, socket: &str) -> bool {
        self.lock()
            .get(room)
            .is_some_and(|room| room.people.contains_key(socket))
    }

    /// Lets somebody into a room, which is opened if need be; `None` if there are too many, or the
    /// name is too long.
    pub(crate) fn enter(&self, name: &str, socket: &str, person: &Person) -> Option<Welcome> {
        let mut rooms = self.lock();
        if !rooms.contains_key(name) && (!is_short(name) || rooms.len() == MAX_ROOMS) {
            return None;
        }
        let room = rooms.entry(name.to_owned()).or_default();
        room.people.insert(socket.to_owned(), person.clone());
        let messages = room.messages.iter().cloned().collect();
        Some(Welcome {
            people: room.people(),
            messages,
        })
    }

    /// Whether somebody was in the room, and now is not.
    pub(crate) fn exit(&self, name: &str, socket: &str) -> bool {
        exit(&mut self.lock(), name, socket)
    }

    /// Everything, for a node that has missed something.
    pub(crate) fn state(&self) -> State {
        State(self.lock().clone())
    }

    /// Takes over what another node knows and this one does not.
    #[allow(dead_code, reason = "only the chat on several nodes does")]
    pub(crate) fn adopt(&self, state: State) {
        let mut rooms = self.lock();
        for (name, theirs) in state.0 {
            let ours = rooms.entry(name).or_default();
            ours.people.extend(theirs.people);
            for message in theirs.messages {
                if ours.messages.iter().all(|known| known.id != message.id) {
                    ours.messages.push_back(message);
                }
            }
            ours.messages
                .make_contiguous()
                .sort_by_key(|message| message.at);
            let surplus = ours.messages.len().saturating_sub(MAX_MESSAGES);
            ours.messages.drain(..surplus);
        }
    }

    /// Keeps those people only whose sockets are there; the others went when this node could not hear it.
    #[allow(dead_code, reason = "only the chat on several nodes does")]
    pub(crate) fn keep_only(&self, sockets: &BTreeSet<String>) {
        let mut rooms = self.lock();
        rooms.retain(|name, room| {
            room.people.retain(|socket, _| sockets.contains(socket));
            !room.people.is_empty() || ALWAYS.contains(&&**name)
        });
    }

    /// Does what another node has done.
    pub(crate) fn apply(&self, change: Change) {
        let mut rooms = self.lock();
        match change {
            Change::Enter {
                room,
                socket,
                person,
            } => {
                let room = rooms.entry(room).or_default();
                room.people.insert(socket, person);
            }
            Change::Exit { room, socket } => {
                exit(&mut rooms, &room, &socket);
            }
            Change::Like {
                room,
                id,
                person,
                on,
            } => {
                if let Some(room) = rooms.get_mut(&room) {
                    room.like(&id, &person, on);
                }
            }
            Change::Say(message) => {
                let room = rooms.entry(message.room.clone()).or_default();
                room.keep(message);
            }
        }
    }

    /// Takes somebody out of every room; gives the rooms they were in.
    pub(crate) fn exit_all(&self, socket: &str) -> Vec<String> {
        let names: Vec<String> = self.lock().keys().cloned().collect();
        names
            .into_iter()
            .filter(|name| self.exit(name, socket))
            .collect()
    }

    /// Keeps a message and hands it to `tell`, unless it is one that we already have. Whether it
    /// need not be sent again.
    pub(crate) fn say(
        &self,
        name: &str,
        socket: &str,
        key: String,
        text: String,
        tell: impl FnOnce(&Message),
    ) -> bool {
        let mut rooms = self.lock();
        let Some(room) = rooms.get_mut(name) else {
            return false;
        };
        let Some(author) = room.people.get(socket).cloned() else {
            return false;
        };
        if key.len() > 64 || text.chars().count() > MAX_TEXT {
            return false;
        }
        let known =
            |message: &Message| message.key == key && message.author.person == author.person;
        if room.messages.iter().any(known) {
            return true;
        }
        let at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis() as u64;
        let id = format!("{}/{key}", author.person);
        let message = Message {
            id,
            key,
            room: name.to_owned(),
            text,
            author,
            at,
            likes: Vec::new(),
        };
        // Told under the lock, so that all pages have the messages in the order kept here.
        tell(&message);
        room.keep(message);
        true
    }

    /// Counts a like, or takes it back. Whether the room is to be told: also of a message that we
    /// no longer have, but pages may still show.
    pub(crate) fn like(&self, name: &str, socket: &str, id: &str, on: bool) -> bool {
        let mut rooms = self.lock();
        let Some(room) = rooms.get_mut(name) else {
            return false;
        };
        let Some(person) = room.people.get(socket).map(|person| person.person.clone()) else {
            return false;
        };
        room.like(id, &person, on);
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
