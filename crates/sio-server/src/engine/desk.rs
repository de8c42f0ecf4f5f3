//! Bare messages on one connection, and the handlers behind them.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering},
    task::Context,
};

use bytes::Bytes;
use eio_transport::Reason;

use crate::{
    application::Application,
    clock,
    conn::Conn,
    engine::{Handlers, Message, Socket},
    lane::{Job, Lane},
    pace::Meter,
    socket::AnySocket,
};

pub(crate) struct Desk {
    conn: Arc<Conn>,
    handlers: Arc<Handlers>,
    /// The handlers of opening and messages, in their order.
    lane: Lane,
    /// The handler of the end, which waits for nobody.
    last: Lane,
    /// Bytes that wait for handlers.
    pending: usize,
    stage: Stage,
    /// How fast messages come, where that is bounded.
    meter: Option<Box<Meter>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The handler of opening has not been called.
    New,
    Open,
    /// Nothing that comes is for the application any more.
    Closed,
}

impl Desk {
    fn socket(&self) -> Socket {
        Socket::new(Arc::clone(&self.conn))
    }

    fn open(&mut self, cx: &mut Context<'_>) {
        self.stage = Stage::Open;
        if let Some(open) = &self.handlers.open {
            self.pending += self.lane.offer(Job::serial(open(self.socket())), 0, cx);
        }
    }

    fn hear(&mut self, message: impl FnOnce() -> Message, cx: &mut Context<'_>) {
        match self.stage {
            Stage::New => self.open(cx),
            Stage::Open => {}
            Stage::Closed => return,
        }
        if self.conn.parted.load(Ordering::Relaxed) {
            return;
        }
        if let (Some(meter), Some(pace)) = (&mut self.meter, self.conn.hub.config.packet_pace())
            && !meter.pass(pace, clock::now())
        {
            self.stage = Stage::Closed;
            return self.conn.close(Reason::PacketRate);
        }
        if let Some(hear) = &self.handlers.message {
            let message = message();
            let bytes = message.len();
            let job = Job::serial(hear(self.socket(), message));
            self.pending += self.lane.offer(job, bytes, cx);
        }
    }
}

impl Application for Desk {
    fn new(conn: Arc<Conn>) -> Self {
        conn.drive(|session| session.claim());
        let handlers = conn.hub.bare.as_ref().map(Arc::clone);
        let bounded = conn.hub.config.max_packet_rate.is_some();
        Self {
            handlers: handlers.unwrap_or_default(),
            conn,
            lane: Lane::default(),
            last: Lane::default(),
            pending: 0,
            stage: Stage::New,
            meter: bounded.then(|| Box::new(Meter::new(clock::now()))),
        }
    }

    fn conn(&self) -> &Arc<Conn> {
        &self.conn
    }

    fn is_stalled(&self) -> bool {
        self.pending > self.conn.hub.config.max_pending_bytes
    }

    fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    fn held(&self) -> usize {
        self.pending
    }

    fn is_idle(&self) -> bool {
        self.stage != Stage::New && self.lane.is_idle() && self.last.is_idle()
    }

    fn handle_text(&mut self, text: &str, cx: &mut Context<'_>) {
        self.hear(|| Message::Text(text.to_owned()), cx);
    }

    fn handle_binary(&mut self, data: Cow<'_, [u8]>, cx: &mut Context<'_>) {
        let message = || {
            Message::Binary(match data {
                Cow::Borrowed(data) => Bytes::copy_from_slice(data),
                Cow::Owned(data) => Bytes::from(data),
            })
        };
        self.hear(message, cx);
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::New {
            self.open(cx);
        }
        self.pending -= self.lane.poll(cx);
        self.pending -= self.last.poll(cx);
    }

    fn disconnect_all(&mut self, _: &mut Context<'_>) {
        self.stage = Stage::Closed;
    }

    fn removed(&mut self, _: &Arc<dyn AnySocket>, _: &mut Context<'_>) {}

    fn end(&mut self, reason: Reason, cx: &mut Context<'_>) {
        if self.stage == Stage::New {
            self.open(cx);
        }
        self.stage = Stage::Closed;
        if let Some(close) = &self.handlers.close {
            let job = Job::serial(close(self.socket(), reason));
            self.pending += self.last.offer(job, 0, cx);
        }
    }

    fn abandon(&mut self) {
        self.stage = Stage::Closed;
    }
}
