//! A client as the JavaScript one is: it polls, posts, probes, pauses and moves.

use std::collections::VecDeque;

use eio_transport::{
    Data, Dialect, Packet, Revision,
    payload::{self, Posted, v3},
};

use super::host::Frame;

/// What the client wants from the network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// A GET on this connection.
    Get(u32),
    /// A POST on this connection, with this body in that form.
    Post(u32, Vec<u8>, Posted),
    /// A WebSocket of this number.
    Dial(u32),
    /// A frame on a WebSocket.
    Frame(u32, Frame),
    /// The end of a WebSocket.
    Close(u32),
    /// To be woken one ping interval from now.
    Wake,
}

/// How patient a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Temper {
    /// Waits for its GET and its POST before it moves, as the JavaScript client does.
    Patient,
    /// Waits for its GET, not for its POST.
    Hasty,
}

/// A client whose session was opened over polling.
#[derive(Debug)]
pub struct Client {
    dialect: Dialect,
    temper: Temper,
    /// GETs that it still begins after the probe was answered.
    repolls: u32,
    get: Option<u32>,
    post: Option<u32>,
    upgrade: Upgrade,
    closed: bool,
    refused: bool,
    numbers: u32,
    buffer: VecDeque<Frame>,
    sent: u64,
    received: u64,
    /// The message whose attachment comes next.
    attachment: Option<u64>,
    pings: u64,
    asks: VecDeque<Ask>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Upgrade {
    /// On polling for good.
    None,
    /// The WebSocket is being opened.
    Dialing(u32),
    /// `2probe` is on its way.
    Probing(u32),
    /// `3probe` came; polling is being paused.
    Pausing(u32),
    /// On the WebSocket.
    Done(u32),
    /// The probe was lost after polling had been paused: the JavaScript client never polls again.
    Stuck,
}

impl Client {
    /// A client that has just read the open packet. It begins to poll, and if `upgrades` to
    /// probe; `repolls` is how often it polls again after the probe was answered.
    pub fn new(dialect: Dialect, temper: Temper, repolls: u32, upgrades: bool) -> Self {
        let mut client = Self {
            dialect,
            temper,
            repolls,
            get: None,
            post: None,
            upgrade: Upgrade::None,
            closed: false,
            refused: false,
            numbers: 0,
            buffer: VecDeque::new(),
            sent: 0,
            received: 0,
            attachment: None,
            pings: 0,
            asks: VecDeque::new(),
        };
        client.poll();
        if dialect.revision() == Revision::V3 {
            client.asks.push_back(Ask::Wake);
        }
        if upgrades {
            let socket = client.number();
            client.upgrade = Upgrade::Dialing(socket);
            client.asks.push_back(Ask::Dial(socket));
        }
        client
    }

    /// Messages sent so far.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages received so far, each with its attachment.
    pub const fn received(&self) -> u64 {
        match self.attachment {
            Some(_) => self.received - 1,
            None => self.received,
        }
    }

    /// Pings seen so far.
    pub const fn pings(&self) -> u64 {
        self.pings
    }

    /// Whether it has moved to the WebSocket.
    pub const fn is_upgraded(&self) -> bool {
        matches!(self.upgrade, Upgrade::Done(_))
    }

    /// Whether its session is over.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a POST of it was refused. That may overtake the last words in the answer to a GET,
    /// and the client does not wait for them then.
    pub const fn is_refused(&self) -> bool {
        self.refused
    }

    /// The GET that it waits for.
    pub const fn get_number(&self) -> Option<u32> {
        self.get
    }

    /// The next thing for the network.
    pub fn next_ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// The application sends the next message; every fourth one is bytes.
    pub fn send(&mut self) {
        if self.closed {
            return;
        }
        let bytes = self.sent.to_be_bytes();
        self.buffer.push_back(match (self.sent % 4, self.dialect) {
            (0..3, _) => Frame::Text(format!("4{}", self.sent)),
            (_, Dialect::V3) => Frame::Binary([&[4], &bytes[..]].concat()),
            (_, Dialect::V4) => Frame::Binary(bytes.into()),
            (_, Dialect::V3Base64) => as_text(|out| v3::write_base64(out, &bytes)),
            (_, Dialect::V4Base64) => as_text(|out| payload::write_base64(out, &bytes)),
        });
        self.sent += 1;
        self.flush();
    }

