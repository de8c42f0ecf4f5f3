//! Whose pages may connect: the same verdict on every transport and every road.

mod support;

use sio_server::{Ack, Config, Cors, Handshake, Namespace, Proxies};
use support::{Answer, House, Peer, Road, Ws, config, on_every_road};

/// The request of each transport that a page can make, with these fields.
async fn ask(house: &House, what: &str, fields: &str) -> Answer {
    let head = |start: &str, host: &str| format!("{start} HTTP/1.1\r\n{host}{fields}");
    let host = if fields.contains("Host:") {
        ""
    } else {
        "Host: good.example\r\n"
    };
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let websocket = "GET /socket.io/?EIO=4&transport=websocket";
    let request = match what {
        "polling" => head("GET /socket.io/?EIO=4&transport=polling", host) + "\r\n",
        "post" => {
            let sid = support::Polling::open(house.address).await.sid;
            let start = format!("POST /socket.io/?EIO=4&transport=polling&sid={sid}");
            head(&start, host) + "Content-Length: 2\r\n\r\n40"
        }
        "websocket" => head(websocket, host) + upgrade + "\r\n",
        "upgrade" => {
            let sid = support::Polling::open(house.address).await.sid;
            head(&format!("{websocket}&sid={sid}"), host) + upgrade + "\r\n"
        }
        _ => unreachable!(),
    };
    let mut peer = Peer::connect(house.address).await;
    peer.send(request).await;
    peer.answer().await
}

const WAYS: [&str; 4] = ["polling", "post", "websocket", "upgrade"];

