//! What keeps a server from starting is said in a sentence, also where `main` returns it.

use std::{
    env,
    io::{self, ErrorKind},
    process::Command,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use sio_server::{Config, DebugMode, Namespace, Server, StartError};
use tower::ServiceExt;

fn on_shards(count: usize) -> Server {
    let mut config = Config::default();
    config.shards = Some(count);
    Server::new().config(config)
}

#[tokio::test]
async fn a_port_that_somebody_listens_on_is_refused_by_name_and_never_shared() {
    for count in [1, 2] {
        let first = on_shards(count).bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr();
        let error = on_shards(count).bind(address).await.err().unwrap();
        let sentence = format!("{address} cannot be listened on: ");
        assert!(format!("{error:?}").starts_with(&sentence), "{error:?}");
        assert_eq!(io::Error::from(error).kind(), ErrorKind::AddrInUse);
        drop(first);
    }
}

#[tokio::test]
async fn a_port_that_was_let_go_of_can_be_listened_on_at_once() {
    for count in [1, 2] {
        // A port that nobody has is anybody's: now and then another program is quicker.
        let mut tries = 0;
        loop {
            let first = on_shards(count).bind("127.0.0.1:0").await.unwrap();
            let address = first.local_addr();
            drop(first);
            match on_shards(count).bind(address).await {
                Ok(_) => break,
                Err(error) => assert!(tries < 10, "{error}"),
            }
            tries += 1;
        }
    }
}

#[tokio::test]
async fn a_main_that_returns_why_it_did_not_start_prints_a_sentence() {
    let twice = || {
        Server::new()
            .mount(Namespace::open("/a"))
            .mount(Namespace::open("/a"))
    };
    let error: StartError = twice().into_service().err().unwrap();
    assert_eq!(format!("{error:?}"), "two namespaces are called /a");
    let error = twice().bind("127.0.0.1:0").await.err().unwrap();
    assert_eq!(format!("{error:?}"), "two namespaces are called /a");
    let error = twice().listen("127.0.0.1:0").await.err().unwrap();
    assert_eq!(io::Error::from(error).kind(), ErrorKind::InvalidInput);
    let error = Server::new().listen("127.0.0.1:none").await.err().unwrap();
    assert_eq!(
        format!("{error:?}"),
        "the address cannot be looked up: invalid port value"
    );
}

#[tokio::test]
async fn what_a_variable_gets_wrong_is_said_with_what_it_says() -> Result<(), StartError> {
    /// Set for this test played once more, in an environment of its own.
    const AGAIN: &str = "SIO_TEST_AGAIN";
    if env::var_os(AGAIN).is_some() {
        return Server::new().run().await;
    }
    for (name, value, sentence) in [
        ("PORT", "70000", r#"PORT is "70000", which is not a port"#),
        (
            "HOST",
            "no host",
            r#"HOST is "no host", which cannot be looked up: "#,
        ),
        (
            "SIO_DEBUG",
            "yes",
            r#"SIO_DEBUG is "yes", which is neither 0 nor 1"#,
        ),
    ] {
        let mut run = Command::new(env::current_exe().unwrap());
        run.args([
            "--exact",
            "--nocapture",
            "what_a_variable_gets_wrong_is_said_with_what_it_says",
        ]);
        for variable in ["HOST", "PORT", "SIO_DEBUG"] {
            run.env_remove(variable);
        }
        let output = run.env(AGAIN, "1").env(name, value).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(said.contains(&format!("Error: {sentence}")), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_served_a_developer_reads_what_could_be() {
    for (debug, path, said) in [
        (DebugMode::Off, "/", ""),
        (DebugMode::Local, "/", "Server::page"),
        (
            DebugMode::Off,
            "/socket.io/socket.io.js",
            "Config::client_files",
        ),
    ] {
        let service = Server::new().debug(debug).into_service().unwrap();
        let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
        let answer = service.oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(body.is_empty(), said.is_empty(), "{body}");
        assert!(body.contains(said), "{body}");
    }
}
