//! A client as the JavaScript one is: it polls, posts, probes, pauses and moves.

use std::collections::VecDeque;

use eio_transport::{Data, Packet, payload};

use super::host::Frame;

/// What the client wants from the network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ask {
    /// A GET on this connection.
    Get(u32),
    /// A POST on this connection, with this body.
    Post(u32, String),
    /// A WebSocket of this number.
    Dial(u32),
    /// A text frame.
    Frame(u32, String),
    /// The end of a WebSocket.
    Close(u32),
}

/// How patient a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Temper {
    /// Waits for its GET and its POST before it moves, as the JavaScript client does.
    Patient,
    /// Waits for its GET, not for its POST.
    Hasty,
}

/// A client of revision 4 whose session was opened over polling.
#[derive(Debug)]
pub struct Client {
    temper: Temper,
    /// GETs that it still begins after the probe was answered.
    repolls: u32,
    get: Option<u32>,
    post: Option<u32>,
    upgrade: Upgrade,
    closed: bool,
    refused: bool,
    numbers: u32,
    buffer: VecDeque<String>,
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
    pub fn new(temper: Temper, repolls: u32, upgrades: bool) -> Self {
        let mut client = Self {
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

    /// The application sends the next message.
    pub fn send(&mut self) {
        if self.closed {
            return;
        }
        self.buffer.push_back(format!("4{}", self.sent));
        self.sent += 1;
        self.flush();
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
                    self.asks.push_back(Ask::Post(post, "1".into()));
                }
            }
        }
    }

    /// Something failed; the client goes without a word.
    pub fn fail(&mut self) {
        self.closed = true;
    }

    /// A GET was answered.
    pub fn on_answer(&mut self, connection: u32, status: u16, body: &str) {
        if self.get != Some(connection) || self.closed {
            return;
        }
        self.get = None;
        if status != 200 {
            self.fail();
            return;
        }
        for packet in payload::decode(body, 1000) {
            match packet.expect("the server's packets are good") {
                Packet::Message(data) => self.receive(&data),
                Packet::Ping(_) => self.pong(),
                Packet::Close => self.closed = true,
                Packet::Noop => {}
                other => panic!("the server sent {other:?} to a GET"),
            }
        }
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
            self.asks.push_back(Ask::Frame(socket, "2probe".into()));
        }
    }

    /// A frame came.
    pub fn on_frame(&mut self, socket: u32, frame: &Frame) {
        if self.closed {
            return;
        }
        if self.upgrade == Upgrade::Done(socket) {
            match frame {
                Frame::Binary(bytes) => self.receive(&Data::Binary(bytes.into())),
                Frame::Text(text) => match Packet::parse_text(text) {
                    Ok(Packet::Message(data)) => self.receive(&data),
                    Ok(Packet::Ping(_)) => self.pong(),
                    other => panic!("the server sent {other:?} over the WebSocket"),
                },
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
        self.asks.push_back(Ask::Frame(socket, "5".into()));
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
                let body: Vec<_> = self.buffer.drain(..).collect();
                let post = self.number();
                self.post = Some(post);
                self.asks.push_back(Ask::Post(post, body.join("\x1e")));
            }
        }
    }

    fn pong(&mut self) {
        self.pings += 1;
        self.buffer.push_back("3".into());
        self.flush();
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
