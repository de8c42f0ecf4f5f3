//! Middlewares, catch-alls, and what becomes of a handler that fails.

mod support;

use sio_server::{
    Ack, Cause, Failure, Handshake, Incoming, Namespace, Refuse, Server, Socket, StartError, Value,
};
use support::{Got, House, Road, Ws, config, on_every_road, within};
use tokio::sync::mpsc::unbounded_channel;

/// Joins a namespace, and returns what came instead of a socket.
async fn refused(house: &House, namespace: &str, auth: &str) -> String {
    let mut ws = Ws::open(house.address).await;
    ws.text(&format!("40{namespace},{auth}")).await;
    let Got::Text(text) = ws.next().await else {
        panic!("no answer to a CONNECT")
    };
    ws.leave().await;
    text
}

#[derive(Debug, thiserror::Error)]
#[error("out of {0}")]
struct OutOf(&'static str);

/// Handlers that fail in each way there is.
fn failing(namespace: Namespace) -> Namespace {
    namespace
        .on("error", async |_, ()| Err::<(), _>(OutOf("tea")))
        .on("panic", async |_, yes: bool| assert!(!yes, "as told"))
        .on("number", async |_, number: u32| Ack(number))
        .on("refuse", async |_, ()| {
            Err::<Ack<u32>, _>(Refuse::new("not you").with_data(&7))
        })
}

on_every_road! {
    async fn a_guard_asks_before_the_admission_and_the_first_refusal_counts(road: Road) {
        async fn only_four(hello: Handshake) -> Result<(), Refuse> {
            match hello.query("EIO").as_deref() {
                Some("4") => Ok(()),
                _ => Err(Refuse::new("never")),
            }
        }
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::new("/guarded", async move |hello: Handshake| {
                    let _ = tell.send("admission");
                    hello.auth::<Value>()
                })
                .guard(only_four)
                .guard(async |hello: Handshake| {
                    tokio::task::yield_now().await;
                    let auth: Value = hello.auth()?;
                    let name = auth.as_object().and_then(|auth| auth.get("name"));
                    match name.and_then(Value::as_str) {
                        Some("Ann") => Ok(()),
                        _ => Err(Refuse::new("who?").with_data(&"a name")),
                    }
                })
                .guard(async |_| Ok(())),
            )
        })
        .await;
        let no = refused(&house, "/guarded", "{}").await;
        assert_eq!(no, r#"44/guarded,{"message":"who?","data":"a name"}"#);
        assert!(told.try_recv().is_err(), "it is not asked");
        let yes = refused(&house, "/guarded", r#"{"name":"Ann"}"#).await;
        assert!(yes.starts_with(r#"40/guarded,{"sid":""#), "{yes}");
        assert_eq!(told.try_recv(), Ok("admission"));
        house.is_unharmed().await;
    }

    async fn a_filter_sees_each_event_before_its_handler_and_may_refuse_it(road: Road) {
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::open("/guarded")
                    .on("pass", async |_, arguments: (Value, Value)| Ack(arguments.1))
                    .on("forbidden", async |_, ()| Ack("done"))
                    .filter(async |socket, incoming: Incoming| {
                        tokio::task::yield_now().await;
                        socket.emit("saw", incoming.event());
                        match incoming.event() {
                            "forbidden" => Err(Refuse::new("forbidden event")),
                            "odd" if incoming.arguments().len() % 2 == 1 => {
                                Err(Refuse::new("odd").with_data(&incoming.wants_ack()))
                            }
                            _ => Ok(()),
                        }
                    }),
            )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/guarded").await;
        ws.text(r#"42/guarded,1["pass",1,[2]]"#).await;
        ws.expect_text(r#"42/guarded,["saw","pass"]"#).await;
        ws.expect_text("43/guarded,1[[2]]").await;
        // Refused: the ack says so, and the handler never runs.
        ws.text(r#"42/guarded,2["forbidden"]"#).await;
        ws.expect_text(r#"42/guarded,["saw","forbidden"]"#).await;
        ws.expect_text(r#"43/guarded,2[{"message":"forbidden event"}]"#).await;
        // Also without a handler; and without an ack, nothing is said.
        ws.text(r#"42/guarded,["odd",1]"#).await;
        ws.expect_text(r#"42/guarded,["saw","odd"]"#).await;
        ws.text(r#"42/guarded,3["odd",1]"#).await;
        ws.expect_text(r#"42/guarded,["saw","odd"]"#).await;
        ws.expect_text(r#"43/guarded,3[{"message":"odd","data":true}]"#).await;
        // Attachments are there for both.
        ws.text(r#"451-/guarded,4["pass",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#).await;
        ws.binary(b"x").await;
        // One placeholder twice is malformed, whoever reads it.
        ws.end().await;
        house.is_unharmed().await;
    }

    async fn sec_s8_what_fails_reaches_on_error_whose_value_is_the_ack(road: Road) {
        let house = House::with(road, config(), |server| {
            let watched = failing(Namespace::open("/watched"))
                .filter(async |_, incoming: Incoming| match incoming.event() {
                    "filtered" => Err(Refuse::new("no")),
                    "burst" => panic!("in the filter"),
                    _ => Ok(()),
                })
                .on_error(async |socket, failure: Failure| {
                    let kind = match failure.cause() {
                        Cause::Error(_) => match failure.error::<OutOf>() {
                            Some(OutOf(what)) => what,
                            None => "error",
                        },
                        Cause::Panic(_) => "panic",
                        Cause::Payload(_) => "payload",
                        Cause::Refused(_) => "refused",
                        _ => "something else",
                    };
                    assert_eq!((failure.socket_id(), failure.namespace()), (socket.id(), "/watched"));
                    Ack((kind, failure.to_string()))
                });
            server.mount(watched)
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/watched").await;
        for (event, answer) in [
            (r#"["error"]"#, r#"["tea","out of tea"]"#),
            (r#"["panic",true]"#, r#"["panic","the handler panicked: as told"]"#),
            (r#"["refuse"]"#, r#"["refused","not you"]"#),
            (r#"["filtered"]"#, r#"["refused","no"]"#),
            (r#"["burst"]"#, r#"["panic","the handler panicked: in the filter"]"#),
            (r#"["number",1]"#, "[1]"),
        ] {
            ws.text(&format!("42/watched,0{event}")).await;
            ws.expect_text(&format!("43/watched,0{answer}")).await;
        }
        ws.text(r#"42/watched,1["number","one"]"#).await;
        let Got::Text(text) = ws.next().await else { panic!() };
        assert!(text.starts_with(r#"43/watched,1["payload","the payload is not"#), "{text}");
        // A malformed payload is no failure of a handler's.
        ws.text(r#"42/watched,2["number",1"#).await;
        ws.end().await;
        house.is_unharmed().await;
    }

    async fn what_no_namespace_sees_reaches_the_default(road: Road) {
        let (tell, mut told) = unbounded_channel();
        let house = House::with(road, config(), |server| {
            server
                .mount(failing(Namespace::open("/failing")).on_connect(async |_| Err::<(), _>("late")))
                .on_error_default(async move |failure: Failure| {
                    let _ = tell.send((failure.event().to_owned(), failure.to_string()));
                    Ack(failure.namespace().to_owned())
                })
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/failing").await;
        let event = |name: &str, what: &str| Some((name.to_owned(), what.to_owned()));
        assert_eq!(within("a failure", told.recv()).await, event("connect", "late"));
        ws.text(r#"42/failing,0["error"]"#).await;
        ws.expect_text(r#"43/failing,0["/failing"]"#).await;
        assert_eq!(within("a failure", told.recv()).await, event("error", "out of tea"));
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn without_either_only_a_refusal_is_acknowledged(road: Road) {
        let house = House::with(road, config(), |server| {
            server.mount(failing(Namespace::open("/failing")))
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/failing").await;
        for event in [r#"["error"]"#, r#"["panic",true]"#, r#"["number",null]"#] {
            ws.text(&format!("42/failing,0{event}")).await;
        }
        ws.text(r#"42/failing,1["refuse"]"#).await;
        ws.expect_text(r#"43/failing,1[{"message":"not you","data":7}]"#).await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn catch_alls_see_everything_and_the_unhandled_is_handled(road: Road) {
        let house = House::with(road, config(), |server| {
            server.mount(
                Namespace::open("/any")
                    .on("known", async |_, number: u32| Ack(number))
                    .on_any(async |socket, incoming: Incoming| {
                        socket.emit("any", &(incoming.event(), incoming.arguments()));
                    })
                    .on_any(async |_, _| Err::<(), _>("of no consequence"))
                    .on_unhandled(async |_, incoming: Incoming| {
                        let binary = incoming.arguments().iter().filter_map(Value::as_binary);
                        Ack((incoming.event().to_owned(), binary.count()))
                    }),
            )
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/any").await;
        ws.text(r#"42/any,1["known",7]"#).await;
        ws.expect_text(r#"42/any,["any","known",[7]]"#).await;
        ws.expect_text("43/any,1[7]").await;
        ws.text(r#"451-/any,2["unknown",{"_placeholder":true,"num":0}]"#).await;
        ws.binary(b"x").await;
        ws.expect_text(r#"451-/any,["any","unknown",[{"_placeholder":true,"num":0}]]"#).await;
        assert_eq!(ws.next().await, Got::Binary(b"x".to_vec()));
        ws.expect_text(r#"43/any,2["unknown",1]"#).await;
        ws.leave().await;
        house.is_unharmed().await;
    }
}

#[test]
fn a_server_does_not_start_with_a_name_that_is_reserved() {
    async fn nothing(_: Socket, _: ()) {}
    for name in ["connect", "disconnect", "disconnecting", "newListener"] {
        let started = Server::new().on(name, nothing).into_service();
        assert!(
            matches!(&started, Err(StartError::EventName(event)) if event == name),
            "{name}"
        );
        let mounted = Server::new()
            .mount(Namespace::open("/a").on_concurrent(name, nothing))
            .into_service();
        assert!(matches!(mounted, Err(StartError::EventName(_))), "{name}");
    }
    let pattern = Namespace::pattern("/{a", async |_, _: String| Ok(()));
    let error = Server::new().mount(pattern).into_service().err().unwrap();
    assert_eq!(
        error.to_string(),
        r#"the pattern "/{a" of a namespace cannot be read: a { has no }"#
    );
}
