//! What the environment says.

use std::{env, sync::Mutex, time::Duration};

use sio_server::{
    Config, Cookie, Cors, Handshake, Http2, PerMessageDeflate, Recovery, Refuse, Value,
};

/// The environment variables of the contract.
///
/// | variable | default | meaning |
/// |---|---|---|
/// | `PORT` | 3000 | |
/// | `PING_INTERVAL`, `PING_TIMEOUT` | 1000 ms | heartbeat |
/// | `CONNECT_TIMEOUT` | 1000 ms | until a namespace is joined |
/// | `UPGRADE_TIMEOUT` | 1000 ms | until a probing WebSocket is done |
/// | `MAX_PAYLOAD` | 100000 bytes | POST bodies and WebSocket messages |
/// | `COOKIE` | 1 | a session cookie `io` on the handshake |
/// | `EIO3` | 0 | clients of Engine.IO 3 are let in, and those that poll by JSONP |
/// | `CSR` | 0 ms | connection state recovery, for how long; 0 is off |
/// | `PARSER` | json | `msgpack`: also clients that speak it |
/// | `HTTP2` | 0 | 1: HTTP/2 without TLS on the road `listen` |
/// | `ROAD` | listen | `listen`, `service` or `axum` |
/// | `EIO_ECHO` | 0 | also a bare Engine.IO server under `/engine.io/` that sends back what it is sent |
/// | `WS_ECHO` | 0 | also a plain WebSocket echo under `/ws-echo`; `ROAD` is `axum` then, and the feature `ws-echo` is needed |
/// | `PMD` | 1 | permessage-deflate, of Socket.IO and of that echo: 0 is off, 1 compresses every message, 2 also with context take-over |
pub(crate) struct Settings {
    pub(crate) port: u16,
    pub(crate) road: Road,
    pub(crate) eio_echo: bool,
    /// Whether there is a plain WebSocket echo, and whether it compresses.
    #[cfg_attr(not(feature = "ws-echo"), expect(dead_code))]
    pub(crate) ws_echo: Option<bool>,
    per_message_deflate: Option<PerMessageDeflate>,
    ping_interval: Duration,
    ping_timeout: Duration,
    connect_timeout: Duration,
    upgrade_timeout: Duration,
    max_payload: usize,
    cookie: bool,
    http2: bool,
    eio3: bool,
    recovery: Option<Duration>,
    pub(crate) msgpack: bool,
}

/// By which road requests come to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    Axum,
    Listen,
    Service,
}

impl Settings {
    /// # Panics
    ///
    /// If a variable is malformed: a test that means something else must not go on.
    pub(crate) fn from_env() -> Self {
        let number = |name: &str, default: u64| {
            env::var(name).map_or(default, |value| {
                value
                    .parse()
                    .unwrap_or_else(|_| panic!("{name} is {value:?}, not a number"))
            })
        };
        let millis = |name| Duration::from_millis(number(name, 1000));
        let ws_echo = (number("WS_ECHO", 0) != 0).then(|| number("PMD", 1) != 0);
        assert!(
            ws_echo.is_none() || cfg!(feature = "ws-echo"),
            "WS_ECHO needs the feature ws-echo"
        );
        Self {
            port: u16::try_from(number("PORT", 3000)).expect("PORT is a port"),
            eio_echo: number("EIO_ECHO", 0) != 0,
            road: match env::var("ROAD").as_deref() {
                Ok("axum") => Road::Axum,
                Err(_) if ws_echo.is_some() => Road::Axum,
                Ok(other) if ws_echo.is_some() => {
                    panic!("ROAD is {other:?}, but WS_ECHO is on axum")
                }
                Ok("listen") | Err(_) => Road::Listen,
                Ok("service") => Road::Service,
                Ok(other) => panic!("ROAD is {other:?}: listen, service or axum"),
            },
            ws_echo,
            per_message_deflate: match number("PMD", 1) {
                0 => None,
                level => Some(PerMessageDeflate {
                    threshold: 0,
                    server_no_context_takeover: level < 2,
                    client_no_context_takeover: level < 2,
                    ..PerMessageDeflate::default()
                }),
            },
            ping_interval: millis("PING_INTERVAL"),
            ping_timeout: millis("PING_TIMEOUT"),
            connect_timeout: millis("CONNECT_TIMEOUT"),
            upgrade_timeout: millis("UPGRADE_TIMEOUT"),
            max_payload: usize::try_from(number("MAX_PAYLOAD", 100_000)).expect("it fits"),
            cookie: number("COOKIE", 1) != 0,
            http2: number("HTTP2", 0) != 0,
            recovery: match number("CSR", 0) {
                0 => None,
                millis => Some(Duration::from_millis(millis)),
            },
            msgpack: match env::var("PARSER").as_deref() {
                Ok("json") | Err(_) => false,
                Ok("msgpack") => true,
                Ok(other) => panic!("PARSER is {other:?}: json or msgpack"),
            },
            eio3: number("EIO3", 0) != 0,
        }
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.engine.ping_interval = self.ping_interval;
        config.engine.ping_timeout = self.ping_timeout;
        config.engine.connect_timeout = self.connect_timeout;
        config.engine.upgrade_timeout = self.upgrade_timeout;
        config.engine.max_payload = self.max_payload;
        config.engine.allow_eio3 = self.eio3;
        config.engine.allow_jsonp = self.eio3;
        config.cors = Cors::Any;
        config.cookie = self.cookie.then(|| Cookie::new("io"));
        config.http2 = self.http2.then(Http2::default);
        config.per_message_deflate = self.per_message_deflate.clone();
        config.recovery = self.recovery.map(|window| {
            let mut recovery = Recovery::default();
            recovery.max_disconnection_duration = window;
            recovery
        });
        config.client_files = env::var_os("SIO_CLIENT_DIR").map(Into::into);
        config
    }
}

/// What is kept of each socket.
pub(crate) struct Data {
    pub(crate) auth: Value,
    pub(crate) value: Mutex<Value>,
}

/// Lets everybody in.
pub(crate) async fn open(hello: Handshake) -> Result<Data, Refuse> {
    Ok(Data {
        auth: hello.auth()?,
        value: Mutex::new(Value::Null),
    })
}
