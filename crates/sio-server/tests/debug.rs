//! Debug mode: who sees what fails in a handler, and that nobody does without it.

mod support;

use std::{fmt, fs};

use sio_server::{Ack, DebugMode, Failure, Namespace, Refuse, Server, StartError};
use support::{Got, House, Peer, Road, Ws, config, on_every_road};

/// An error that shows what caused it as those of `anyhow` do.
struct Chained;

impl fmt::Display for Chained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no tea")?;
        if f.alternate() {
            f.write_str(": the kettle is cold")?;
        }
        Ok(())
    }
}

fn failing(server: Server) -> Server {
    server.mount(
        Namespace::open("/failing")
            .on("panic", async |_, what: String| {
                tokio::task::yield_now().await;
                blow_up(&what)
            })
            .on("error", async |_, ()| Err::<(), _>(Chained))
            .on("number", async |_, number: u32| Ack(number))
            .on("refuse", async |_, ()| Err::<(), _>(Refuse::new("not you"))),
    )
}

/// The line of its panic is the second after its own.
#[inline(never)]
fn blow_up(what: &str) {
    panic!("{what} blew up");
}

const PANIC_LINE: u32 = line!() - 3;

/// The report in the next message, which has to be one.
async fn report(ws: &mut Ws) -> String {
    let Got::Text(text) = ws.next().await else {
        panic!("no report")
    };
    let arguments = text
        .strip_prefix("42/failing,")
        .unwrap_or_else(|| panic!("{text}"));
    let (event, report): (String, String) = serde_json::from_str(arguments).unwrap();
    assert_eq!(event, "debug:failure");
    report
}

