//! Both sides of an opening handshake in one process, over a real TCP connection, with `httparse`
//! as the parser and nothing else: `cargo run -p ws-handshake --example handshake`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use ws_handshake::{DeflateOffer, DeflatePolicy, OriginPolicy, Policy, Request, Upgrade};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let server = thread::spawn(move || serve(listener.accept()?.0));

    let mut stream = TcpStream::connect(&address)?;
    // A real client takes these from the operating system, anew for every connection.
    let entropy = *b"the sample nonce";
    let mut request = Request::new(&address, "/chat", entropy);
    request.protocols = &["chat", "superchat"];
    request.deflate = Some(DeflateOffer::default());
    let mut out = Vec::new();
    request.write(&mut out, [])?;
    stream.write_all(&out)?;

    let head = read_head(&mut stream)?;
    print!(
        "{}{}",
        String::from_utf8_lossy(&out),
        String::from_utf8_lossy(&head)
    );
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Response::new(&mut fields);
    parsed.parse(&head)?;
    let headers: Vec<_> = parsed
        .headers
        .iter()
        .map(|field| (field.name, field.value))
        .collect();
    let answer = request.check(parsed.code.unwrap_or(0), &headers)?;
    println!("{answer:?}");
    server.join().expect("the server does not panic")
}

fn serve(mut stream: TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
    let head = read_head(&mut stream)?;
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut fields);
    parsed.parse(&head)?;
    let version = match parsed.version {
        Some(1) => http::Version::HTTP_11,
        _ => http::Version::HTTP_10,
    };
    let headers: Vec<_> = parsed
        .headers
        .iter()
        .map(|field| (field.name, field.value))
        .collect();

    OriginPolicy::SameHost.check(&headers)?;
    let policy = Policy {
        protocols: vec!["superchat".to_owned()],
        deflate: Some(DeflatePolicy::default()),
    };
    let mut out = Vec::new();
    match Upgrade::check(parsed.method.unwrap_or(""), version, &headers) {
        Ok(upgrade) => upgrade.agree(&policy).write_response(&mut out, []),
        Err(error) => {
            write!(out, "HTTP/1.1 {}\r\n", error.status())?;
            for (name, value) in error.headers() {
                write!(out, "{name}: {value}\r\n")?;
            }
            out.extend_from_slice(b"content-length: 0\r\n\r\n");
        }
    }
    Ok(stream.write_all(&out)?)
}

/// Reads up to the empty line. A real server also has a limit and a deadline here.
fn read_head(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut chunk)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            len => head.extend_from_slice(&chunk[..len]),
        }
    }
    Ok(head)
}
