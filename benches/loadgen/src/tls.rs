//! TLS around a connection, for servers that end it themselves.
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{Read, Write};
use std::sync::Arc;

/// What every connection has in common: the server's own certificate is believed, and no other.
pub fn config(certificate: &str) -> Arc<ClientConfig> {
    let der = std::fs::read(certificate).expect("the certificate of --tls can be read");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(der))
        .expect("--tls names a certificate in DER");
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

pub struct Tls(Box<ClientConnection>);

impl Tls {
    pub fn new(config: &Arc<ClientConfig>) -> Tls {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut c = ClientConnection::new(config.clone(), name).expect("a client");
        c.set_buffer_limit(None);
        Tls(Box::new(c))
    }

    /// Takes what is to be said out of `plain`; what goes over the wire is appended to `out`.
    pub fn seal(&mut self, plain: &mut Vec<u8>, out: &mut Vec<u8>) {
        self.0.writer().write_all(plain).expect("there is no limit");
        plain.clear();
        while self.0.wants_write() {
            self.0.write_tls(out).expect("a vector takes everything");
        }
    }

    /// What was said in what came over the wire.
    pub fn open(&mut self, mut wire: &[u8], plain: &mut Vec<u8>) -> Result<(), &'static str> {
        while !wire.is_empty() {
            self.0.read_tls(&mut wire).map_err(|_| "TLS: too much")?;
            let state = self.0.process_new_packets().map_err(|_| "TLS")?;
            let n = plain.len();
            plain.resize(n + state.plaintext_bytes_to_read(), 0);
            self.0
                .reader()
                .read_exact(&mut plain[n..])
                .map_err(|_| "TLS: less than promised")?;
        }
        Ok(())
    }

    pub fn wants_write(&self) -> bool {
        self.0.wants_write()
    }
}
