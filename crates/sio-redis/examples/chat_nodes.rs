//! The chat on several nodes: the same as the chat of sio-server, and a line that makes it a node of a
//! cluster.
//!
//! `REDIS_URL=redis://127.0.0.1 cargo xtask demo` runs it twice, on <http://127.0.0.1:5000> and
//! <http://127.0.0.1:5001>: pages of one talk with pages of the other.

#[path = "../../sio-server/examples/chat/chat.rs"]
mod chat;
#[path = "../../sio-server/examples/chat/lobby.rs"]
mod lobby;

use std::{collections::BTreeSet, env, sync::Arc, time::Duration};

use sio_redis::Redis;
use sio_server::{ClusterEvent, Io, StartError};
use tokio::sync::mpsc;

use crate::{chat::STATE, lobby::Lobby};

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1".into());
    let lobby = Arc::new(Lobby::default());
    let (missed, catch_up) = mpsc::unbounded_channel();
    let server = chat::server(Arc::clone(&lobby))
        .cluster(Redis::url(url))
        .on_cluster(move |event| {
            println!("{event:?}");
            if matches!(
                event,
                ClusterEvent::BrokerUp
                    | ClusterEvent::NodeJoined { .. }
                    | ClusterEvent::NodeLeft { .. }
            ) {
                let _ = missed.send(());
            }
        });
    tokio::spawn(follow(server.io(), lobby, catch_up));
    server.run().await
}

/// Asks the others what they know, at the beginning and whenever something may have been missed.
async fn follow(io: Io, lobby: Arc<Lobby>, mut missed: mpsc::UnboundedReceiver<()>) {
    while missed.recv().await.is_some() {
        let known = io
            .server_side_call(STATE, &())
            .timeout(Duration::from_secs(2));
        match known.await {
            Ok(known) => known
                .into_values()
                .into_iter()
                .for_each(|state| lobby.adopt(state)),
            Err(error) => eprintln!("the others cannot be asked: {error}"),
        }
        let fetched = io.everyone().fetch().await;
        if fetched.missing.is_nobody() {
            let sockets = fetched.sockets.into_iter().map(|socket| socket.id);
            lobby.keep_only(&sockets.collect::<BTreeSet<_>>());
        }
        chat::show_everything(&io, &lobby);
    }
}
