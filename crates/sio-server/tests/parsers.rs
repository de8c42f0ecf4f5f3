//! Clients of several parsers on one server, each spoken to in its own way.

mod support;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use sio_packet::{
    Form, Head, Kind, Limits, Message, Msgpack, Packet, ParseError, Parser, Scratch, WriteError,
};
use sio_server::{CallError, Server, Value};
use support::{End, Got, House, Polling, Road, Ws, config, on_every_road};

/// A packet as text, in msgpack.
fn pack(text: &str, attachments: &[&[u8]]) -> Vec<u8> {
    let packet = Packet::parse(text, &Limits::default()).expect("a packet");
    let mut message = Vec::new();
    let form = Msgpack.encode(&packet, attachments, &mut message);
    assert_eq!(form, Ok(Form::Binary));
    message
}

/// A message of msgpack, as text and attachments.
fn unpack(message: &[u8]) -> (String, Vec<Bytes>) {
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let (packet, attachments) = Msgpack
        .decode(Message::Binary(message), &limits, &mut scratch)
        .expect("a packet");
    let namespace = match packet.namespace {
        "/" => String::new(),
        name => format!("{name},"),
    };
    let id = packet.id.map_or_else(String::new, |id| id.to_string());
    let (kind, data) = (packet.kind as u8, packet.data);
    (format!("{kind}{namespace}{id}{data}"), attachments.to_vec())
}

/// A client that speaks msgpack.
struct Packed(Ws);

