//! One namespace of a test client's connection: what has come there, and who is to answer it.

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use bytes::Bytes;
use serde_json::Value;
use sio_packet::{Attachments, Kind, Limits, Packet, ParseError};

use super::{
    error::End,
    received::{Answered, Received},
};

/// Answers an event: the ack is appended, unless the arguments cannot be read.
pub(super) type Handler = Box<dyn FnMut(&Received, &mut Vec<u8>, &mut Attachments) -> bool + Send>;

/// The server's word about a CONNECT: the socket's id, or a refusal's message and data.
pub(super) type Verdict = Result<String, (String, Option<Value>)>;

#[derive(Default)]
pub(super) struct Seat {
    pub(super) verdict: Option<Verdict>,
    pub(super) inbox: VecDeque<Received>,
    pub(super) handlers: HashMap<String, Handler>,
    pub(super) calls: HashMap<u64, Option<Answered>>,
    pub(super) end: Option<End>,
}

impl Seat {
    /// Takes a packet. What comes back is an event with a handler, which is to be run.
    pub(super) fn take(
        &mut self,
        packet: &Packet<'_>,
        attachments: &mut [Bytes],
        limits: &Limits,
    ) -> Result<Option<(Handler, Received)>, ParseError> {
        let mut attachments = || attachments.iter_mut().map(mem::take).collect();
        match packet.kind {
            Kind::Connect => {
                let told: Value = serde_json::from_str(packet.data).unwrap_or_default();
                self.verdict = Some(Ok(told["sid"].as_str().unwrap_or_default().to_owned()));
            }
            Kind::ConnectError => {
                let mut told: Value = serde_json::from_str(packet.data).unwrap_or_default();
                let message = told["message"].as_str().unwrap_or_default().to_owned();
                let data = told.get_mut("data").map(Value::take);
                self.verdict = Some(Err((message, data)));
            }
            Kind::Disconnect => {
                self.end.get_or_insert(End::PutOut);
            }
            Kind::Event | Kind::BinaryEvent => {
                let (event, rest) = packet.event(limits)?;
                let received = Received {
                    event: event.into_owned(),
                    rest: rest.to_owned(),
                    attachments: attachments(),
                    id: packet.id,
                };
                if let Some(handler) = self.handlers.remove(&received.event) {
                    return Ok(Some((handler, received)));
                }
                self.inbox.push_back(received);
            }
            Kind::Ack | Kind::BinaryAck => {
                let id = packet.id.unwrap_or_default();
                // An answer that nobody waits for any more is passed over, as clients do.
                if let Some(call) = self.calls.get_mut(&id) {
                    *call = Some(Answered {
                        data: packet.data.to_owned(),
                        attachments: attachments(),
                    });
                }
            }
        }
        Ok(None)
    }
}
