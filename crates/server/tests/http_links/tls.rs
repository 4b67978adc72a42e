//! A carrier that speaks TLS with a certificate that no public authority has signed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Answers every request with the same bytes, for as long as the test runs.
pub(crate) struct TlsCarrier {
    pub(crate) url: String,
    pub(crate) certificate: PathBuf,
}

impl TlsCarrier {
    pub(crate) async fn start(dir: &Path, answer: String) -> Self {
        let (certificate, key) = make_certificate(dir);
        let chain = CertificateDer::pem_file_iter(&certificate).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                chain.map(Result::unwrap).collect(),
                PrivateKeyDer::from_pem_file(&key).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // A client that trusts nobody like this goes away here.
                let Ok(mut stream) = acceptor.accept(socket).await else { continue };
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") && stream.read_buf(&mut seen).await.unwrap() > 0
                {
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, certificate }
    }
}

/// Makes a certificate for `localhost`, which is its own authority, and its key.
fn make_certificate(dir: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
    let config = dir.join("openssl.cnf");
    std::fs::write(&config, OPENSSL).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-config"])
        .arg(&config)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

const OPENSSL: &str = "[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=ext\n\
    [dn]\nCN=localhost\n[ext]\nsubjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n";
