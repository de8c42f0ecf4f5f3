//! What the server sends a test client: frames, Engine.IO's packets in them, Socket.IO's in these.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sio_packet::{
    Limits as PacketLimits, Message as Coded, Packet, ParseError, Reassembler, Scratch,
};
use tokio::{
    io::{AsyncReadExt, DuplexStream, ReadHalf},
    sync::watch,
};
use ws_frame::{Connection, Limits, Message, Role};

use super::{error::End, line::Shared};
use crate::entropy;

/// A test reads whatever its server sends.
pub(super) const FRAMES: Limits = Limits {
    max_message: usize::MAX,
    max_fragments: u32::MAX,
    control_burst: u16::MAX,
    control_per_second: u16::MAX,
};
pub(super) const PACKETS: PacketLimits = PacketLimits {
    max_attachments: usize::MAX,
    max_auth: usize::MAX,
    max_binary_bytes: usize::MAX,
    max_event_name: usize::MAX,
    max_namespace: usize::MAX,
};

/// The task that reads.
pub(super) struct Reader {
    shared: Arc<Shared>,
    frames: Connection,
    packets: Reassembler,
    limits: PacketLimits,
}

/// What came in a frame.
enum Came {
    Text(String),
    Binary(Bytes),
    Pong(u64),
    End(End),
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            frames: Connection::new(Role::Client, FRAMES),
            packets: Reassembler::new(),
            limits: PACKETS,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reads until the end, and whenever it is not stalled.
    pub(super) async fn run(
        mut self,
        mut stream: ReadHalf<DuplexStream>,
        mut unread: Vec<u8>,
        mut stalled: watch::Receiver<bool>,
    ) {
        loop {
            if let Err(end) = self.take(&mut unread) {
                return self.shared.end(end);
            }
            self.shared.changed.notify_waiters();
            unread.clear();
            loop {
                if stalled.wait_for(|stalled| !stalled).await.is_err() {
                    return;
                }
                tokio::select! {
                    biased;
                    _ = stalled.changed() => {}
                    read = stream.read_buf(&mut unread) => match read {
                        Ok(n) if n > 0 => break,
                        _ => return self.shared.end(End::Cut),
                    },
                }
            }
        }
    }

    /// Takes what has been read.
    fn take(&mut self, unread: &mut [u8]) -> Result<(), End> {
        // A server may ping as it likes.
        self.frames.handle_elapsed(Duration::from_secs(1));
        let mut input = unread;
        loop {
            let came = match self.frames.receive(&mut input) {
                Ok(None) => break,
                Ok(Some(Message::Text(text))) => Came::Text(text.to_owned()),
                Ok(Some(Message::Binary(data))) => Came::Binary(Bytes::copy_from_slice(data)),
                Ok(Some(Message::Pong(data))) => {
                    Came::Pong(data.try_into().map_or(0, u64::from_be_bytes))
                }
                Ok(Some(Message::Close(close))) => {
                    Came::End(End::Closed(close.map(|close| close.code().get())))
                }
                Ok(Some(_)) => continue, // A ping, which the machine answers.
                Err(error) => Came::End(End::Protocol(error.to_string())),
            };
            match came {
                Came::Text(text) => self.text(&text)?,
                Came::Binary(data) => self.binary(data)?,
                Came::Pong(number) => self.shared.state.lock().pings.1 = number,
                Came::End(end) => {
                    self.answer();
                    return Err(end);
                }
            }
        }
        self.answer();
        Ok(())
    }

    /// Control frames that are due.
    fn answer(&mut self) {
        self.shared.say(|_, out| {
            self.frames.poll_transmit_masked(out, entropy::bytes);
        });
    }

    /// An Engine.IO packet.
    pub(super) fn text(&mut self, text: &str) -> Result<(), End> {
        match text.as_bytes().first() {
            Some(b'0') => self.shared.state.lock().is_open = true,
            Some(b'1') => return Err(End::Closed(None)),
            Some(b'2') => {
                let pong = format!("3{}", &text[1..]);
                self.shared.say(|transport, out| transport.text(out, &pong));
            }
            Some(b'4') if self.shared.parser.is_some() => self.coded(Coded::Text(&text[1..]))?,
            Some(b'4') => {
                let packet = self.packets.push_text(&text[1..], &self.limits);
                if let Some(packet) = packet.map_err(broken)? {
                    sit(&self.shared, &packet, &mut [], &self.limits).map_err(broken)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A packet as the client's parser has it.
    fn coded(&self, message: Coded<'_>) -> Result<(), End> {
        let Some(parser) = &self.shared.parser else {
            return Ok(());
        };
        let mut scratch = Scratch::default();
        let (packet, attachments) = parser
            .decode(message, &self.limits, &mut scratch)
            .map_err(broken)?;
        sit(&self.shared, &packet, attachments, &self.limits).map_err(broken)
    }

    pub(super) fn binary(&mut self, data: Bytes) -> Result<(), End> {
        if self.shared.parser.is_some() {
            return self.coded(Coded::Binary(&data));
        }
        let complete = self.packets.push_binary(data, &self.limits);
        if let Some(mut complete) = complete.map_err(broken)? {
            let (packet, attachments) = complete.parts();
            sit(&self.shared, &packet, attachments, &self.limits).map_err(broken)?;
        }
        Ok(())
    }
}

fn broken(error: ParseError) -> End {
    End::Protocol(error.to_string())
}

/// Takes a packet to its seat; one for a namespace that was never joined is passed over.
fn sit(
    shared: &Shared,
    packet: &Packet<'_>,
    attachments: &mut [Bytes],
    limits: &PacketLimits,
) -> Result<(), ParseError> {
    let handled = match shared.state.lock().seats.get_mut(packet.namespace) {
        Some(seat) => seat.take(packet, attachments, limits)?,
        None => None,
    };
    if let Some((handler, received)) = handled {
        shared.run(packet.namespace, handler, received);
    }
    Ok(())
}
