//! Engine.IO on its own: messages over polling, WebSocket and the upgrade, without Socket.IO.

mod support;

use std::{net::SocketAddr, time::Duration};

use sio_server::{
    Config, Reason,
    engine::{Handle, Message, Server, Socket},
};
use support::{End, Got, Peer, Polling, Road, Start, Ws, get, on_every_road, serve, until, within};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What the handlers saw.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Open(String),
    Message(String, Message),
    Close(String, Reason),
}

/// A server that sends back what it is sent. Told `close`, it closes; told `wait`, it takes its time.
struct Echo {
    address: SocketAddr,
    handle: Handle,
    seen: UnboundedReceiver<Seen>,
}

/// The path under which the clients of the other tests look.
fn config() -> Config {
    let mut config = Config::engine_io();
    config.path = "/socket.io/".into();
    config.close_timeout = Duration::from_millis(500);
    config.engine.connect_timeout = Duration::from_millis(100);
    config.shards = Some(2);
    config
}

impl Echo {
    async fn start(road: Road) -> Self {
        Self::with(road, config()).await
    }

    async fn with(road: Road, config: Config) -> Self {
        let (tell, seen) = unbounded_channel();
        let (opened, heard, closed) = (tell.clone(), tell.clone(), tell);
        let server = Server::new()
            .config(config)
            .on_open(async move |socket: Socket| {
                let _ = opened.send(Seen::Open(socket.id().to_owned()));
                socket.send("welcome");
            })
            .on_message(async move |socket: Socket, message: Message| {
                match message.as_text() {
                    Some("close") => socket.close(),
                    Some("wait") => tokio::time::sleep(Duration::from_millis(50)).await,
                    Some("panic") => panic!("as the test wants it"),
                    _ => assert!(socket.send(&message)),
                }
                let _ = heard.send(Seen::Message(socket.id().to_owned(), message));
            })
            .on_close(async move |socket: Socket, reason| {
                assert!(!socket.send("too late") && !socket.is_open());
                let _ = closed.send(Seen::Close(socket.id().to_owned(), reason));
            });
        let handle = server.handle();
        let start = match road {
            Road::Own => Start::Bound(server.bind("127.0.0.1:0").await.unwrap()),
            Road::Hyper | Road::Foreign => Start::Service(server.into_service().unwrap()),
        };
        let never = std::future::pending();
        let (address, _) = serve(road, start, Duration::from_secs(10), never).await;
        Self {
            address,
            handle,
            seen,
        }
    }

    async fn next(&mut self) -> Seen {
        within("an event", self.seen.recv()).await.unwrap()
    }

    async fn websocket(&mut self) -> Ws {
        let mut ws = Ws::open(self.address).await;
        ws.expect_text("4welcome").await;
        assert_eq!(self.next().await, Seen::Open(ws.sid.clone()));
        ws
    }
}

fn text(ws: &Ws, text: &str) -> Seen {
    Seen::Message(ws.sid.clone(), Message::Text(text.into()))
}