    /// A ping interval has passed since it was asked for: in revision 3 the client pings.
    pub fn wake(&mut self) {
        if !self.closed {
            self.buffer.push_back(Frame::Text("2".into()));
            self.flush();
        }
    }

    /// The application closes.
    pub fn close(&mut self) {
        if self.closed {
            return;
        }
        self.closed = true;
        match self.upgrade {
            Upgrade::Done(socket) => self.asks.push_back(Ask::Close(socket)),
            upgrade => {
                if let Some(socket) = upgrade.probe() {
                    self.asks.push_back(Ask::Close(socket));
                }
                // The reference client writes its last packet whatever is being posted.
                if self.post.is_none() {
                    let post = self.number();
                    let close = [Frame::Text("1".into())];
                    let (body, posted) = self.body(close.into_iter());
                    self.asks.push_back(Ask::Post(post, body, posted));
                }
            }
        }
    }

    /// Something failed; the client goes without a word.
    pub fn fail(&mut self) {
        self.closed = true;
    }

    /// A GET was answered.
    pub fn on_answer(&mut self, connection: u32, status: u16, body: &[u8]) {
        if self.get != Some(connection) || self.closed {
            return;
        }
        self.get = None;
        if status != 200 {
            self.fail();
            return;
        }
        each_packet(self.dialect.revision(), body, |packet| match packet {
            Packet::Message(data) => self.receive(&data),
            Packet::Ping(_) | Packet::Pong(_) => self.beat(&packet),
            Packet::Close => self.closed = true,
            Packet::Noop => {}
            other => panic!("the server sent {other:?} to a GET"),
        });
        if self.closed {
            return;
        }
        match self.upgrade {
            Upgrade::Pausing(_) if self.repolls == 0 => self.pause(),
            Upgrade::Pausing(_) => {
                self.repolls -= 1;
                self.poll();
            }
            Upgrade::Done(_) | Upgrade::Stuck => {}
            _ => self.poll(),
        }
    }

    /// A POST was answered.
    pub fn on_posted(&mut self, connection: u32, status: u16) {
        if self.post != Some(connection) {
            return;
        }
        self.post = None;
        if status != 200 {
            self.refused = true;
            self.fail();
        }
        self.pause();
        self.flush();
    }

    /// A WebSocket is open.
    pub fn on_opened(&mut self, socket: u32) {
        if self.upgrade == Upgrade::Dialing(socket) && !self.closed {
            self.upgrade = Upgrade::Probing(socket);
            let probe = Frame::Text("2probe".into());
            self.asks.push_back(Ask::Frame(socket, probe));
        }
    }

    /// A frame came.
    pub fn on_frame(&mut self, socket: u32, frame: &Frame) {
        if self.closed {
            return;
        }
        if self.upgrade == Upgrade::Done(socket) {
            let revision = self.dialect.revision();
            let packet = match frame {
                Frame::Binary(bytes) => revision.read_binary(bytes),
                Frame::Text(text) => revision.read_text(text),
            };
            match packet.expect("the server's packets are good") {
                Packet::Message(data) => self.receive(&data),
                packet @ (Packet::Ping(_) | Packet::Pong(_)) => self.beat(&packet),
                other => panic!("the server sent {other:?} over the WebSocket"),
            }
        } else if self.upgrade.probe() == Some(socket) {
            assert_eq!(
                *frame,
                Frame::Text("3probe".into()),
                "a probe carries nothing else"
            );
            self.upgrade = Upgrade::Pausing(socket);
            self.pause();
        }
    }

    /// A WebSocket was refused, closed or lost.
    pub fn on_closed(&mut self, socket: u32) {
        if self.upgrade == Upgrade::Done(socket) {
            self.fail();
        } else if self.upgrade == Upgrade::Pausing(socket) && self.temper == Temper::Patient {
            self.upgrade = Upgrade::Stuck;
        } else if self.upgrade.probe() == Some(socket) {
            self.upgrade = Upgrade::None;
            if self.get.is_none() && !self.closed {
                self.poll();
            }
            self.flush();
        }
    }

    /// Moves to the WebSocket if nothing is in the way any more.
    fn pause(&mut self) {
        let Upgrade::Pausing(socket) = self.upgrade else {
            return;
        };
        let posting = self.post.is_some() && self.temper == Temper::Patient;
        if self.get.is_some() || posting || self.closed {
            return;
        }
        self.upgrade = Upgrade::Done(socket);
        self.asks
            .push_back(Ask::Frame(socket, Frame::Text("5".into())));
        self.flush();
    }

