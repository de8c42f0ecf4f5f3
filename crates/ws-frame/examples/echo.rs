//! An echo server and a client, by hand, over blocking TCP streams and nothing but this crate.
//!
//! Run with `cargo run -p ws-frame --example echo`. The opening handshake, which is HTTP, is another
//! crate's matter (`ws-handshake`): both sides here begin where it ends.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use ws_frame::{
    CloseCode, CloseFrame, Connection, Header, Limits, Message, OpCode, Role, write_frame,
    write_frame_as,
};

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || serve(listener.accept()?.0));
    call(TcpStream::connect(address)?)?;
    server.join().expect("the server does not panic")?;
    Ok(())
}

/// The server: whatever comes goes back.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut connection = Connection::new(Role::Server, Limits::default());
    let mut scratch = vec![0; 64 * 1024];
    let mut out = Vec::new();
    let mut last = Instant::now();
    while !connection.is_finished() {
        // 1. Read, and say what happened.
        let count = stream.read(&mut scratch)?;
        if count == 0 {
            connection.receive_eof();
        }
        connection.handle_elapsed(last.elapsed());
        last = Instant::now();

        // 2. Take every message.
        let mut input = &mut scratch[..count];
        loop {
            match connection.receive(&mut input) {
                Ok(Some(Message::Text(text))) => {
                    write_frame(&mut out, OpCode::Text, text.len(), |out| {
                        out.extend_from_slice(text.as_bytes());
                    });
                }
                Ok(Some(Message::Binary(payload))) => {
                    write_frame(&mut out, OpCode::Binary, payload.len(), |out| {
                        out.extend_from_slice(payload);
                    });
                }
                // Pings and the close frame are answered by the connection.
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(fault) => eprintln!("{fault}: closing with {}", fault.close_code()),
            }
        }

        // 3. Write what is due, once.
        connection.poll_transmit(&mut out);
        stream.write_all(&out)?;
        out.clear();
    }
    Ok(())
}

/// The client: says something, waits until it comes back, says goodbye.
fn call(mut stream: TcpStream) -> Result<(), Box<dyn Error>> {
    // Masking keys must not be predictable (§5.3): a real client draws them from the system.
    let mut keys = (1_u32..).map(|n| n.wrapping_mul(0x9e37_79b9).to_be_bytes());
    let mut key = move || keys.next().expect("there are enough");

    let mut connection = Connection::new(Role::Client, Limits::default());
    let mut out = Vec::new();
    let header = Header {
        mask: Some(key()),
        ..Header::new(OpCode::Text, 5)
    };
    write_frame_as(&mut out, header, |out| out.extend_from_slice(b"Hello"));
    stream.write_all(&out)?;

    let mut scratch = [0; 4096];
    while !connection.is_finished() {
        let count = stream.read(&mut scratch)?;
        if count == 0 {
            connection.receive_eof();
        }
        let mut input = &mut scratch[..count];
        while let Some(message) = connection.receive(&mut input)? {
            println!("{message:?}");
            if let Message::Text(_) = message {
                connection.close(CloseFrame::new(CloseCode::NORMAL, "that was all"));
            }
        }
        out.clear();
        connection.poll_transmit_masked(&mut out, &mut key);
        stream.write_all(&out)?;
    }
    Ok(())
}
