//! A test client's connection that polls: one GET at a time waits, POSTs follow one another.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use eio_transport::{Data, Packet, payload};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use tokio::sync::{mpsc, watch};

use super::{error::End, line::Shared, reader::Reader};
use crate::service::{PeerAddr, Service};

/// The way of one client's requests to its server.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) service: Service,
    pub(super) address: SocketAddr,
    /// Path and query.
    pub(super) target: String,
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

impl Requests {
    /// Its answer: the status and the body. `None` if the request is none.
    pub(super) async fn ask(&self, method: Method, body: Vec<u8>) -> Option<(u16, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(&self.target)
            .header(header::HOST, "localhost")
            .extension(PeerAddr(self.address));
        for (name, value) in &self.fields {
            request = request.header(name, &value[..]);
        }
        let request = request.body(Full::new(Bytes::from(body))).ok()?;
        let answer = self.service.answer(request).await;
        let status = answer.status().as_u16();
        Some((status, answer.into_body().collect().await.ok()?.to_bytes()))
    }

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

    /// Asks for what the server has to say until the end, and whenever it is not stalled. `first` came with
    /// the handshake.
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