async fn verdict(house: &House, fields: &str, passes: bool) {
    for way in WAYS {
        let answer = ask(house, way, fields).await;
        let passed = matches!(answer.status, 200 | 101);
        assert_eq!(passed, passes, "{way} {fields:?}: {answer:?}");
        if !passes {
            assert_eq!(answer.status, 403, "{way} {fields:?}");
            assert_eq!(answer.body, r#"{"code":4,"message":"Forbidden"}"#);
            assert_eq!(answer.header("content-type"), "application/json");
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
    }
}

fn with_cors(cors: Cors) -> Config {
    let mut config = config();
    config.cors = cors;
    config
}

on_every_road! {
    async fn sec_e21_a_page_of_another_origin_is_refused_on_every_transport(road: Road) {
        let house = House::start(road).await;
        for foreign in [
            "https://evil.example",
            "https://good.example.evil.com",
            "https://evilgood.example",
            "https://sub.good.example",
            "https://good.example.",
            "https://good.example:8443",
            "https://good.example@evil.com",
            "https://evil.com https://good.example",
            "file://",
            "null",
            "",
        ] {
            verdict(&house, &format!("Origin: {foreign}\r\n"), false).await;
            verdict(&house, &format!("Cookie: who=me\r\nOrigin: {foreign}\r\n"), false).await;
        }
        let twice = "Origin: https://good.example\r\nOrigin: https://good.example\r\n";
        verdict(&house, twice, false).await;
        house.serves_others().await;
    }

    async fn sec_e20_our_own_pages_and_programs_pass_on_every_transport(road: Road) {
        let house = House::start(road).await;
        for fields in [
            "",
            "Cookie: who=me\r\n",
            "Origin: https://good.example\r\n",
            "Origin: http://good.example\r\nSec-Fetch-Site: same-origin\r\n",
            "oRiGiN: HTTPS://GOOD.EXAMPLE:443\r\n",
            "Host: localhost:3000\r\nOrigin: http://localhost:3000\r\n",
            "Host: [::1]:3000\r\nOrigin: http://[::1]:3000\r\n",
        ] {
            verdict(&house, fields, true).await;
        }
        // A script tag of another site sends no origin.
        verdict(&house, "Sec-Fetch-Site: cross-site\r\n", false).await;
        // What a proxy might say is believed of a proxy only.
        let said = "Origin: https://evil.example\r\nX-Forwarded-Host: evil.example\r\n";
        verdict(&house, said, false).await;
    }

    async fn origins_that_are_named_pass_and_may_read_the_answers(road: Road) {
        let named = ["https://app.example", "https://*.dev.example", "http://localhost:5173"];
        let cors = Cors::Origins(named.map(String::from).into());
        let house = House::with(road, with_cors(cors), |server| server).await;
        for (origin, passes) in [
            ("https://app.example", true),
            ("https://a.b.dev.example", true),
            ("http://localhost:5173", true),
            ("https://good.example", true),
            ("https://dev.example", false),
            ("http://app.example", false),
            ("http://localhost:5174", false),
        ] {
            verdict(&house, &format!("Origin: {origin}\r\n"), passes).await;
            let answer = ask(&house, "polling", &format!("Origin: {origin}\r\n")).await;
            let shown = answer.header("access-control-allow-origin");
            assert_eq!(shown, if passes { origin } else { "" });
            let with_cookies = answer.header("access-control-allow-credentials");
            assert_eq!(with_cookies, if passes { "true" } else { "" });
        }
        let only = Cors::Only(vec!["https://app.example".into()]);
        let house = House::with(road, with_cors(only), |server| server).await;
        verdict(&house, "Origin: https://app.example\r\n", true).await;
        // DNS was rebound: the name is foreign, the host agrees with it.
        verdict(&house, "Origin: https://good.example\r\n", false).await;
    }

    async fn any_page_passes_where_any_may(road: Road) {
        let house = House::with(road, with_cors(Cors::Any), |server| server).await;
        for origin in ["https://evil.example", "null", "file://"] {
            verdict(&house, &format!("Origin: {origin}\r\n"), true).await;
            let answer = ask(&house, "polling", &format!("Origin: {origin}\r\n")).await;
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            assert_eq!(answer.header("access-control-allow-credentials"), "");
        }
    }

    async fn a_preflight_is_answered_where_pages_of_others_may(road: Road) {
        let preflight = |origin: &str| format!(
            "OPTIONS /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: good.example\r\n\
             Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: x-token\r\n\r\n"
        );
        let app = "https://app.example";
        let cors = Cors::Origins(vec![app.into()]);
        let house = House::with(road, with_cors(cors), |server| server).await;
        let mut peer = Peer::connect(house.address).await;
        peer.send(preflight(app)).await;
        let answer = peer.answer().await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), app);
        assert_eq!(answer.header("access-control-allow-headers"), "x-token");
        assert!(answer.header("access-control-allow-methods").contains("POST"));
        peer.send(preflight("https://evil.example")).await;
        let answer = peer.answer().await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }

    async fn a_proxy_that_is_known_names_host_client_and_scheme(road: Road) {
        let mut config = config();
        // On the roads through hyper the tests tell no address of the peer.
        config.proxies = match road {
            Road::Own => Proxies::Networks(vec!["127.0.0.0/8".parse().unwrap()]),
            Road::Hyper | Road::Foreign => Proxies::Hops(1),
        };
        let house = House::with(road, config, |server| {
            server.mount(
                Namespace::new("/whence", async |hello: Handshake| {
                    Ok((hello.client_address(), hello.is_secure()))
                })
                .on("whence", async |socket, ()| {
                    let (address, secure) = socket.data();
                    Ack(format!("{} {secure}", address.expect("it is known")))
                }),
            )
        })
        .await;
        let fields = "Host: 10.0.0.7:3000\r\nOrigin: https://good.example\r\n\
                      X-Forwarded-Host: good.example\r\nX-Forwarded-Proto: https\r\n\
                      X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n";
        verdict(&house, fields, true).await;
        verdict(&house, "Host: 10.0.0.7\r\nOrigin: https://good.example\r\n", false).await;
        let fields = fields.replace("Host: 10.0.0.7:3000\r\n", "");
        let mut ws = Ws::upgrade_with(house.address, "EIO=4&transport=websocket", &fields).await;
        ws.opened().await;
        ws.join("/whence").await;
        ws.text(r#"42/whence,1["whence"]"#).await;
        ws.expect_text(r#"43/whence,1["1.2.3.4 true"]"#).await;
    }
}