impl Packed {
    async fn open(house: &House) -> Self {
        let mut client = Self(Ws::open(house.address).await);
        client.send("0", &[]).await;
        let connect = client.next().await.0;
        assert!(connect.starts_with(r#"0{"sid":""#), "{connect}");
        client
    }

    async fn send(&mut self, text: &str, attachments: &[&[u8]]) {
        self.0.binary(&pack(text, attachments)).await;
    }

    async fn next(&mut self) -> (String, Vec<Bytes>) {
        match self.0.next().await {
            Got::Binary(message) => unpack(&message),
            other => panic!("{other:?} instead of a message"),
        }
    }

    async fn expect(&mut self, text: &str, attachments: &[&[u8]]) {
        let (got, binary) = self.next().await;
        assert_eq!(got, text);
        assert_eq!(binary, attachments);
    }
}

/// A packet as one JSON text, like the npm package `socket.io-json-parser`. It has no binary, and
/// panics when it sees the word.
struct Plain;

#[derive(Deserialize)]
struct PlainPacket<'a> {
    #[serde(rename = "type")]
    kind: u8,
    nsp: &'a str,
    id: Option<u64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Parser for Plain {
    fn recognizes(&self, first: Message<'_>) -> bool {
        matches!(first, Message::Text(text) if text.starts_with('{'))
    }

    fn decode<'a>(
        &self,
        message: Message<'a>,
        limits: &Limits,
        scratch: &'a mut Scratch,
    ) -> Result<(Packet<'a>, &'a mut [Bytes]), ParseError> {
        let Message::Text(text) = message else {
            return Err(ParseError::Parser("there is no binary here"));
        };
        let packet: PlainPacket<'a> =
            serde_json::from_str(text).map_err(|_| ParseError::Parser("no JSON"))?;
        assert!(!text.contains("panic"), "as it was asked to");
        scratch.clear();
        if let Some(data) = packet.data {
            scratch.data.extend_from_slice(data.get().as_bytes());
        }
        let kinds = [Kind::Connect, Kind::Disconnect, Kind::Event, Kind::Ack];
        let head = Head {
            kind: *kinds
                .get(usize::from(packet.kind))
                .ok_or(ParseError::Kind)?,
            namespace: packet.nsp,
            id: packet.id,
        };
        scratch.packet(head, limits)
    }

    fn encode(
        &self,
        packet: &Packet<'_>,
        attachments: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<Form, WriteError> {
        if !attachments.is_empty() {
            return Err(WriteError::Binary);
        }
        let id = packet
            .id
            .map_or_else(String::new, |id| format!(",\"id\":{id}"));
        let data = match packet.data {
            "" => "null",
            data => data,
        };
        let (kind, nsp) = (packet.kind as u8, packet.namespace);
        out.extend_from_slice(
            format!(r#"{{"type":{kind},"nsp":"{nsp}"{id},"data":{data}}}"#).as_bytes(),
        );
        Ok(Form::Text)
    }
}

fn speaks(server: Server) -> Server {
    server
        .parser(Msgpack)
        .parser(Plain)
        .on("all", async |socket, value: Value| {
            socket.everyone().emit("all", &value);
        })
        .on("enter", async |socket, room: String| {
            socket.join(&room);
        })
        .on("ask", async |socket, ()| {
            let answer: Result<Value, CallError> = socket.call("asked", &1).await;
            socket.emit("answered", &answer.ok());
        })
        .on("ask-all", async |socket, ()| {
            let answers = socket.everyone().call::<_, _, Value>("asked", &1).await;
            let answers = answers.expect("everybody can be asked").into_values();
            socket.emit("answered", &answers.len());
        })
}

on_every_road! {
    async fn clients_of_three_parsers_hear_one_broadcast_each_in_its_own_way(road: Road) {
        let house = House::with(road, config(), speaks).await;
        let mut own = house.client().await;
        let mut packed = Packed::open(&house).await;
        let mut plain = Ws::open(house.address).await;
        plain.text(r#"4{"type":0,"nsp":"/"}"#).await;
        assert!(matches!(plain.next().await, Got::Text(text)
            if text.starts_with(r#"4{"type":0,"nsp":"/","data":{"sid":""#)));

        own.text(r#"42["all",{"a":[1,"é"]}]"#).await;
        own.expect_text(r#"42["all",{"a":[1,"é"]}]"#).await;
        packed.expect(r#"2["all",{"a":[1,"é"]}]"#, &[]).await;
        plain.expect_text(r#"4{"type":2,"nsp":"/","data":["all",{"a":[1,"é"]}]}"#).await;

        packed.send(r#"2["all",-1.5]"#, &[]).await;
        own.expect_text(r#"42["all",-1.5]"#).await;
        packed.expect(r#"2["all",-1.5]"#, &[]).await;
        plain.expect_text(r#"4{"type":2,"nsp":"/","data":["all",-1.5]}"#).await;

        plain.text(r#"4{"type":2,"nsp":"/","id":7,"data":["echo",null]}"#).await;
        plain.expect_text(r#"4{"type":3,"nsp":"/","id":7,"data":[null]}"#).await;
        for ws in [own, packed.0, plain] {
            ws.leave().await;
        }
        house.is_unharmed().await;
    }

    async fn binary_goes_from_either_parser_to_the_other(road: Road) {
        let house = House::with(road, config(), speaks).await;
        let mut own = house.client().await;
        let mut packed = Packed::open(&house).await;
        let place = r#"{"_placeholder":true,"num":0}"#;

        packed.send(&format!(r#"51-["all",{place}]"#), &[b"\x01\x02"]).await;
        packed.expect(&format!(r#"5["all",{place}]"#), &[b"\x01\x02"]).await;
        own.expect_text(&format!(r#"451-["all",{place}]"#)).await;
        assert_eq!(own.next().await, Got::Binary(vec![1, 2]));

        own.text(&format!(r#"451-["all",{place}]"#)).await;
        own.binary(&[3]).await;
        own.expect_text(&format!(r#"451-["all",{place}]"#)).await;
        assert_eq!(own.next().await, Got::Binary(vec![3]));
        packed.expect(&format!(r#"5["all",{place}]"#), &[b"\x03"]).await;

        packed.send(&format!(r#"51-9["echo",{place}]"#), &[b"ab"]).await;
        packed.expect(&format!("69[{place}]"), &[b"ab"]).await;
    }

    async fn acks_rooms_and_namespaces_are_the_same_for_everybody(road: Road) {
        let house = House::with(road, config(), speaks).await;
        let mut packed = Packed::open(&house).await;
        packed.send(r#"2["ask"]"#, &[]).await;
        packed.expect(r#"20["asked",1]"#, &[]).await;
        packed.send(r#"30["yes"]"#, &[]).await;
        packed.expect(r#"2["answered","yes"]"#, &[]).await;

        let mut own = house.client().await;
        own.text(r#"42["ask-all"]"#).await;
        own.expect_text(r#"421["asked",1]"#).await;
        own.text("431[1]").await;
        packed.expect(r#"21["asked",1]"#, &[]).await;
        packed.send("31[2]", &[]).await;
        own.expect_text(r#"42["answered",2]"#).await;

        packed.send(r#"2["enter","lobby"]"#, &[]).await;
        packed.send(r#"23["echo",1]"#, &[]).await;
        packed.expect("33[1]", &[]).await;
        assert_eq!(house.io.room_len("lobby"), 1);
        assert_eq!(house.io.to("lobby").emit("news", &true).reached, 1);
        packed.expect(r#"2["news",true]"#, &[]).await;

        packed.send("0/other,", &[]).await;
        assert!(packed.next().await.0.starts_with(r#"0/other,{"sid":""#));
        packed.send("0/nowhere,", &[]).await;
        packed.expect(r#"4/nowhere,{"message":"Invalid namespace"}"#, &[]).await;
        packed.send("1", &[]).await;
        packed.send(r#"2/other,5["echo",2]"#, &[]).await;
        packed.expect("3/other,5[2]", &[]).await;
        house.io.of("/other").everyone().disconnect();
        packed.expect("1/other,", &[]).await;
    }

    async fn a_client_of_another_parser_may_poll(road: Road) {
        let house = House::with(road, config(), speaks).await;
        let mut polling = Polling::open(house.address).await;
        polling.post(&format!("b{}", base64(&pack("0", &[])))).await;
        let connect = unbase64(polling.get().await.strip_prefix('b').expect("binary"));
        assert!(unpack(&connect).0.starts_with(r#"0{"sid":""#));
        polling.post(&format!("b{}", base64(&pack(r#"25["echo","hi"]"#, &[])))).await;
        let answer = unbase64(polling.get().await.strip_prefix('b').expect("binary"));
        assert_eq!(unpack(&answer).0, r#"35["hi"]"#);
        polling.post("1").await;
    }

    async fn whoever_breaks_its_parsers_rules_ends_its_own_connection(road: Road) {
        let mut house = House::with(road, config(), speaks).await;
        let mut witness = Packed::open(&house).await;
        // The first message is nobody's.
        for first in [&b"\x00"[..], b""] {
            let mut ws = Ws::open(house.address).await;
            ws.binary(first).await;
            assert_eq!(ws.end().await, End::NoCode);
        }
        for bad in [&b"\xc1"[..], b"\x80", &pack("0", &[]), &pack("4\"x\"", &[])] {
            let mut packed = Packed::open(&house).await;
            packed.0.binary(bad).await;
            assert_eq!(packed.0.end().await, End::NoCode, "{bad:?}");
            assert_eq!(house.farewell().await.reason.as_str(), "forced close");
        }
        // A parser once chosen stays.
        let mut packed = Packed::open(&house).await;
        packed.0.text("42[\"echo\"]").await;
        assert_eq!(packed.0.end().await, End::NoCode);
        let mut own = house.client().await;
        own.binary(&pack("2[\"echo\"]", &[])).await;
        assert_eq!(own.end().await, End::NoCode);
        // Nothing is taken before a CONNECT.
        let mut ws = Ws::open(house.address).await;
        ws.binary(&pack(r#"2["echo",1]"#, &[])).await;
        assert_eq!(ws.end().await, End::NoCode);
        // A parser that panics.
        let mut plain = Ws::open(house.address).await;
        plain.text(r#"4{"type":0,"nsp":"/","data":{"panic":1}}"#).await;
        assert_eq!(plain.end().await, End::NoCode);

        witness.send(r#"21["echo",1]"#, &[]).await;
        witness.expect("31[1]", &[]).await;
    }

    async fn what_a_parser_cannot_say_reaches_all_the_others(road: Road) {
        let house = House::with(road, config(), speaks).await;
        let mut plain = Ws::open(house.address).await;
        plain.text(r#"4{"type":0,"nsp":"/"}"#).await;
        plain.next().await;
        let mut packed = Packed::open(&house).await;
        let reached = house.io.emit("photo", &Bytes::from_static(b"\xff")).reached;
        assert_eq!(reached, 1);
        packed.expect(r#"5["photo",{"_placeholder":true,"num":0}]"#, &[b"\xff"]).await;
        assert_eq!(house.io.emit("news", &1).reached, 2);
        plain.expect_text(r#"4{"type":2,"nsp":"/","data":["news",1]}"#).await;
    }

    async fn without_other_parsers_a_binary_message_first_is_a_fault(road: Road) {
        let house = House::start(road).await;
        let mut ws = Ws::open(house.address).await;
        ws.binary(&pack("0", &[])).await;
        assert_eq!(ws.end().await, End::NoCode);
        house.is_unharmed().await;
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .chain([&0, &0])
            .take(3)
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        for digit in 0..=chunk.len() {
            let index = word >> (18 - 6 * digit) & 63;
            out.push(char::from(DIGITS[index as usize]));
        }
        out.extend(std::iter::repeat_n('=', 3 - chunk.len()));
    }
    out
}

fn unbase64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let value = |digit: &u8| DIGITS.iter().position(|d| d == digit).expect("a digit") as u32;
        let word =
            chunk.iter().fold(0, |word, digit| word << 6 | value(digit)) << (6 * (4 - chunk.len()));
        out.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    out
}
