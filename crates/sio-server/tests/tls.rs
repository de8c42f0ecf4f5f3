//! TLS on our own listener.

mod support;

use std::{sync::Arc, time::Duration};

use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sio_server::{
    Ack, Config, Handshake, Http2, Io, Limit, Namespace, Server, Value,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        pki_types::{CertificateDer, ServerName},
    },
};
use support::{config, frame, until, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A server with a certificate of its own.
struct House {
    address: std::net::SocketAddr,
    certificate: CertificateDer<'static>,
    io: Io,
    _stop: oneshot::Sender<()>,
}

impl House {
    async fn build(config: Config) -> Self {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = own.cert.der().clone();
        let mut tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], own.signing_key.into())
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let root = Namespace::new("/", async |hello: Handshake| Ok(hello.is_secure()))
            .on("secure?", async |socket, ()| Ack(*socket.data()))
            .on("echo", async |_socket, value: Value| Ack(value));
        let server = Server::new().config(config).mount(root).tls(Arc::new(tls));
        let io = server.io();
        let bound = server.bind("127.0.0.1:0").await.unwrap();
        let address = bound.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(bound.serve_until(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            certificate,
            io,
            _stop: stop,
        }
    }

    /// A connection whose client offers one protocol.
    async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let connecting = TlsConnector::from(Arc::new(tls)).connect(name, stream);
        within("a handshake", connecting).await.unwrap()
    }
}

/// Reads until what has come ends with `end`.
async fn read_to(stream: &mut TlsStream<TcpStream>, end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        let byte = within("a byte", stream.read_u8()).await.unwrap();
        all.push(byte);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn a_websocket_goes_through_tls_and_is_known_to_be_secure() {
    let house = House::build(config()).await;
    let mut stream = house.connect(b"http/1.1").await;
    let request = support::request("EIO=4&transport=websocket");
    stream.write_all(&request).await.unwrap();
    read_to(&mut stream, "}").await;
    stream.write_all(&frame(0x81, b"40")).await.unwrap();
    read_to(&mut stream, "}").await;
    let asked = frame(0x81, br#"420["secure?"]"#);
    stream.write_all(&asked).await.unwrap();
    assert!(read_to(&mut stream, "]").await.ends_with("430[true]"));
}

#[tokio::test]
async fn large_attachments_go_through_tls() {
    let house = House::build(config()).await;
    let mut stream = house.connect(b"http/1.1").await;
    let request = support::request("EIO=4&transport=websocket");
    stream.write_all(&request).await.unwrap();
    read_to(&mut stream, "}").await;
    stream.write_all(&frame(0x81, b"40")).await.unwrap();
    read_to(&mut stream, "}").await;
    let place = r#"{"_placeholder":true,"num":0}"#;
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n / 251) as u8).collect();
    for n in 0..3 {
        let text = format!(r#"451-{n}["echo",{place}]"#);
        stream
            .write_all(&frame(0x81, text.as_bytes()))
            .await
            .unwrap();
        stream.write_all(&frame(0x82, &bytes)).await.unwrap();
    }
    // What the kernel did not take at once lies with rustls, and no read sends it.
    stream.flush().await.unwrap();
    for n in 0..3 {
        let text = format!("461-{n}[{place}]");
        assert!(read_to(&mut stream, "]").await.ends_with(&text));
        // A length in 64 bits.
        assert_eq!(stream.read_u16().await.unwrap(), 0x827f);
        assert_eq!(stream.read_u64().await.unwrap(), 200_000);
        let mut echoed = vec![0; bytes.len()];
        within("an echo", stream.read_exact(&mut echoed))
            .await
            .unwrap();
        assert!(echoed == bytes);
    }
}

#[tokio::test]
async fn http_2_is_chosen_in_the_handshake() {
    let mut config = config();
    config.http2 = Some(Http2::default());
    let house = House::build(config).await;
    let stream = TokioIo::new(house.connect(b"h2").await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/socket.io/?EIO=4&transport=polling")
        .body(Full::<bytes::Bytes>::default())
        .unwrap();
    let answer = within("an answer", client.send_request(request))
        .await
        .unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.first(), Some(&b'0'), "an open packet");
}

#[tokio::test]
async fn who_does_not_speak_tls_disturbs_nobody() {
    let house = House::build(config()).await;
    let mut plain = TcpStream::connect(house.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut alert = Vec::new();
    let _ = within("the end", plain.read_to_end(&mut alert)).await;
    assert_ne!(alert.first(), Some(&b'H'), "no HTTP was spoken in plain");
    house.connect(b"http/1.1").await;
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_is_given_up() {
    let mut config = config();
    config.header_timeout = Duration::from_millis(50);
    let house = House::build(config).await;
    let mut silent = TcpStream::connect(house.address).await.unwrap();
    let end = within("the end", silent.read(&mut [0; 1])).await;
    assert!(matches!(end, Ok(0) | Err(_)));
    let given_up = || house.io.counters().limit(Limit::HeadTime);
    until("the limit was counted", || given_up() == 1).await;
}
