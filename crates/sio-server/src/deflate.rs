//! permessage-deflate, [RFC 7692](https://www.rfc-editor.org/rfc/rfc7692), as the server uses it: its
//! settings, what a handshake agrees to, and both directions of a connection that agreed.
//!
//! ```text
//!  a parcel for many      ── no take-over ──▶  deflated once, by the first that is written, kept with it
//!  a turn's reply         ┐
//!  a parcel, take-over    ┴──────────────────▶  deflated for this connection, when it is written
//!  a compressed message   ──────────────────▶  inflated up to `max_payload`, then read like any other
//! ```
//!
//! Compressing waits until bytes leave. So what is thrown away has cost nothing, the window sees the
//! messages in the order in which they go, and nobody who walks over a room does it for its members.
//! A connection that did not agree has a null pointer for all this.

use std::{
    cell::Cell,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use eio_transport::Parcel;
use ws_deflate::{Budget, Deflate, DeflateConfig, Encoding, Inflate, InflateConfig, Pool};
use ws_frame::{Header, OpCode, write_frame_as};
use ws_handshake::{DeflateParams, DeflatePolicy, Policy, Upgrade};

/// How messages on WebSockets are compressed, with clients that offer to: Node's `perMessageDeflate`.
///
/// ```
/// let mut config = sio_server::Config::default();
/// config.per_message_deflate = Some(sio_server::PerMessageDeflate {
///     threshold: 4096,
///     ..Default::default()
/// });
/// ```
///
/// Without context take-over, the default, a connection that is idle holds 80 bytes for it, and a
/// message to many is compressed once for all of them. With it, messages that resemble those before them get
/// smaller still, and each connection holds its windows: up to 371 KiB for what is sent and 48 KiB for
/// what is received, of [`memory`](Self::memory).
///
/// What compresses a secret beside something that a stranger chose tells its length. Leave such a message
/// out, with [`Target::uncompressed`](crate::Target::uncompressed) or
/// [`Socket::emit_uncompressed`](crate::Socket::emit_uncompressed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerMessageDeflate {
    /// Messages shorter than this many bytes are sent as they are. Default 1024, as in Node: less fits
    /// in one segment either way.
    pub threshold: usize,
    /// From 0, stored, to 9, smallest. Default 2: on JSON, 6 saves 5 to 10 % more for up to twice the
    /// work.
    pub level: u8,
    /// Our window does not outlive a message. Default true.
    pub server_no_context_takeover: bool,
    /// The client's window does not outlive a message. Default true.
    pub client_no_context_takeover: bool,
    /// The largest window we compress with, as a power of two, 9 to 15. Default 15.
    pub server_max_window_bits: u8,
    /// The largest window we ask clients to use, likewise. Default 15.
    pub client_max_window_bits: u8,
    /// Bytes that the windows of all connections may take together. Default 64 MiB. A client for whose
    /// window there is no room left is asked to do without; messages to it are compressed each for
    /// itself.
    pub memory: usize,
}

impl Default for PerMessageDeflate {
    fn default() -> Self {
        let DeflateConfig {
            threshold, level, ..
        } = DeflateConfig::default();
        Self {
            threshold,
            level,
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
            memory: 64 << 20,
        }
    }
}

/// What all connections of a server share.
pub(crate) struct Compression {
    policy: DeflatePolicy,
    /// How a message for many is compressed: what those without take-over and with the largest window
    /// agreed to.
    shared: DeflateConfig,
    /// A pool for each shard. Their locks are the innermost.
    pools: Box<[Mutex<Pool>]>,
}

impl Compression {
    pub(crate) fn new(settings: &PerMessageDeflate, shards: usize) -> Self {
        let budget = Budget::new(settings.memory);
        Self {
            policy: DeflatePolicy {
                server_no_context_takeover: settings.server_no_context_takeover,
                client_no_context_takeover: settings.client_no_context_takeover,
                server_max_window_bits: settings.server_max_window_bits,
                client_max_window_bits: settings.client_max_window_bits,
            },
            shared: DeflateConfig {
                context_takeover: false,
                window_bits: settings.server_max_window_bits.clamp(9, 15),
                level: settings.level,
                threshold: settings.threshold,
            },
            pools: (0..shards)
                .map(|_| Mutex::new(Pool::new(budget.clone())))
                .collect(),
        }
    }