on_every_road! {
    async fn every_client_is_told_the_initial_packet_right_behind_the_open_packet(road: Road) {
        for binary in [false, true] {
            let mut config = config();
            config.engine.allow_eio3 = true;
            let server = Server::new().config(config);
            let server = match binary {
                true => server.initial_packet(&[1, 2][..]),
                false => server.initial_packet("h\u{e9}"),
            };
            let start = match road {
                Road::Own => Start::Bound(server.bind("127.0.0.1:0").await.unwrap()),
                Road::Hyper | Road::Foreign => Start::Service(server.into_service().unwrap()),
            };
            let never = std::future::pending();
            let (address, _) = serve(road, start, Duration::from_secs(10), never).await;
            for (query, text, bytes) in [
                ("EIO=4&transport=polling", "\u{1e}4h\u{e9}", "\u{1e}bAQI="),
                ("EIO=3&b64=1&transport=polling", "3:4h\u{e9}", "6:b4AQI="),
            ] {
                let mut peer = Peer::connect(address).await;
                peer.send(format!("{}\r\n", get(query))).await;
                let body = peer.answer().await.body;
                assert!(body.ends_with(if binary { bytes } else { text }), "{body}");
            }
            let mut ws = Ws::open(address).await;
            match binary {
                true => assert_eq!(ws.next().await, Got::Binary(vec![1, 2])),
                false => ws.expect_text("4h\u{e9}").await,
            }
            let mut old = Ws::upgrade(address, "EIO=3&transport=websocket").await;
            old.opened().await;
            match binary {
                true => assert_eq!(old.next().await, Got::Binary(vec![4, 1, 2])),
                false => old.expect_text("4h\u{e9}").await,
            }
        }
    }

    async fn messages_come_no_faster_than_they_may(road: Road) {
        let mut config = config();
        config.max_packet_rate = Some(1);
        config.packet_burst = 3;
        let mut echo = Echo::with(road, config).await;
        let mut ws = echo.websocket().await;
        for _ in 0..3 {
            ws.text("4again").await;
            ws.expect_text("4again").await;
            assert_eq!(echo.next().await, text(&ws, "again"));
        }
        for _ in 0..3 {
            ws.text("4too fast").await;
        }
        let end = loop {
            if let Got::End(end) = ws.next().await {
                break end;
            }
        };
        assert_eq!(end, End::Code(1008));
        let closed = loop {
            if let Seen::Close(_, reason) = echo.next().await {
                break reason;
            }
        };
        assert_eq!(closed, Reason::PacketRate);
    }

    async fn messages_of_any_kind_come_back_over_a_websocket(road: Road) {
        let mut echo = Echo::start(road).await;
        let mut ws = echo.websocket().await;
        for message in ["", "hello", "42[\"no\",\"packet\"]", "é\u{1e}😀"] {
            ws.text(&format!("4{message}")).await;
            ws.expect_text(&format!("4{message}")).await;
            assert_eq!(echo.next().await, text(&ws, message));
        }
        for message in [&b""[..], b"\x00\xff", &[7; 70_000]] {
            ws.binary(message).await;
            assert_eq!(ws.next().await, Got::Binary(message.to_vec()));
            let seen = Message::Binary(message.to_vec().into());
            assert_eq!(echo.next().await, Seen::Message(ws.sid.clone(), seen));
        }
        // No namespace has to be joined.
        tokio::time::sleep(Duration::from_millis(250)).await;
        ws.text("4still").await;
        ws.expect_text("4still").await;
        assert_eq!(echo.next().await, text(&ws, "still"));
        let id = ws.sid.clone();
        drop(ws);
        assert!(matches!(echo.next().await, Seen::Close(gone, _) if gone == id));
        until("nobody being left", || echo.handle.is_empty()).await;
    }

    async fn messages_go_by_polling_and_move_with_the_upgrade(road: Road) {
        let mut echo = Echo::start(road).await;
        let mut polling = Polling::open(echo.address).await;
        assert_eq!(polling.get().await, "4welcome");
        polling.post("4one\u{1e}bAQL/").await;
        let mut got = polling.get().await;
        while !got.ends_with("bAQL/") {
            got = format!("{got}\u{1e}{}", polling.get().await);
        }
        assert_eq!(got, "4one\u{1e}bAQL/");
        let id = polling.sid.clone();
        let socket = echo.handle.socket(&id).unwrap();
        assert_eq!(socket.transport().as_str(), "polling");
        let query = format!("EIO=4&transport=websocket&sid={id}");
        let mut ws = Ws::upgrade(echo.address, &query).await;
        ws.text("2probe").await;
        ws.expect_text("3probe").await;
        ws.text("5").await;
        ws.text("4two").await;
        ws.expect_text("4two").await;
        assert_eq!(socket.transport().as_str(), "websocket");
        for socket in echo.handle.sockets() {
            socket.send("to all");
        }
        ws.expect_text("4to all").await;
        socket.close();
        assert_eq!(ws.next().await, Got::End(End::NoCode));
        let mut seen = Vec::new();
        while !matches!(seen.last(), Some(Seen::Close(..))) {
            seen.push(echo.next().await);
        }
        assert_eq!(seen[0], Seen::Open(id.clone()));
        assert_eq!(seen.last(), Some(&Seen::Close(id, Reason::ForcedServerClose)));
        assert_eq!(seen.len(), 5);
    }

    async fn handlers_of_one_client_run_in_order_and_a_panic_ends_only_itself(road: Road) {
        let mut echo = Echo::start(road).await;
        let mut ws = echo.websocket().await;
        let mut other = echo.websocket().await;
        for message in ["wait", "first", "panic", "second"] {
            ws.text(&format!("4{message}")).await;
        }
        ws.expect_text("4first").await;
        ws.expect_text("4second").await;
        for message in ["wait", "first", "second"] {
            assert_eq!(echo.next().await, text(&ws, message));
        }
        other.text("4untouched").await;
        other.expect_text("4untouched").await;
        assert_eq!(echo.next().await, text(&other, "untouched"));
        assert_eq!(echo.handle.len(), 2);
    }

    async fn the_server_closes_behind_what_it_has_sent(road: Road) {
        let mut echo = Echo::start(road).await;
        let mut ws = echo.websocket().await;
        ws.text("4last").await;
        ws.text("4close").await;
        ws.text("4nobody hears this").await;
        ws.expect_text("4last").await;
        assert_eq!(ws.next().await, Got::End(End::NoCode));
        assert_eq!(echo.next().await, text(&ws, "last"));
        assert_eq!(echo.next().await, text(&ws, "close"));
        let id = ws.sid.clone();
        assert_eq!(echo.next().await, Seen::Close(id, Reason::ForcedServerClose));
        echo.handle.close();
        until("nobody being left", || echo.handle.is_empty()).await;
    }
}
