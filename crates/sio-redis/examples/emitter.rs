//! Emits what it is told line by line, and prints how many have heard it: a process that is no server,
//! for the tests of mixed clusters in `tests/mixed`, and for a shell.
//!
//! ```text
//! echo '{"order":"emit","to":["lobby"],"event":"news","args":["the doors are open"]}' |
//!     REDIS_URL=redis://127.0.0.1 cargo run --example emitter
//! ```

use std::{env, error::Error, io};

use serde::Deserialize;
use sio_packet::{Arguments, Value};
use sio_redis::{Audience, EmitError, Emitter, Redis};

/// What is to be done.
#[derive(Deserialize)]
struct Order {
    order: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    room: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    args: Vec<serde_json::Value>,
    /// Bytes as a last argument.
    #[serde(default)]
    bytes: Option<Vec<u8>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
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
    let emitter = Emitter::new(&redis)?;
    for line in io::stdin().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        match obey(&emitter, order).await {
            Ok(hearers) => println!("{hearers}"),
            Err(error) => println!("error: {error}"),
        }
    }
    Ok(())
}

async fn obey(emitter: &Emitter, order: Order) -> Result<u64, EmitError> {
    let emitter = emitter.of(&order.namespace);
    let mut audience: Audience = emitter.everyone();
    for room in &order.to {
        audience = audience.to(room);
    }
    for room in &order.except {
        audience = audience.except(room);
    }
    let mut args: Vec<Value> = order.args.into_iter().map(Value::from).collect();
    args.extend(order.bytes.map(|bytes| Value::Binary(bytes.into())));
    let args = Arguments(args);
    match &*order.order {
        "disconnect" => audience.disconnect().await,
        "join" => audience.join(&order.room).await,
        "leave" => audience.leave(&order.room).await,
        "server-side-emit" => emitter.server_side_emit(&order.event, &args).await,
        _ => audience.emit(&order.event, &args).await,
    }
}
