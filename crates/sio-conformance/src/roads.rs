//! The three roads by which requests come to the server: its own listener, a hyper service, a
//! layer in an axum router.

use std::{future::Future, io};

use axum::{Router, routing::get};
use hyper_util::rt::{TokioIo, TokioTimer};
use sio_server::Server;
use tokio::net::TcpListener;

use crate::settings::{Road, Settings};

pub(crate) async fn serve(server: Server, settings: &Settings) -> io::Result<()> {
    let address = ("127.0.0.1", settings.port);
    match settings.road {
        Road::Listen => {
            let bound = server.bind(address).await?;
            println!("listening on {}", bound.local_addr());
            bound.serve_until(terminated()).await?;
            Ok(())
        }
        Road::Service => {
            let service = server.into_service()?;
            let listener = TcpListener::bind(address).await?;
            println!("listening on {}", listener.local_addr()?);
            let accept = async {
                loop {
                    let Ok((stream, _)) = listener.accept().await else {
                        continue;
                    };
                    let _ = stream.set_nodelay(true);
                    let http = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service.clone())
                        .with_upgrades();
                    tokio::spawn(async move {
                        let _ = http.await;
                    });
                }
            };
            until(accept, terminated()).await;
            Ok(())
        }
        Road::Axum => {
            let router = Router::new().route("/healthz", get(async || "ok"));
            #[cfg(feature = "ws-echo")]
            let router = match settings.ws_echo {
                Some(deflate) => router.route(
                    crate::ws_echo::PATH,
                    get(async move |request| crate::ws_echo::answer(request, deflate)),
                ),
                None => router,
            };
            let router = router.layer(server.layer()?);
            let listener = TcpListener::bind(address).await?;
            println!("listening on {}", listener.local_addr()?);
            let serve = axum::serve(listener, router);
            until(
                async { serve.await.expect("axum serves for ever") },
                terminated(),
            )
            .await;
            Ok(())
        }
    }
}

async fn until(work: impl Future<Output = ()>, end: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = end => {}
    }
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be waited for");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