on_every_road! {
    async fn a_panic_of_an_admission_is_the_datum_of_its_refusal(road: Road) {
        for (mode, shown) in [(DebugMode::Everywhere, true), (DebugMode::Off, false)] {
            let house = House::with(road, config(), |server| {
                let server = server.debug(mode);
                server
                    .mount(Namespace::<()>::new("/admission", async |_| {
                        tokio::task::yield_now().await;
                        blow_up("the admission");
                        Ok(())
                    }))
                    .mount(Namespace::open("/guard").guard(async |_| {
                        blow_up("the guard");
                        Ok(())
                    }))
            })
            .await;
            for (name, what) in [("/admission", "the admission"), ("/guard", "the guard")] {
                let mut ws = Ws::open(house.address).await;
                ws.text(&format!("40{name},")).await;
                let Got::Text(text) = ws.next().await else { panic!("no answer") };
                let answer = text.strip_prefix(&format!("44{name},")).expect("a refusal");
                let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
                assert_eq!(answer["message"], "Internal error");
                if shown {
                    let report = answer["data"].as_str().expect("a report").replace('\\', "/");
                    let head = format!("an admission panicked: {what} blew up\n  at ");
                    assert!(report.starts_with(&head), "{report}");
                    assert!(report.ends_with(&format!("tests/debug.rs:{PANIC_LINE}:5")), "{report}");
                } else {
                    assert!(answer.get("data").is_none(), "{answer}");
                }
                ws.leave().await;
            }
            house.is_unharmed().await;
        }
    }

    async fn what_fails_reaches_the_client_with_its_event_and_the_place_of_the_panic(road: Road) {
        let house = House::with(road, config(), |server| {
            failing(server.debug(DebugMode::Everywhere))
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        let sid = ws.join("/failing").await;
        ws.text(r#"42/failing,["panic","the kettle"]"#).await;
        let text = report(&mut ws).await;
        let head = "the handler of \"panic\" failed: the handler panicked: the kettle blew up\n  namespace /failing, socket ";
        assert!(text.starts_with(head), "{text}");
        let place = format!("tests/debug.rs:{PANIC_LINE}:5\n");
        let head: String = text.split_inclusive('\n').take(3).collect();
        assert!(head.replace('\\', "/").ends_with(&place), "{text}");
        assert!(head.contains(&sid), "{text}");
        // The stack begins where the application does, and ends where it does.
        let stack = &text[head.len()..];
        assert!(stack.lines().next().is_some_and(|frame| frame.contains("blow_up")), "{text}");
        assert!(!stack.contains("sio_server::panic"), "{text}");

        ws.text(r#"42/failing,1["error"]"#).await;
        let text = report(&mut ws).await;
        assert!(text.starts_with("the handler of \"error\" failed: no tea: the kettle is cold\n"), "{text}");
        ws.text(r#"42/failing,["number","one"]"#).await;
        let text = report(&mut ws).await;
        assert!(text.starts_with("the handler of \"number\" failed: the payload is not"), "{text}");
        ws.text(r#"42/failing,["numbr",1]"#).await;
        let text = report(&mut ws).await;
        assert!(text.starts_with("nothing handles the event \"numbr\"\n  namespace /failing, socket "), "{text}");
        // A refusal is told to the client anyway, if it asked for an ack.
        ws.text(r#"42/failing,2["refuse"]"#).await;
        ws.expect_text(r#"43/failing,2[{"message":"not you"}]"#).await;
        ws.text(r#"42/failing,["refuse"]"#).await;
        assert!(report(&mut ws).await.contains("not you"));
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn a_report_comes_before_the_answer_of_on_error_and_is_bounded(road: Road) {
        let house = House::with(road, config(), |server| {
            failing(server.debug(DebugMode::Everywhere))
                .on_error_default(async |failure: Failure| Ack(failure.event().to_owned()))
        })
        .await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/failing").await;
        ws.text(r#"42/failing,1["error"]"#).await;
        assert!(report(&mut ws).await.contains("no tea"));
        ws.expect_text(r#"43/failing,1["error"]"#).await;
        ws.text(&format!(r#"42/failing,2["panic","{}"]"#, "é".repeat(100_000))).await;
        let text = report(&mut ws).await;
        assert!(text.len() < 70_000 && text.ends_with(" … (cut off)"), "{}", text.len());
        ws.expect_text(r#"43/failing,2["panic"]"#).await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn without_debug_mode_a_client_learns_nothing(road: Road) {
        let house = House::with(road, config(), failing).await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/failing").await;
        for event in [r#"["panic","it"]"#, r#"["error"]"#, r#"["number","one"]"#, r#"["refuse"]"#, r#"["numbr"]"#] {
            ws.text(&format!("42/failing,{event}")).await;
        }
        ws.text(r#"42/failing,1["number",1]"#).await;
        ws.expect_text("43/failing,1[1]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn local_is_who_is_known_to_be_on_this_machine(road: Road) {
        let house = House::with(road, config(), |server| failing(server.debug(DebugMode::Local))).await;
        let mut ws = Ws::open(house.address).await;
        ws.join("/failing").await;
        ws.text(r#"42/failing,["error"]"#).await;
        // On the other roads nobody has said who the peer is.
        if road == Road::Own {
            assert!(report(&mut ws).await.contains("no tea"));
        }
        ws.text(r#"42/failing,1["number",1]"#).await;
        ws.expect_text("43/failing,1[1]").await;
        ws.leave().await;
        house.is_unharmed().await;
    }

    async fn the_client_that_is_served_prints_reports_in_debug_mode_alone(road: Road) {
        let folder = std::env::temp_dir().join(format!("sio-debug-{}-{road:?}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["socket.io.min.js", "socket.io.esm.min.js", "socket.io.min.js.map"] {
            fs::write(folder.join(name), "var io;").unwrap();
        }
        for (mode, printing) in [(DebugMode::Off, false), (DebugMode::Local, true)] {
            let mut config = config();
            config.client_files = Some(folder.clone());
            let house = House::with(road, config, |server| server.debug(mode)).await;
            for (name, may_print) in [
                ("socket.io.min.js", true),
                // A module is left alone, and so is a map.
                ("socket.io.esm.min.js", false),
                ("socket.io.min.js.map", false),
            ] {
                let mut peer = Peer::connect(house.address).await;
                let head = format!("GET /socket.io/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                peer.send(head).await;
                let body = peer.answer().await.body;
                assert!(body.starts_with("var io;"), "{body}");
                let prints = body.contains("console.error(args[1])");
                assert_eq!(prints, printing && may_print, "{mode:?} {name}");
            }
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[tokio::test]
async fn debug_mode_is_refused_where_others_can_reach_it_unless_it_is_meant() {
    let bind = async |mode, address: &str| Server::new().debug(mode).bind(address).await;
    for address in ["0.0.0.0:0", "[::]:0"] {
        let error = bind(DebugMode::Local, address).await.err().unwrap();
        let matches = matches!(error, StartError::DebugReachesOthers(_));
        assert!(matches, "{error}");
        assert!(error.to_string().contains("DebugMode::Everywhere"));
    }
    assert!(bind(DebugMode::Local, "127.0.0.1:0").await.is_ok());
    assert!(bind(DebugMode::Everywhere, "0.0.0.0:0").await.is_ok());
    assert!(bind(DebugMode::Off, "0.0.0.0:0").await.is_ok());
}
