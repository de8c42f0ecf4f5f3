//! How a session comes to be, on either transport and either road.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use eio_transport::{Config, Dialect, Opening, Revision, Session, Sid, Transport, write_open};
use ws_frame::{Connection, Limits, OpCode, Role, write_frame};

use crate::{
    clock,
    conn::{Command, Conn, Writer},
    deflate::Codec,
    facts::Facts,
    front::Front,
    gate::Admission,
    hub::Hub,
    turns,
    wire::{Wire, WireIo},
};

/// The frame machine of a WebSocket that was accepted: `max_payload` holds for it as for polling.
pub(crate) fn frames(hub: &Hub, codec: Option<&Codec>) -> Connection {
    let limits = Limits {
        max_message: hub.engine.max_payload,
        ..Limits::default()
    };
    let frames = Connection::new(Role::Server, limits);
    match codec {
        Some(_) => frames.with_deflate(),
        None => frames,
    }
}

/// A session that polls.
pub(crate) fn open_polling(
    admission: Admission,
    shard: u16,
    sid: Sid,
    opening: Opening,
    facts: Facts,
) -> Arc<Conn> {
    let now = clock::now();
    open(admission, shard, sid, opening, facts, Writer::None, now)
}

/// A session on a WebSocket. `sid` has been promised by the open packet, which is sent by the caller.
#[expect(clippy::too_many_arguments, reason = "all that a WebSocket brings")]
pub(crate) fn open_websocket(
    admission: Admission,
    shard: u16,
    sid: Sid,
    opening: Opening,
    facts: Facts,
    io: WireIo,
    unread: Vec<u8>,
    codec: Option<Box<Codec>>,
) -> (Arc<Conn>, Wire) {
    let frames = frames(admission.hub(), codec.as_deref());
    let now = clock::now();
    let wire = Wire::new(io, frames, opening.dialect(), unread, now);
    let conn = open(admission, shard, sid, opening, facts, wire.writer(), now);
    conn.lock().codec = codec;
    (conn, wire)
}

/// Spawns the task of a session that polls.
pub(crate) fn spawn(conn: Arc<Conn>) {
    let front = Front::driver(Arc::clone(&conn), None);
    turns::spawn(&conn, front);
}

fn open(
    admission: Admission,
    shard: u16,
    sid: Sid,
    opening: Opening,
    facts: Facts,
    writer: Writer,
    now: Instant,
) -> Arc<Conn> {
    let closes = admission.closes();
    let hub = admission.pass_on(&sid);
    let engine = Arc::clone(&hub.engine);
    let session = Session::open(opening.revision, opening.transport, engine, now);
    let dialect = opening.dialect();
    let conn = Conn::new(sid, shard, hub, facts, session, dialect, writer);
    conn.hub.add_session(&conn);
    if opening.revision == Revision::V3 {
        conn.command(Command::Begin);
    }
    conn.shard().tally.opened();
    // The first deadline is armed here.
    conn.drive(|_| ());
    // All were closed since it was let in, when it was not among them yet.
    if conn.hub.closes.load(Ordering::SeqCst) != closes {
        conn.command(Command::Shutdown);
    }
    conn
}

/// The open packet as a WebSocket frame, the same for all but the id.
pub(crate) struct OpenFrame {
    bytes: Vec<u8>,
    /// Where the id stands.
    at: usize,
}

impl OpenFrame {
    pub(crate) fn new(config: &Config) -> Self {
        let sid = Sid::from_entropy([0; 15]);
        let mut bytes = Vec::new();
        write_frame(&mut bytes, OpCode::Text, 125, |text| {
            write_open(text, &sid, config.upgrades(Transport::WebSocket), config);
        });
        let at = memchr::memmem::find(&bytes, sid.as_bytes());
        let at = at.expect("because it has just been written");
        Self { bytes, at }
    }

    fn write(&self, out: &mut Vec<u8>, sid: &Sid) {
        let at = out.len() + self.at;
        out.extend_from_slice(&self.bytes);
        out[at..at + Sid::LEN].copy_from_slice(sid.as_bytes());
    }
}

/// Appends the open packet as a WebSocket frame, and what every client is told at once.
pub(crate) fn write_open_frame(out: &mut Vec<u8>, hub: &Hub, sid: &Sid, dialect: Dialect) {
    hub.open_frame.write(out, sid);
    if let Some(initial) = &hub.initial {
        out.extend_from_slice(initial.translated(dialect).wire());
    }
}
