//! A face for `tokio_util::codec`: [`Codec`] turns a byte stream into a stream and a sink of owned
//! [`Item`]s.
//!
//! It is the convenient way, not the fast one. An [`Encoder`] has to put all it sends into one
//! buffer, so every payload is copied; [`Frame`](crate::Frame), which is a [`Buf`](bytes::Buf), and
//! [`Prepared`](crate::Prepared) are written beside it without. And a decoder has no way to write, so
//! the answers to pings and to a close frame leave with whatever is sent next: after such an item, send
//! [`Due`] if nothing else is at hand.

use std::fmt;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::face::{self, Outgoing};
pub use crate::face::{Error, Item};
use crate::{Connection, End, Header, Role, mask};

/// Sends the answers that are due, and nothing else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Due;

/// A [`Connection`] as a [`Decoder`] and [`Encoder`].
pub struct Codec {
    connection: Connection,
    keys: Box<dyn FnMut() -> [u8; 4] + Send>,
}

impl Codec {
    /// For a connection in the role of the server.
    ///
    /// # Panics
    ///
    /// If it is a client's.
    pub fn server(connection: Connection) -> Self {
        assert!(
            connection.role() == Role::Server,
            "a client masks its frames"
        );
        Self {
            connection,
            keys: Box::new(|| [0; 4]),
        }
    }

    /// For a connection in the role of the client; `keys` gives a fresh masking key for each frame,
    /// which must not be predictable (§5.3).
    ///
    /// # Panics
    ///
    /// If it is a server's.
    pub fn client(connection: Connection, keys: impl FnMut() -> [u8; 4] + Send + 'static) -> Self {
        assert!(connection.role() == Role::Client, "a server masks nothing");
        Self {
            connection,
            keys: Box::new(keys),
        }
    }

    /// The connection behind the codec.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    fn write(&mut self, header: Header, payload: &[u8], dst: &mut BytesMut) {
        let header = Header {
            mask: match self.connection.role() {
                Role::Client => Some((self.keys)()),
                Role::Server => None,
            },
            len: payload.len() as u64,
            ..header
        };
        dst.reserve(header.size() + payload.len());
        dst.extend_from_slice(header.encode().as_ref());
        let body = dst.len();
        dst.extend_from_slice(payload);
        if let Some(key) = header.mask {
            mask(&mut dst[body..], key);
        }
    }

    fn write_due(&mut self, dst: &mut BytesMut) {
        let mut out = Vec::new();
        match self.connection.role() {
            Role::Client => self
                .connection
                .poll_transmit_masked(&mut out, &mut self.keys),
            Role::Server => self.connection.poll_transmit(&mut out),
        };
        dst.extend_from_slice(&out);
    }
}

impl Decoder for Codec {
    type Item = Item;
    type Error = Error;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Item>, Error> {
        Ok(face::receive(&mut self.connection, src)?)
    }

    /// Ends without an error only behind the peer's close frame.
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Item>, Error> {
        if let Some(item) = self.decode(src)? {
            return Ok(Some(item));
        }
        match self.connection.receive_eof() {
            End::Clean => Ok(None),
            End::Abnormal => Err(Error::Abnormal),
        }
    }
}

impl Encoder<Item> for Codec {
    type Error = Error;

    fn encode(&mut self, item: Item, dst: &mut BytesMut) -> Result<(), Error> {
        let outgoing = face::send(&mut self.connection, item);
        self.write_due(dst);
        if let Outgoing::Frame(header, payload) = outgoing? {
            self.write(header, &payload, dst);
        }
        Ok(())
    }
}

impl Encoder<Due> for Codec {
    type Error = Error;

    fn encode(&mut self, _: Due, dst: &mut BytesMut) -> Result<(), Error> {
        self.write_due(dst);
        Ok(())
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{CloseCode, Limits};

    fn server() -> Codec {
        Codec::server(Connection::new(Role::Server, Limits::default()))
    }

    fn client() -> Codec {
        let mut key = 0_u32;
        Codec::client(
            Connection::new(Role::Client, Limits::default()),
            move || {
                key = key.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                key.to_ne_bytes()
            },
        )
    }

    fn item() -> impl Strategy<Value = Item> {
        let bytes = |len| prop::collection::vec(any::<u8>(), 0..len).prop_map(Bytes::from);
        prop_oneof![
            ".{0,600}".prop_map(|text| Item::Text(text.into())),
            bytes(5000).prop_map(Item::Binary),
            bytes(126).prop_map(Item::Ping),
            bytes(126).prop_map(Item::Pong),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_one_side_encodes_the_other_decodes(
            items in prop::collection::vec(item(), 0..8),
            cut in 1..3000_usize,
        ) {
            for (mut from, mut to) in [(client(), server()), (server(), client())] {
                let mut wire = BytesMut::new();
                for item in &items {
                    from.encode(item.clone(), &mut wire).expect("it is open");
                }
                let (mut src, mut received) = (BytesMut::new(), Vec::new());
                for piece in wire.chunks(cut) {
                    src.extend_from_slice(piece);
                    while let Some(item) = to.decode(&mut src).expect("it is well formed") {
                        received.push(item);
                    }
                }
                prop_assert_eq!(&received, &items);
            }
        }
    }

    #[test]
    fn the_closing_handshake() {
        let (mut client, mut server) = (client(), server());
        let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
        let bye = Item::Close(Some((CloseCode::NORMAL, "bye".into())));

        client.encode(bye.clone(), &mut up).expect("it is open");
        assert!(matches!(
            client.encode(Item::Ping(Bytes::new()), &mut up),
            Err(Error::Closing)
        ));

        assert_eq!(
            server.decode(&mut up).expect("it is well formed"),
            Some(bye)
        );
        server.encode(Due, &mut down).expect("it may be sent");
        assert_eq!(server.decode_eof(&mut up).expect("it is clean"), None);

        let reply = Item::Close(Some((CloseCode::NORMAL, "".into())));
        assert_eq!(
            client.decode(&mut down).expect("it is well formed"),
            Some(reply)
        );
        assert!(client.connection().is_finished());
    }

    #[test]
    fn the_end_of_the_stream_without_a_close_frame_is_an_error() {
        let ended = server().decode_eof(&mut BytesMut::from(&b"\x81"[..]));
        assert!(matches!(ended, Err(Error::Abnormal)));
    }

    #[test]
    fn a_large_payload_stays_in_the_read_buffer() {
        let mut wire = BytesMut::new();
        let payload = Bytes::from(vec![7; 4096]);
        server()
            .encode(Item::Binary(payload), &mut wire)
            .expect("it is open");
        let range = wire.as_ptr_range();
        let Ok(Some(Item::Binary(payload))) = client().decode(&mut wire) else {
            panic!("a binary message");
        };
        assert!(range.contains(&payload.as_ptr()));
    }
}
