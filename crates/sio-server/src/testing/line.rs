//! A test client's connection, Engine.IO on a WebSocket over a stream in memory, or on polling, or on one
//! after the other.
//!
//! Two tasks serve it. The **reader** takes what the server sends to the seats, and answers
//! heartbeats; the **writer** writes what is queued, so that neither waits for the other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use eio_transport::payload;
use parking_lot::Mutex;
use sio_packet::{Attachments, Form, Packet, Parser};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, WriteHalf},
    sync::{Notify, mpsc, watch},
    task::AbortHandle,
};
use ws_frame::{Header, OpCode, write_frame_as};

use super::{
    error::{End, Error},
    reader::{PACKETS, Reader},
    received::Received,
    requests::Requests,
    seat::{Handler, Seat},
};
use crate::entropy;

/// The connection as its clients hold it; it is cut when the last of them goes.
pub(super) struct Line {
    pub(super) shared: Arc<Shared>,
    pub(super) stalled: watch::Sender<bool>,
    pub(super) tasks: Mutex<[AbortHandle; 2]>,
    /// If it began by polling: how, for whoever moves it to a WebSocket, one at a time.
    pub(super) polls: Option<tokio::sync::Mutex<Requests>>,
}

/// What the connection's tasks have, too.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) changed: Notify,
    road: Mutex<Road>,
    /// If it is not the protocol's own.
    pub(super) parser: Option<Box<dyn Parser>>,
    pub(super) time_limit: Duration,
}

/// Where what is sent goes. Comes before the state, where both are locked.
pub(super) struct Road {
    pub(super) transport: Transport,
    out: mpsc::UnboundedSender<Vec<u8>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) seats: HashMap<String, Seat>,
    pub(super) last_id: u64,
    /// The open packet has come.
    pub(super) is_open: bool,
    /// WebSocket pings sent, and those that were answered; POSTs, over polling.
    pub(super) pings: (u64, u64),
    /// No GET is to follow the one that waits, and the reader is to lie here.
    pub(super) halts: bool,
    pub(super) halted: Option<Reader>,
    pub(super) end: Option<End>,
}

impl Line {
    /// Serves a stream on which the handshake is done; `unread` came behind it.
    pub(super) fn start(
        stream: DuplexStream,
        unread: Vec<u8>,
        parser: Option<Box<dyn Parser>>,
        time_limit: Duration,
    ) -> Self {
        let start =
            |reader: Reader, queue, stalled| stream_tasks(reader, stream, unread, queue, stalled);
        Self::with(Transport::WebSocket, parser, time_limit, start)
    }

    /// Serves a session that polls; `first` is the answer of the handshake.
    pub(super) fn poll(
        requests: Requests,
        first: Bytes,
        parser: Option<Box<dyn Parser>>,
        time_limit: Duration,
    ) -> Self {
        let polls = Some(tokio::sync::Mutex::new(requests.clone()));
        let start = |reader: Reader, queue, stalled| {
            let posts = requests.clone().post(Arc::clone(reader.shared()), queue);
            [
                tokio::spawn(requests.get(reader, first, stalled)).abort_handle(),
                tokio::spawn(posts).abort_handle(),
            ]
        };
        let mut line = Self::with(Transport::Polling, parser, time_limit, start);
        line.polls = polls;
        line
    }

