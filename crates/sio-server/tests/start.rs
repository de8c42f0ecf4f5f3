//! What keeps a server from starting is said in a sentence, also where `main` returns it.

use std::io::{self, ErrorKind};

use sio_server::{Config, Namespace, Server, StartError};

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
        on_shards(count).bind(address).await.unwrap();
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