    pub(crate) fn pool(&self, shard: usize) -> MutexGuard<'_, Pool> {
        self.pools[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What to answer to a handshake, and the codec that follows from it.
    fn agree(&self, upgrade: &Upgrade<'_>, shard: usize) -> Option<(DeflatePolicy, Box<Codec>)> {
        // Once the windows are all given out, the client's has to be forgotten after each message.
        for client_no_context_takeover in [self.policy.client_no_context_takeover, true] {
            let deflate = DeflatePolicy {
                client_no_context_takeover,
                ..self.policy
            };
            let policy = Policy {
                protocols: Vec::new(),
                deflate: Some(deflate),
            };
            let agreed = upgrade.agree(&policy).deflate()?;
            if let Some(codec) = self.codec(agreed, shard) {
                return Some((deflate, Box::new(codec)));
            }
        }
        None
    }

    fn codec(&self, agreed: DeflateParams, shard: usize) -> Option<Codec> {
        let inflate = InflateConfig {
            context_takeover: !agreed.client_no_context_takeover,
            window_bits: agreed.client_max_window_bits,
        };
        Some(Codec {
            inflate: Some(Inflate::new(inflate, &self.pool(shard)).ok()?),
            deflate: Deflate::new(DeflateConfig {
                context_takeover: !agreed.server_no_context_takeover,
                window_bits: agreed.server_max_window_bits,
                ..self.shared
            }),
        })
    }
}

/// What is agreed to with the client behind `upgrade`: the policy to answer by, and the codec if
/// messages may be compressed.
pub(crate) fn negotiate(
    compression: Option<&Compression>,
    upgrade: &Upgrade<'_>,
    shard: usize,
) -> (Policy, Option<Box<Codec>>) {
    let agreed = compression.and_then(|compression| compression.agree(upgrade, shard));
    let (deflate, codec) = agreed.unzip();
    let protocols = Vec::new();
    (Policy { protocols, deflate }, codec)
}

/// Both directions of one connection.
#[derive(Debug)]
pub(crate) struct Codec {
    deflate: Deflate,
    /// Taken out by the task while it reads a message, which nobody else has to wait for.
    pub(crate) inflate: Option<Inflate>,
}

impl Codec {
    /// Whether any of these frames is to be compressed.
    pub(crate) fn wants(&self, frames: &[u8]) -> bool {
        has_message_of(self.deflate.config().threshold, frames)
    }

    /// The frames as they are to be written, if that is another way than they are.
    pub(crate) fn frames(&mut self, pool: &mut Pool, frames: &[u8]) -> Option<Vec<u8>> {
        if !self.wants(frames) {
            return None;
        }
        let mut out = Vec::with_capacity(frames.len() / 2);
        let mut payload = Vec::new();
        for (header, bytes) in split(frames) {
            payload.clear();
            let encoding = match header.opcode {
                OpCode::Text | OpCode::Binary if header.rsv == 0 => {
                    self.deflate.deflate(pool, bytes, &mut payload)
                }
                _ => Encoding::Plain,
            };
            let (rsv, bytes) = match encoding {
                Encoding::Deflated => (Header::RSV1, payload.as_slice()),
                Encoding::Plain => (header.rsv, bytes),
            };
            let len = bytes.len() as u64;
            write_frame_as(&mut out, Header { rsv, len, ..header }, |out| {
                out.extend_from_slice(bytes);
            });
        }
        Some(out)
    }