    fn poll(&mut self) {
        let get = self.number();
        self.get = Some(get);
        self.asks.push_back(Ask::Get(get));
    }

    fn flush(&mut self) {
        if self.closed || self.buffer.is_empty() {
            return;
        }
        match self.upgrade {
            Upgrade::Done(socket) => {
                let frames = self
                    .buffer
                    .drain(..)
                    .map(|packet| Ask::Frame(socket, packet));
                self.asks.extend(frames);
            }
            Upgrade::Pausing(_) | Upgrade::Stuck => {}
            _ if self.post.is_some() => {}
            _ => {
                let frames = std::mem::take(&mut self.buffer);
                let (body, posted) = self.body(frames.into_iter());
                let post = self.number();
                self.post = Some(post);
                self.asks.push_back(Ask::Post(post, body, posted));
            }
        }
    }

    /// What goes over a WebSocket frame by frame, as the body of a POST.
    fn body(&self, frames: impl Iterator<Item = Frame> + Clone) -> (Vec<u8>, Posted) {
        let mut body = Vec::new();
        let binary = self.dialect == Dialect::V3
            && frames
                .clone()
                .any(|frame| matches!(frame, Frame::Binary(_)));
        for frame in frames {
            match (frame, self.dialect.revision()) {
                (Frame::Text(text), Revision::V4) => payload::push_text(&mut body, &text),
                (Frame::Binary(bytes), Revision::V4) => payload::push_binary(&mut body, &bytes),
                (Frame::Text(text), _) if binary => v3::push_text_as_bytes(&mut body, &text),
                (Frame::Text(text), _) => v3::push_text(&mut body, &text),
                (Frame::Binary(bytes), _) => v3::push_binary(&mut body, &bytes),
            }
        }
        let posted = if binary { Posted::Bytes } else { Posted::Text };
        (body, posted)
    }

    /// The heartbeat: in revision 4 the server's ping, in revision 3 the answer to ours.
    fn beat(&mut self, packet: &Packet<'_>) {
        self.pings += 1;
        match (packet, self.dialect.revision()) {
            (Packet::Ping(_), Revision::V4) => {
                self.buffer.push_back(Frame::Text("3".into()));
                self.flush();
            }
            (Packet::Pong(_), Revision::V3) => self.asks.push_back(Ask::Wake),
            other => panic!("{other:?} has the wrong direction"),
        }
    }

    /// What the application gets, with nothing lost, doubled or out of order.
    fn receive(&mut self, data: &Data<'_>) {
        match data {
            Data::Text(text) => {
                assert_eq!(self.attachment, None, "attachments follow their text");
                let number = text
                    .trim_end_matches('+')
                    .parse()
                    .expect("messages are numbers");
                assert_eq!(self.received, number, "messages come in order, each once");
                self.attachment = text.ends_with('+').then_some(number);
                self.received += 1;
            }
            Data::Binary(bytes) => {
                let number = u64::from_be_bytes(bytes[..].try_into().expect("eight bytes"));
                assert_eq!(
                    self.attachment.take(),
                    Some(number),
                    "attachments follow their text"
                );
            }
        }
    }

    fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }
}

impl Upgrade {
    const fn probe(self) -> Option<u32> {
        match self {
            Self::Dialing(socket) | Self::Probing(socket) | Self::Pausing(socket) => Some(socket),
            Self::None | Self::Done(_) | Self::Stuck => None,
        }
    }
}

/// Gives each packet of an answer to `visit`.
pub(super) fn each_packet(revision: Revision, body: &[u8], mut visit: impl FnMut(Packet<'_>)) {
    let text = || std::str::from_utf8(body).expect("packets are text");
    let mut good = |packet: Result<Packet<'_>, _>| {
        visit(packet.expect("the server's packets are good"));
    };
    match revision {
        Revision::V4 => payload::decode(text(), 1000).for_each(&mut good),
        Revision::V3 if v3::is_binary(body) => v3::decode_binary(body, 1000).for_each(&mut good),
        Revision::V3 => v3::decode_text(text(), 1000).for_each(&mut good),
    }
}

fn as_text(write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    let mut out = Vec::new();
    write(&mut out);
    Frame::Text(String::from_utf8(out).expect("base64 is text"))
}
