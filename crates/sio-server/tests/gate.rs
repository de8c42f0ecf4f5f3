//! What the application may say about requests: who opens a connection, how many, under which id, and
//! with which headers.

mod support;

use std::{
    convert::Infallible,
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, header};
use sio_server::{ClientAddr, Cookie, Inner, Refuse, RequestBody, Server, Sid};
use support::{Answer, House, Peer, Polling, Road, Ws, config, get, on_every_road, request, until};
use tower::{ServiceExt, service_fn};
use tower_layer::layer_fn;

const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";

/// Asks for a session over polling, with more fields.
async fn open(house: &House, fields: &str) -> Answer {
    let mut peer = Peer::connect(house.address).await;
    peer.send(format!("{}{fields}\r\n", get(POLLING))).await;
    peer.answer().await
}

/// Asks for a session over a WebSocket, with more fields.
async fn upgrade(house: &House, query: &str, fields: &str) -> (Answer, Peer) {
    let mut request = request(query);
    request.truncate(request.len() - 2);
    request.extend_from_slice(format!("{fields}\r\n").as_bytes());
    let mut peer = Peer::connect(house.address).await;
    peer.send(request).await;
    (peer.answer().await, peer)
}

on_every_road! {
    async fn who_may_open_a_connection_is_asked_once_and_may_be_refused(road: Road) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let mut config = config();
        config.engine.connect_timeout = Duration::from_millis(1500);
        let house = House::with(road, config, |server| {
            server.allow_request(async move |request| {
                count.fetch_add(1, Ordering::Relaxed);
                let key = request.headers().get("x-key").map(HeaderValue::as_bytes);
                tokio::task::yield_now().await;
                match key {
                    Some(b"never") => std::future::pending().await,
                    Some(b"panic") => panic!("as the test wants it"),
                    Some(b"secret") => Ok(()),
                    _ => Err(Refuse::new("a \"key\" is needed")),
                }
            })
        })
        .await;
        let refusal = r#"{"code":4,"message":"a \"key\" is needed"}"#;
        for fields in ["", "X-Key: wrong\r\n"] {
            let answer = open(&house, fields).await;
            assert_eq!((answer.status, &*answer.body), (403, refusal));
            assert_eq!(answer.header("content-type"), "application/json");
            let (answer, peer) = upgrade(&house, WEBSOCKET, fields).await;
            assert_eq!((answer.status, &*answer.body), (403, refusal));
            assert_eq!(peer.ended().await, b"");
        }
        for key in ["never", "panic"] {
            let fields = format!("X-Key: {key}\r\n");
            assert_eq!(open(&house, &fields).await.status, 403, "{key}");
            assert_eq!(upgrade(&house, WEBSOCKET, &fields).await.0.status, 403, "{key}");
        }
        assert_eq!(asked.swap(0, Ordering::Relaxed), 8);
        let answer = open(&house, "X-Key: secret\r\n").await;
        assert_eq!(answer.status, 200);
        let sid = support::sid_of(&answer.body[1..]);
        let mut peer = Peer::connect(house.address).await;
        peer.send(support::post(&format!("{POLLING}&sid={sid}"), "40")).await;
        assert_eq!(peer.answer().await.body, "ok");
        peer.send(format!("{}\r\n", get(&format!("{POLLING}&sid={sid}")))).await;
        assert!(peer.answer().await.body.starts_with("40{"));
        let probing = format!("{WEBSOCKET}&sid={sid}");
        assert_eq!(upgrade(&house, &probing, "").await.0.status, 101);
        assert_eq!(asked.load(Ordering::Relaxed), 1, "who has a session is not asked again");
        peer.send(support::post(&format!("{POLLING}&sid={sid}"), "1")).await;
        assert_eq!(peer.answer().await.body, "ok");
        house.empties().await;
    }

    async fn headers_go_with_the_handshake_or_with_every_answer(road: Road) {
        let house = House::with(road, config(), |server| {
            server
                .initial_headers(|headers, request| {
                    let query = request.uri().query().unwrap_or("");
                    headers.insert("x-first", HeaderValue::from_str(query).unwrap());
                })
                .headers(|headers, _request| {
                    headers.insert(header::SERVER, HeaderValue::from_static("ours"));
                })
        })
        .await;
        let answer = open(&house, "").await;
        assert_eq!((answer.header("x-first"), answer.header("server")), (POLLING, "ours"));
        let (answer, _peer) = upgrade(&house, WEBSOCKET, "").await;
        assert_eq!(answer.status, 101);
        assert_eq!((answer.header("x-first"), answer.header("server")), (WEBSOCKET, "ours"));
        let mut polling = Polling::open(house.address).await;
        let answer = polling.post_answer("40").await;
        assert_eq!((answer.header("x-first"), answer.header("server")), ("", "ours"));
        let answer = polling.get_answer().await;
        assert_eq!((answer.header("x-first"), answer.header("server")), ("", "ours"));
        let (answer, _) = upgrade(&house, "EIO=4&transport=none", "").await;
        assert_eq!((answer.status, answer.header("server")), (400, "ours"));
        polling.post("1").await;
    }

    async fn an_id_of_the_application_is_taken_once(road: Road) {
        let turn = AtomicU32::new(0);
        let house = House::with(road, config(), |server: Server| {
            server.generate_id(move |request| {
                assert!(!request.headers().contains_key("x-panic"));
                let turn = turn.fetch_add(1, Ordering::Relaxed).min(1);
                Sid::parse(&format!("node7-AAAAAAAAAAAAA{turn}")).unwrap()
            })
        })
        .await;
        let mut first = Polling::open(house.address).await;
        assert_eq!(first.sid, "node7-AAAAAAAAAAAAA0");
        let mut second = Ws::open(house.address).await;
        assert_eq!(second.sid, "node7-AAAAAAAAAAAAA1");
        let taken = r#"{"code":3,"message":"Bad request"}"#;
        assert_eq!(open(&house, "").await.body, taken);
        assert_eq!(open(&house, "X-Panic: 1\r\n").await.body, taken);
        assert_eq!(upgrade(&house, WEBSOCKET, "").await.0.status, 400);
        // Nobody has been hurt by that.
        second.join("/").await;
        first.post("40").await;
        assert!(first.get().await.starts_with("40{"));
        second.leave().await;
        first.post("1").await;
        house.empties().await;
    }

    async fn connections_are_as_many_as_may_be_and_no_more(road: Road) {
        let mut config = config();
        config.max_connections = Some(3);
        let house = House::with(road, config, |server| server).await;
        let mut polling = Polling::join(house.address).await;
        let mut ws = house.client().await;
        let third = house.client().await;
        let full = r#"{"code":3,"message":"Too many connections"}"#;
        let answer = open(&house, "").await;
        assert_eq!((answer.status, &*answer.body), (503, full));
        let later: u32 = answer.header("retry-after").parse().unwrap();
        assert!((1..=10).contains(&later));
        let (answer, peer) = upgrade(&house, WEBSOCKET, "").await;
        assert_eq!((answer.status, &*answer.body), (503, full));
        assert_eq!(peer.ended().await, b"");
        // Those who are in are not in the way of each other, and may upgrade.
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        let (answer, probe) = upgrade(&house, &format!("{WEBSOCKET}&sid={}", polling.sid), "").await;
        assert_eq!(answer.status, 101);
        drop(probe);
        // Who goes makes room, also one who never came in.
        third.peer.reset();
        let came_in = async || open(&house, "").await.status == 200;
        let mut tries = 0;
        while !came_in().await {
            tries += 1;
            assert!(tries < 1000);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(open(&house, "").await.status, 503);
        ws.leave().await;
        polling.post("1").await;
        let left = || house.io.connections() <= 1;
        until("two of three having gone", left).await;
    }

    async fn a_cookie_goes_with_the_handshake_over_polling_alone(road: Road) {
        let mut config = config();
        let mut cookie = Cookie::new("node");
        cookie.secure = true;
        config.cookie = Some(cookie);
        let house = House::with(road, config, |server| server).await;
        let answer = open(&house, "").await;
        let sid = support::sid_of(&answer.body[1..]);
        let expected = format!("node={sid}; Path=/; HttpOnly; Secure; SameSite=Lax");
        assert_eq!(answer.header("set-cookie"), expected);
        assert_eq!(upgrade(&house, WEBSOCKET, "").await.0.header("set-cookie"), "");
        let mut polling = Polling::open(house.address).await;
        assert_eq!(polling.post_answer("1").await.header("set-cookie"), "");
    }

    async fn large_answers_are_compressed_for_those_who_take_that(road: Road) {
        let house = House::with(road, config(), |server| server).await;
        // What fits is compressed on the spot, what is large on another thread.
        for (len, encoded) in [(1000, false), (1024, true), (200_000, true)] {
            for coding in ["gzip", "deflate", "br"] {
                let mut polling = Polling::join(house.address).await;
                let text = "x".repeat(len - r#"42["said",""]"#.len());
                polling.post(&format!(r#"42["say","{text}"]"#)).await;
                let query = polling.query();
                let accept = format!("Accept-Encoding: {coding}\r\n");
                polling.gets.send(format!("{}{accept}\r\n", get(&query))).await;
                let (headers, body) = polling.gets.answer_bytes().await;
                let shown = headers.get("content-encoding").map(|value| value.to_str().unwrap());
                let expected = (encoded && coding != "br").then_some(coding);
                assert_eq!(shown, expected, "{len} {coding}");
                let mut payload = String::new();
                match expected {
                    Some("gzip") => flate2::read::GzDecoder::new(&*body)
                        .read_to_string(&mut payload)
                        .unwrap(),
                    Some(_) => flate2::read::ZlibDecoder::new(&*body)
                        .read_to_string(&mut payload)
                        .unwrap(),
                    None => (&*body).read_to_string(&mut payload).unwrap(),
                };
                assert_eq!(payload, format!(r#"42["said","{text}"]"#));
                polling.post("1").await;
            }
        }
        house.is_unharmed().await;
    }
}

/// Where the server knows the peer, hooks know the client.
#[tokio::test]
async fn hooks_see_the_client_that_a_proxy_names() {
    let mut config = config();
    config.proxies = sio_server::Proxies::Networks(vec!["127.0.0.1".parse().unwrap()]);
    let house = House::with(Road::Own, config, |server| {
        server.allow_request(async |request| {
            let client = request.extensions().get::<ClientAddr>();
            Err(Refuse::new(client.map_or_else(
                || "nobody".into(),
                |client| client.0.to_string(),
            )))
        })
    })
    .await;
    let answer = open(&house, "X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n").await;
    assert_eq!(answer.body, r#"{"code":4,"message":"1.2.3.4"}"#);
    assert_eq!(
        open(&house, "").await.body,
        r#"{"code":4,"message":"127.0.0.1"}"#
    );
}

on_every_road! {
    async fn layers_around_the_server_see_every_request_and_every_upgrade(road: Road) {
        type Incoming = http::Request<RequestBody>;

        let (tell, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let house = House::with(road, config(), |server| {
            let inner = layer_fn(|inner: Inner| {
                service_fn(move |mut request: Incoming| {
                    request.headers_mut().insert("x-inner", 1.into());
                    let answer = inner.clone().oneshot(request);
                    async move {
                        let mut answer = answer.await?;
                        answer.headers_mut().insert("x-wrapped", 1.into());
                        Ok::<_, Infallible>(answer)
                    }
                })
            });
            let outer = layer_fn(move |inner: Inner| {
                let tell = tell.clone();
                service_fn(move |request: Incoming| {
                    let (tell, inner) = (tell.clone(), inner.clone());
                    async move {
                        assert!(!request.headers().contains_key("x-inner"));
                        let upgrade = request.headers().contains_key("upgrade");
                        let known = request.extensions().get::<ClientAddr>().is_some();
                        let _ = tell.send((request.method().to_string(), upgrade, known));
                        let answer = match request.uri().query() {
                            Some("stop") => {
                                let mut answer = http::Response::default();
                                *answer.status_mut() = http::StatusCode::IM_A_TEAPOT;
                                return Ok(answer);
                            }
                            Some("fail") => return Err("as the test wants it"),
                            Some("bare") => inner.oneshot(http::Request::new(String::new())).await,
                            _ => inner.oneshot(request).await,
                        };
                        answer.map_err(|never| match never {})
                    }
                })
            });
            server
                .allow_request(async |request| match request.headers().contains_key("x-inner") {
                    true => Ok(()),
                    false => Err(Refuse::new("not by the inner layer")),
                })
                .wrap(inner)
                .wrap(outer)
        })
        .await;
        let mut polling = Polling::join(house.address).await;
        let mut probe = Ws::upgrade(house.address, &format!("{WEBSOCKET}&sid={}", polling.sid)).await;
        probe.text("2probe").await;
        probe.expect_text("3probe").await;
        let mut ws = house.client().await;
        ws.text(r#"421["echo",1]"#).await;
        ws.expect_text("431[1]").await;
        assert_eq!(polling.post_answer("1").await.header("x-wrapped"), "1");
        let mut all = Vec::new();
        while let Ok((method, upgrade, known)) = seen.try_recv() {
            assert_eq!(known, road == Road::Own);
            all.push(format!("{method}{}", if upgrade { " upgrade" } else { "" }));
        }
        let expected = ["GET", "POST", "GET", "GET upgrade", "GET upgrade", "POST"];
        assert_eq!(all, expected);
        // A layer answers itself, also what is not ours; or loses what has to be passed on.
        for (target, status) in [("/socket.io/?stop", 418), ("/?stop", 418), ("/", 404), ("/?bare", 500), ("/?fail", 500)] {
            let mut peer = Peer::connect(house.address).await;
            peer.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            assert_eq!(peer.answer().await.status, status, "{target}");
        }
    }
}

/// A layer of tower around the service sees each request, upgrades included, and may answer itself.
#[tokio::test]
async fn layers_of_tower_see_every_request_and_every_upgrade() {
    use axum::{
        Router,
        extract::Request,
        middleware::{Next, from_fn},
        response::IntoResponse,
    };
    use tokio::sync::mpsc::unbounded_channel;

    let (tell, mut seen) = unbounded_channel();
    let server = Server::new().on("echo", async |_socket, value: sio_server::Value| {
        sio_server::Ack(value)
    });
    let watch = from_fn(move |request: Request, next: Next| {
        let tell = tell.clone();
        async move {
            let upgrade = request.headers().contains_key("upgrade");
            let _ = tell.send((request.method().to_string(), upgrade));
            match request.headers().contains_key("x-stop") {
                true => http::StatusCode::IM_A_TEAPOT.into_response(),
                false => next.run(request).await,
            }
        }
    });
    let app = Router::new().layer(server.layer().unwrap()).layer(watch);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut polling = Polling::join(address).await;
    let mut probe = Ws::upgrade(address, &format!("{WEBSOCKET}&sid={}", polling.sid)).await;
    probe.text("2probe").await;
    probe.expect_text("3probe").await;
    let mut ws = Ws::open(address).await;
    ws.join("/").await;
    ws.text(r#"421["echo",1]"#).await;
    ws.expect_text("431[1]").await;
    polling.post("1").await;
    let mut all = Vec::new();
    while let Ok((method, upgrade)) = seen.try_recv() {
        all.push(format!("{method}{}", if upgrade { " upgrade" } else { "" }));
    }
    let expected = ["GET", "POST", "GET", "GET upgrade", "GET upgrade", "POST"];
    assert_eq!(all, expected);
    let mut peer = Peer::connect(address).await;
    peer.send(format!("{}X-Stop: 1\r\n\r\n", get(POLLING)))
        .await;
    assert_eq!(peer.answer().await.status, 418);
}