    /// The parcel as it is to be written, if that is another.
    pub(crate) fn parcel(
        &mut self,
        compression: &Compression,
        shard: usize,
        parcel: &Arc<Parcel>,
    ) -> Option<Arc<Parcel>> {
        let frames = parcel.wire();
        if parcel.is_final() || !has_message_of(compression.shared.threshold, frames) {
            return None;
        }
        if *self.deflate.config() == compression.shared {
            return parcel.compressed(|| {
                // Its receivers agreed to the same, so any of their codecs writes the same.
                let mut codec = Self {
                    deflate: Deflate::new(compression.shared),
                    inflate: None,
                };
                let frames = codec.frames(&mut compression.pool(shard), frames)?;
                Some(Parcel::from_frames(frames).like(parcel).as_it_is())
            });
        }
        let frames = self.frames(&mut compression.pool(shard), frames)?;
        Some(Arc::new(
            Parcel::from_frames(frames).like(parcel).as_it_is(),
        ))
    }
}

/// The thread's buffer for a message that is inflated, empty. A call within a call gets one of its own.
pub(crate) fn take_buffer() -> Vec<u8> {
    let mut buffer = INFLATED.take();
    buffer.clear();
    buffer
}

/// Gives it back, unless it has grown beyond what a thread keeps.
pub(crate) fn give_back(buffer: Vec<u8>) {
    if buffer.capacity() <= KEEP {
        INFLATED.set(buffer);
    }
}

thread_local! {
    static INFLATED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What a thread keeps to inflate into.
const KEEP: usize = 256 << 10;

fn has_message_of(threshold: usize, frames: &[u8]) -> bool {
    frames.len() >= threshold
        && split(frames).any(|(header, payload)| {
            !header.opcode.is_control() && header.rsv == 0 && payload.len() >= threshold
        })
}

/// Whole frames, one behind the other.
fn split(mut frames: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    std::iter::from_fn(move || {
        let (header, size) = Header::parse(frames).ok()??;
        let end = size.checked_add(usize::try_from(header.len).ok()?)?;
        let (frame, rest) = frames.split_at_checked(end)?;
        frames = rest;
        Some((header, &frame[size..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compression(settings: PerMessageDeflate) -> Compression {
        Compression::new(&settings, 1)
    }

    fn codec(compression: &Compression) -> Codec {
        let agreed = DeflateParams {
            server_no_context_takeover: compression.policy.server_no_context_takeover,
            client_no_context_takeover: compression.policy.client_no_context_takeover,
            server_max_window_bits: compression.policy.server_max_window_bits,
            client_max_window_bits: compression.policy.client_max_window_bits,
        };
        compression.codec(agreed, 0).expect("there is room")
    }

    fn parcel(len: usize) -> Arc<Parcel> {
        Arc::new(Parcel::text(&"2[\"news\"]".repeat(len / 9)))
    }

    #[test]
    fn a_parcel_for_many_is_deflated_once() {
        let compression = compression(PerMessageDeflate::default());
        let parcel = parcel(5000);
        let [one, other] = [(); 2].map(|()| {
            codec(&compression)
                .parcel(&compression, 0, &parcel)
                .expect("it gets smaller")
        });
        assert!(Arc::ptr_eq(&one, &other));
        assert!(one.wire().len() < 200 && one.wire()[0] == 0xc1);
        assert!(codec(&compression).parcel(&compression, 0, &one).is_none());
    }

    #[test]
    fn with_take_over_each_connection_has_its_own_and_smaller_ones() {
        let compression = compression(PerMessageDeflate {
            server_no_context_takeover: false,
            ..PerMessageDeflate::default()
        });
        let mut codec = codec(&compression);
        let parcel = parcel(5000);
        let mut next = || {
            codec
                .parcel(&compression, 0, &parcel)
                .expect("it gets smaller")
        };
        let (first, second) = (next(), next());
        assert!(second.wire().len() < first.wire().len());
    }

    #[test]
    fn a_connection_that_agreed_holds_eighty_bytes_until_a_window_is_kept() {
        assert!(size_of::<Codec>() <= 80, "{}", size_of::<Codec>());
    }

    #[test]
    fn what_is_short_or_a_control_frame_or_final_stays_as_it_is() {
        let compression = compression(PerMessageDeflate::default());
        let mut codec = codec(&compression);
        for parcel in [
            parcel(1000),
            Arc::new(Parcel::control(eio_transport::Control::Ping)),
            Arc::new(Parcel::text(&"a".repeat(2000)).as_it_is()),
        ] {
            assert!(codec.parcel(&compression, 0, &parcel).is_none());
        }
        let mut frames = vec![0x89, 125];
        frames.extend([7; 125]);
        let frames = frames.repeat(20);
        assert_eq!(codec.frames(&mut compression.pool(0), &frames), None);
    }

    #[test]
    fn over_the_budget_the_client_is_asked_to_forget_its_window() {
        let compression = compression(PerMessageDeflate {
            client_no_context_takeover: false,
            memory: 1000,
            ..PerMessageDeflate::default()
        });
        let headers = [
            ("host", "a"),
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-extensions", "permessage-deflate"),
        ];
        let headers = &headers[..];
        let upgrade = Upgrade::check("GET", http::Version::HTTP_11, headers).expect("it is one");
        let (policy, codec) = negotiate(Some(&compression), &upgrade, 0);
        assert!(
            policy
                .deflate
                .is_some_and(|deflate| deflate.client_no_context_takeover)
        );
        assert!(codec.is_some());
    }
}
