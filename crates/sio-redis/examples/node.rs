//! A node that does what its clients order, for the tests of mixed clusters: `tests/mixed`.
//!
//! ```text
//! REDIS_URL=redis://127.0.0.1 ADAPTER=streams PYTHON_CHANNEL=flask-socketio PORT=5001 cargo run --example node
//! ```

use std::{env, io, time::Duration};

use serde::Deserialize;
use sio_redis::Redis;
use sio_server::{Ack, Arguments, Config, Io, Recovery, Server, Target, Value, sio_packet::Object};

/// What a client orders.
#[derive(Deserialize)]
struct Order {
    order: String,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    rooms: Vec<String>,
    #[serde(default)]
    local: bool,
    #[serde(default)]
    close: bool,
    #[serde(default)]
    event: String,
    #[serde(default)]
    args: Vec<Value>,
    #[serde(default)]
    timeout: u64,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1".into());
    let mut redis = Redis::url(url);
    redis = match env::var("ADAPTER").as_deref() {
        Ok("sharded") => redis.sharded(),
        Ok("streams") => redis.streams(),
        _ => redis,
    };
    if let Ok(channel) = env::var("PYTHON_CHANNEL") {
        redis = redis.python(channel);
    }
    let mut config = Config::default();
    config.recovery = env::var("RECOVERY").ok().map(|_| Recovery::default());
    Server::new()
        .config(config)
        .cluster(redis)
        .on("join", async |socket, room: String| {
            socket.join(&room);
            Ack(true)
        })
        .on("do", async |socket, order: Order| {
            Ack(obey(socket.io(), order).await)
        })
        .run()
        .await
}

async fn obey(io: Io, order: Order) -> Value {
    let mut target: Target = io.everyone().to(&order.to).except(&order.except);
    if order.local {
        target = target.local();
    }
    let mut result = Object::new();
    match &*order.order {
        "call" => {
            let calls = target.call(&*order.event, &Arguments(order.args));
            let calls = calls.timeout(Duration::from_millis(order.timeout));
            let answers = calls.await;
            if let Ok(answers) = answers {
                let silent = answers.missing.len() + answers.elsewhere.acks as usize;
                let nodes = answers.elsewhere.nodes.len() + answers.elsewhere.unnamed;
                result.push("missing", silent);
                result.push("missingNodes", nodes);
                result.push("answers", answers.into_values());
            }
        }
        "disconnect" if order.close => target.disconnect_connections(),
        "disconnect" => target.disconnect(),
        "emit" => {
            target.emit(&*order.event, &Arguments(order.args));
        }
        "fetch" => {
            let fetched = target.fetch().await;
            let ids: Vec<Value> = fetched
                .sockets
                .into_iter()
                .map(|socket| socket.id.into())
                .collect();
            result.push("sockets", ids);
            result.push(
                "missingNodes",
                fetched.missing.nodes.len() + fetched.missing.unnamed,
            );
        }
        "join" => target.join(&order.rooms),
        "leave" => target.leave(&order.rooms),
        "status" => {
            let status = io.cluster().unwrap_or_default();
            result.push("up", status.up);
            result.push("gaps", status.gaps);
            result.push("lost", status.lost);
            result.push("refused", status.refused);
            let peers: Vec<Value> = status.peers.into_iter().map(Value::from).collect();
            result.push("peers", peers);
        }
        other => result.push("error", format!("nothing is known of {other}")),
    }
    result.into()
}
