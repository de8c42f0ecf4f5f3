//! A test client's connection that polls: one GET at a time waits, POSTs follow one another.

use std::sync::Arc;

use bytes::Bytes;
use eio_transport::{Data, Packet, payload};
use http::Method;
use tokio::sync::{mpsc, watch};

use super::{error::End, line::Shared, reader::Reader, requests::Requests};

impl Requests {
    /// Brings what is queued, one POST after the other.
    pub(super) async fn post(
        self,
        shared: Arc<Shared>,
        mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
    ) {
        while let Some(body) = queue.recv().await {
            match self.ask(Method::POST, body).await {
                Some((200, _)) => shared.heard(),
                _ => return shared.end(End::Closed(None)),
            }
        }
    }

    /// Asks for what the server has to say until the end, or until the reader is wanted elsewhere, and whenever
    /// it is not stalled. `first` came with the handshake.
    pub(super) async fn get(
        self,
        mut reader: Reader,
        first: Bytes,
        mut stalled: watch::Receiver<bool>,
    ) {
        let shared = Arc::clone(reader.shared());
        let mut body = first;
        loop {
            if let Err(end) = take(&mut reader, &body) {
                return shared.end(end);
            }
            shared.changed.notify_waiters();
            if stalled.wait_for(|stalled| !stalled).await.is_err() {
                return;
            }
            match shared.go_on(reader) {
                Some(same) => reader = same,
                None => return,
            }
            body = match self.ask(Method::GET, Vec::new()).await {
                Some((200, body)) => body,
                // The session is over; what the server had to say about it was in the answer before.
                _ => return shared.end(End::Closed(None)),
            };
        }
    }
}

/// Takes the packets of an answer.
fn take(reader: &mut Reader, body: &[u8]) -> Result<(), End> {
    let broken = |error: &dyn std::fmt::Display| End::Protocol(error.to_string());
    let body = std::str::from_utf8(body).map_err(|error| broken(&error))?;
    for packet in body.split(char::from(payload::SEPARATOR)) {
        match Packet::parse_text(packet) {
            Ok(Packet::Message(Data::Binary(data))) => {
                reader.binary(Bytes::from(data.into_owned()))?;
            }
            Ok(_) => reader.text(packet)?,
            Err(error) => return Err(broken(&error)),
        }
    }
    Ok(())
}