    fn with(
        transport: Transport,
        parser: Option<Box<dyn Parser>>,
        time_limit: Duration,
        start: impl FnOnce(
            Reader,
            mpsc::UnboundedReceiver<Vec<u8>>,
            watch::Receiver<bool>,
        ) -> [AbortHandle; 2],
    ) -> Self {
        let (out, queue) = mpsc::unbounded_channel();
        let (stalled, is_stalled) = watch::channel(false);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Notify::new(),
            road: Mutex::new(Road { transport, out }),
            parser,
            time_limit,
        });
        let tasks = start(Reader::new(Arc::clone(&shared)), queue, is_stalled);
        Self {
            shared,
            stalled,
            tasks: Mutex::new(tasks),
            polls: None,
        }
    }

    /// Whether anything is read any more.
    pub(super) fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// Cuts it: nothing more is read or written, not even what is queued.
    pub(super) fn cut(&self) {
        self.shared.end(End::Dropped);
        for task in &*self.tasks.lock() {
            task.abort();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shared {
    /// Waits until `look` finds what it looks for.
    pub(super) async fn wait<T>(
        &self,
        waited_for: &str,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Error> {
        self.wait_or_end(waited_for, None, |state| match look(state) {
            Some(found) => Some(Ok(found)),
            None => state.end.clone().map(Err),
        })
        .await
    }

    /// The same where `look` also says whether it is in vain; `namespace` is whose events came
    /// instead.
    pub(super) async fn wait_or_end<T>(
        &self,
        waited_for: &str,
        namespace: Option<&str>,
        mut look: impl FnMut(&mut State) -> Option<Result<T, End>>,
    ) -> Result<T, Error> {
        let waiting = async {
            loop {
                // Made before the look, so that no change in between is missed.
                let changed = self.changed.notified();
                if let Some(found) = look(&mut self.state.lock()) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(self.time_limit, waiting).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(end)) => Err(Error::Ended {
                waited_for: waited_for.to_owned(),
                end,
            }),
            Err(_) => {
                let state = self.state.lock();
                let seat = namespace.and_then(|name| state.seats.get(name));
                let inbox = seat.map(|seat| seat.inbox.iter().map(Received::to_string));
                Err(Error::TimedOut {
                    waited_for: waited_for.to_owned(),
                    limit: self.time_limit,
                    instead: inbox.map(Iterator::collect).unwrap_or_default(),
                })
            }
        }
    }

    /// Sends a packet and its attachments.
    pub(super) fn send(&self, packet: &[u8], attachments: &Attachments) {
        let text = std::str::from_utf8(packet).expect("packets are written as text");
        self.say(|transport, out| match &self.parser {
            Some(parser) => transport.translate(out, &**parser, text, attachments),
            None => {
                transport.text(out, &format!("4{text}"));
                for attachment in attachments.iter() {
                    transport.binary(out, attachment);
                }
            }
        });
    }

    /// Sends a close frame, or the packet of that meaning.
    pub(super) fn close(&self) {
        self.say(|transport, out| match transport {
            Transport::Polling => transport.text(out, "1"),
            Transport::WebSocket => frame(out, OpCode::Close, &1000_u16.to_be_bytes()),
        });
    }

    /// Waits until the server has read all that was sent: it answers a WebSocket ping behind it, or the
    /// POST that brought it.
    pub(super) async fn sync(&self, waited_for: &str) -> Result<(), Error> {
        let number = {
            let road = self.road.lock();
            let mut state = self.state.lock();
            if road.transport == Transport::WebSocket {
                state.pings.0 += 1;
                let mut out = Vec::new();
                frame(&mut out, OpCode::Ping, &state.pings.0.to_be_bytes());
                let _ = road.out.send(out);
            }
            state.pings.0
        };
        let answered = |state: &mut State| (state.pings.1 >= number).then_some(());
        self.wait(waited_for, answered).await
    }

    /// The reader, unless no GET is to follow: it is wanted elsewhere then.
    pub(super) fn go_on(&self, reader: Reader) -> Option<Reader> {
        let mut state = self.state.lock();
        if !state.halts {
            return Some(reader);
        }
        state.halted = Some(reader);
        drop(state);
        self.changed.notify_waiters();
        None
    }

    /// A POST was answered.
    pub(super) fn heard(&self) {
        self.state.lock().pings.1 += 1;
        self.changed.notify_waiters();
    }

    /// Sends what `write` appends, if it is anything.
    pub(super) fn say(&self, write: impl FnOnce(Transport, &mut Vec<u8>)) {
        let road = self.road.lock();
        let mut out = Vec::new();
        write(road.transport, &mut out);
        if out.is_empty() {
            return;
        }
        if road.transport == Transport::Polling {
            self.state.lock().pings.0 += 1;
        }
        // Where nobody writes any more the connection has ended, which whoever waits is told.
        let _ = road.out.send(out);
    }

    pub(super) fn transport(&self) -> Transport {
        self.road.lock().transport
    }

    /// From now on all goes into a WebSocket, behind `first`; to be written from what is returned.
    pub(super) fn turn_off(&self, first: Vec<u8>) -> mpsc::UnboundedReceiver<Vec<u8>> {
        let (out, queue) = mpsc::unbounded_channel();
        let _ = out.send(first);
        *self.road.lock() = Road {
            transport: Transport::WebSocket,
            out,
        };
        queue
    }

    pub(super) fn end(&self, end: End) {
        self.state.lock().end.get_or_insert(end);
        self.changed.notify_waiters();
    }

    /// Runs a handler, with the seats unlocked.
    pub(super) fn run(&self, namespace: &str, mut handler: Handler, received: Received) {
        let (mut packet, mut attachments) = (Vec::new(), Attachments::new());
        let taken = handler(&received, &mut packet, &mut attachments);
        if !packet.is_empty() {
            self.send(&packet, &attachments);
        }
        let mut state = self.state.lock();
        if let Some(seat) = state.seats.get_mut(namespace) {
            let name = received.event.clone();
            seat.handlers.entry(name).or_insert(handler);
            if !taken {
                seat.inbox.push_back(received);
            }
        }
    }
}

/// Starts the tasks of a WebSocket.
pub(super) fn stream_tasks(
    reader: Reader,
    stream: DuplexStream,
    unread: Vec<u8>,
    queue: mpsc::UnboundedReceiver<Vec<u8>>,
    stalled: watch::Receiver<bool>,
) -> [AbortHandle; 2] {
    let (read_half, write_half) = tokio::io::split(stream);
    [
        tokio::spawn(reader.run(read_half, unread, stalled)).abort_handle(),
        tokio::spawn(write(write_half, queue)).abort_handle(),
    ]
}

async fn write(mut stream: WriteHalf<DuplexStream>, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        if stream.write_all(&bytes).await.is_err() {
            return; // The reader sees the end, too.
        }
    }
}

/// How a client's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    WebSocket,
}

impl Transport {
    /// Appends a packet of Engine.IO.
    pub(super) fn text(self, out: &mut Vec<u8>, packet: &str) {
        match self {
            Self::Polling => payload::push_text(out, packet),
            Self::WebSocket => frame(out, OpCode::Text, packet.as_bytes()),
        }
    }

    /// Appends a binary message.
    fn binary(self, out: &mut Vec<u8>, data: &[u8]) {
        match self {
            Self::Polling => payload::push_binary(out, data),
            Self::WebSocket => frame(out, OpCode::Binary, data),
        }
    }

    /// Appends a packet of ours as a parser has it.
    fn translate(
        self,
        out: &mut Vec<u8>,
        parser: &dyn Parser,
        text: &str,
        attachments: &Attachments,
    ) {
        let packet = Packet::parse(text, &PACKETS).expect("what was written can be read");
        let attachments: Vec<_> = attachments.iter().collect();
        let mut message = Vec::new();
        let form = parser.encode(&packet, &attachments, &mut message);
        match form.expect("the parser has a way to say it") {
            Form::Binary => self.binary(out, &message),
            Form::Text => self.text(out, &format!("4{}", String::from_utf8_lossy(&message))),
        }
    }
}

/// Appends a client's frame.
pub(super) fn frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = Header {
        mask: Some(entropy::bytes()),
        ..Header::new(opcode, payload.len() as u64)
    };
    write_frame_as(out, header, |out| out.extend_from_slice(payload));
}
