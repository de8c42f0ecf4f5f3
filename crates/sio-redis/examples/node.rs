//! A node that does what its clients order, for the tests of mixed clusters: `tests/mixed`.
//!
//! ```text
//! REDIS_URL=redis://127.0.0.1 ADAPTER=streams PYTHON_CHANNEL=flask-socketio PORT=5001 cargo run --example node
//! ```

use std::{env, io, sync::Mutex, time::Duration};

use serde::Deserialize;
use sio_redis::Redis;
use sio_server::{
    Ack, Arguments, ClusterEvent, Config, Elsewhere, Io, Ordered, Recovery, Server, Target, Value,
    sio_packet::Object,
};

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

/// What happened between this node and the others, a word each.
static EVENTS: Mutex<Vec<Value>> = Mutex::new(Vec::new());

/// What other nodes have had written down here.
static NOTES: Mutex<Vec<Value>> = Mutex::new(Vec::new());

#[tokio::main]
async fn main() -> io::Result<()> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1".into());
    let mut redis = Redis::url(url).census(Duration::from_millis(100));
    #[cfg(feature = "tls")]
    if let Ok(file) = env::var("REDIS_CA") {
        redis = redis.ca(std::fs::read(file)?);
    }
    redis = match env::var("ADAPTER").as_deref() {
        Ok("sharded") => redis.sharded(),
        Ok("streams") => redis.streams(),
        _ => redis,
    };
    if let Ok(channel) = env::var("PYTHON_CHANNEL") {
        redis = redis.python(channel);
    }
    if let Ok(bytes) = env::var("BACKLOG") {
        redis = redis.backlog(bytes.parse().expect("a number of bytes"));
    }
    if env::var("STRICT_ORDER").is_ok() {
        redis = redis.strict_order();
    }
    let mut config = Config::default();
    if let (Ok(host), Ok(port)) = (env::var("REACHED_AT"), env::var("PORT")) {
        config.reached_at = Some(format!("{host}:{port}"));
    }
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
        .on_cluster(|event| {
            let word = match event {
                ClusterEvent::BrokerDown { .. } => "down",
                ClusterEvent::BrokerUp => "up",
                ClusterEvent::Gap { .. } => "gap",
                ClusterEvent::Lost { .. } => "lost",
                ClusterEvent::NodeJoined { .. } => "joined",
                ClusterEvent::NodeLeft { .. } => "left",
                _ => "skipped",
            };
            EVENTS.lock().unwrap().push(word.into());
        })
        // From other nodes: a question, something to write down, and two that come to nothing.
        .on_server_side("hello", async |_io, Arguments(args)| {
            let mut answer = Object::new();
            answer.push("by", "ours");
            answer.push("heard", args);
            Ack(Value::Object(answer))
        })
        .on_server_side("note", async |_io, Arguments(args)| {
            NOTES.lock().unwrap().extend(args);
        })
        .on_server_side("number", async |_io, ()| Ack(7))
        .on_server_side("fail", async |_io, ()| {
            if true {
                panic!("as it was told to");
            }
        })
        .run()
        .await?;
    Ok(())
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
        "disconnect" if order.close => settle(&mut result, target.disconnect_connections()).await,
        "disconnect" => settle(&mut result, target.disconnect()).await,
        "emit" => {
            let sent = target.emit(&*order.event, &Arguments(order.args));
            result.push("heard", sent.elsewhere != Elsewhere::Refused);
        }
        "emit-within" => {
            let max = Duration::from_millis(order.timeout);
            let sent = target.emit_within(max, &*order.event, &Arguments(order.args));
            match sent.await {
                Ok(_) => result.push("sent", true),
                Err(error) => result.push("refused", error.to_string()),
            }
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
        "events" => result.push("events", EVENTS.lock().unwrap().clone()),
        "join" => settle(&mut result, target.join(&order.rooms)).await,
        "leave" => settle(&mut result, target.leave(&order.rooms)).await,
        "notes" => result.push("notes", NOTES.lock().unwrap().clone()),
        "population" => {
            let population = match order.rooms.first() {
                Some(room) => io.room_population(room),
                None => io.population(),
            };
            result.push("here", population.here);
            result.push("total", population.total());
            result.push("uncounted", names(&population.uncounted));
        }
        "server-side-call" => {
            let call = io.server_side_call::<_, _, Value>(&*order.event, &Arguments(order.args));
            let answers = call.timeout(Duration::from_millis(order.timeout)).await;
            if let Ok(answers) = answers {
                result.push("declined", answers.declined.len());
                result.push("missing", names(&answers.missing.nodes));
                result.push("missingNodes", answers.missing.unnamed);
                result.push("answers", answers.into_values());
            }
        }
        "server-side-emit" => io.server_side_emit(&*order.event, &Arguments(order.args)),
        "status" => {
            let status = io.cluster().unwrap_or_default();
            result.push("up", status.up);
            result.push("gaps", status.gaps);
            result.push("lost", status.lost);
            result.push("refused", status.refused);
            result.push("name", status.name);
            result.push("peers", names(&status.peers));
        }
        other => result.push("error", format!("nothing is known of {other}")),
    }
    result.into()
}

/// Waits until all nodes have done it.
async fn settle(result: &mut Object, ordered: Ordered) {
    let missing = ordered.await;
    result.push("missing", names(&missing.nodes));
    result.push("settled", missing.is_nobody());
}

fn names(names: &[String]) -> Vec<Value> {
    names
        .iter()
        .map(|name| Value::from(name.as_str()))
        .collect()
}
