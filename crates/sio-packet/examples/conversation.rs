//! A client and a server talk Socket.IO, with nothing between them but two lists of messages.
//!
//! Run with `cargo run -p sio-packet --example conversation`. Carrying the messages is Engine.IO's
//! business (`eio-transport`); in a browser's developer tools they look as they are printed here,
//! behind Engine.IO's `4`.

use std::error::Error;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sio_packet::{
    Args, Attachments, Kind, Limits, Packet, Reassembler, write_ack, write_connect,
    write_connect_request, write_event,
};

#[derive(Serialize)]
struct Token<'a> {
    token: &'a str,
}

#[derive(Deserialize, Serialize)]
struct Photo {
    title: String,
    image: Bytes,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut attachments = Attachments::new();

    // The client asks to join the namespace, and is let in.
    let mut request = Vec::new();
    write_connect_request(&mut request, "/album", Some(&Token { token: "secret" }))?;
    serve(&[Message::Text(String::from_utf8(request)?)])?;

    // It sends an event of two arguments, with bytes inside, and wants to know that it came.
    let photo = Photo {
        title: "Cat".into(),
        image: Bytes::from_static(b"\x89PNG"),
    };
    let mut event = Vec::new();
    write_event(
        &mut event,
        "/album",
        Some(7),
        "photo",
        &(photo, ["cute"].as_slice()),
        &mut attachments,
    )?;
    let mut messages = vec![Message::Text(String::from_utf8(event)?)];
    messages.extend(
        attachments
            .iter()
            .map(|bytes| Message::Binary(Bytes::copy_from_slice(bytes))),
    );
    serve(&messages)
}

enum Message {
    Binary(Bytes),
    Text(String),
}

/// The server: puts packets together, reads them, answers.
fn serve(messages: &[Message]) -> Result<(), Box<dyn Error>> {
    let limits = Limits::default();
    let mut reassembler = Reassembler::new();
    for message in messages {
        match message {
            Message::Text(text) => {
                println!("client: {text}");
                if let Some(packet) = reassembler.push_text(text, &limits)? {
                    answer(&packet, &mut [], &limits)?;
                }
            }
            Message::Binary(bytes) => {
                println!("client: {} bytes", bytes.len());
                if let Some(mut complete) = reassembler.push_binary(bytes.clone(), &limits)? {
                    let (packet, attachments) = complete.parts();
                    answer(&packet, attachments, &limits)?;
                }
            }
        }
    }
    Ok(())
}

fn answer(packet: &Packet<'_>, bytes: &mut [Bytes], limits: &Limits) -> Result<(), Box<dyn Error>> {
    let mut out = Vec::new();
    match packet.kind {
        Kind::Connect => write_connect(&mut out, packet.namespace, "mXVs5nWYbjdL", None),
        Kind::Event | Kind::BinaryEvent => {
            let (event, rest) = packet.event(limits)?;
            let (photo, tags): (Photo, Vec<String>) = Args::event(rest, bytes).read()?;
            println!(
                "   {event}: {}, {} bytes, {tags:?}",
                photo.title,
                photo.image.len()
            );
            if let Some(id) = packet.id {
                let args = ("stored", photo.image.len());
                write_ack(
                    &mut out,
                    packet.namespace,
                    id,
                    &args,
                    &mut Attachments::new(),
                )?;
            }
        }
        _ => return Err("not part of this conversation".into()),
    }
    println!("server: {}", String::from_utf8(out)?);
    Ok(())
}
