//! TLS on the server's own listener, with a certificate made on the spot.
//!
//! ```sh
//! cargo run --example tls --features tls   # then: io("https://localhost:5000", { rejectUnauthorized: false })
//! ```

use std::{error::Error, sync::Arc};

use sio_server::{Ack, Handshake, Namespace, Server, rustls};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], own.signing_key.into())?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];

    let root = Namespace::new("/", async |hello: Handshake| Ok(hello.is_secure()))
        .on("secure?", async |socket, ()| Ack(*socket.data()));
    Server::new().mount(root).tls(Arc::new(tls)).run().await?;
    Ok(())
}
