//! The server that is measured, with the handlers of [`benches::serve`].
//!
//! Environment: `PORT` (3000), `THREADS` (unset: one per core), `ROAD`: `listen` (the server's own
//! listener), `service` (hyper), `axum`; `RECOVERY=1` for connection state recovery. With the feature `cluster`, `REDIS_URL` makes it a node of one,
//! and `ADAPTER` (`classic`, `sharded`, `streams`) says which.

use std::net::Ipv4Addr;

use axum::{Router, routing::get};
use http::{Request, Response, StatusCode};
use hyper::{body::Bytes, server::conn::http1};
use hyper_util::rt::TokioIo;
use sio_server::{Config, Recovery, Runtime, Server};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u16>());
    let port = number("PORT").transpose()?.unwrap_or(3000);
    let threads = number("THREADS").transpose()?.map(usize::from);
    let road = std::env::var("ROAD").unwrap_or_else(|_| "listen".to_owned());

    // The server's own listener starts its own threads; the other roads run on the caller's.
    let mut runtime = match (&*road, threads) {
        ("listen", _) | (_, Some(0 | 1)) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = threads {
        runtime.worker_threads(threads.max(1));
    }
    let server = server(threads);
    runtime.enable_all().build()?.block_on(async {
        match &*road {
            "listen" => listen(server, port).await,
            "service" => serve(server, port).await,
            "axum" => mount(server, port).await,
            _ => Err(format!("ROAD is {road:?}, which is none of listen, service, axum").into()),
        }
    })
}

fn server(threads: Option<usize>) -> Server {
    let mut config = Config::default();
    config.shards = threads.map(|threads| threads.max(1));
    config.recovery = std::env::var("RECOVERY").ok().map(|_| Recovery::default());
    let server = Server::new().config(config).runtime(Runtime::Sharded);
    benches::serve(among_nodes(server).fallback(page))
}

#[cfg(not(feature = "cluster"))]
fn among_nodes(server: Server) -> Server {
    server
}

#[cfg(feature = "cluster")]
fn among_nodes(server: Server) -> Server {
    use sio_redis::Redis;

    let Ok(url) = std::env::var("REDIS_URL") else {
        return server;
    };
    let redis = Redis::url(url);
    server.cluster(match std::env::var("ADAPTER").as_deref() {
        Ok("sharded") => redis.sharded(),
        Ok("streams") => redis.streams(),
        _ => redis,
    })
}

async fn listen(server: Server, port: u16) -> Result {
    let bound = server.bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on {}", bound.local_addr());
    Ok(bound.serve_until(terminated()).await?)
}

async fn serve(server: Server, port: u16) -> Result {
    let service = server.into_service()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let accept = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            _ = stream.set_nodelay(true);
            let service = service.clone();
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection.with_upgrades());
        }
    };
    tokio::select! {
        () = accept => {}
        () = terminated() => {}
    }
    Ok(())
}

/// What is not the server's.
async fn page(request: Request<()>) -> Response<Bytes> {
    let (status, body) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "ok"),
        _ => (StatusCode::NOT_FOUND, ""),
    };
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    response
}

async fn mount(server: Server, port: u16) -> Result {
    let app = Router::new()
        .route("/healthz", get(async || "ok"))
        .layer(server.layer()?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        _ = stream.set_nodelay(true);
    });
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        () = terminated() => {}
    }
    Ok(())
}

async fn terminated() {
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        terminate.recv().await;
    }
}
