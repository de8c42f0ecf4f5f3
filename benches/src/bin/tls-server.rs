//! The bench server with TLS on its own listener, by rustls with ring, on one shard.
//!
//! `PORT` says where on the loopback interface. The certificate is made at the start, for `localhost`, and
//! left as DER in the file that `CERTIFICATE` names.

use std::{env, fs, net::Ipv4Addr, sync::Arc};

use sio_server::{Config, Runtime, Server, rustls::ServerConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(env::var("CERTIFICATE")?, own.cert.der())?;
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], own.signing_key.into())?;
    let mut config = Config::default();
    config.shards = Some(1);
    let server = Server::new().config(config).runtime(Runtime::Sharded);
    let port = env::var("PORT")?.parse::<u16>()?;
    let bound = benches::serve(server.tls(Arc::new(tls)))
        .bind((Ipv4Addr::LOCALHOST, port))
        .await?;
    println!("listening on {}", bound.local_addr());
    Ok(bound.serve().await?)
}
