//! Opens connections to SMSCs: TCP, then TLS if it is asked for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::channels::trust::authorities;
use crate::config::{SmscAddress, TlsConfig};

/// Opens the connections of one link.
pub(super) struct Connector {
    tls: Option<(TlsConnector, Option<String>)>,
    time_max: Duration,
}

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connector {
    /// Reads the certificates that are trusted; a connection may take `time_max`, TLS included.
    ///
    /// # Errors
    /// What is wrong with the certificates, for the operator.
    pub(super) fn new(tls: Option<&TlsConfig>, time_max: Duration) -> Result<Self, String> {
        let Some(tls) = tls else { return Ok(Self { tls: None, time_max }) };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("set TLS up: {error}"))?;
        let trusting = match &tls.ca_file {
            Some(path) => builder.with_root_certificates(authorities(path)?),
            None => builder
                .with_platform_verifier()
                .map_err(|error| format!("find this machine's certificates: {error}"))?,
        };
        let connector = TlsConnector::from(Arc::new(trusting.with_no_client_auth()));
        Ok(Self { tls: Some((connector, tls.server_name.clone())), time_max })
    }

    /// Connects to an SMSC.
    ///
    /// # Errors
    /// Why it cannot be reached, or is not the one it should be.
    pub(super) async fn connect(&self, to: &SmscAddress) -> io::Result<Box<dyn Stream>> {
        let connected = tokio::time::timeout(self.time_max, self.open(to)).await;
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn open(&self, to: &SmscAddress) -> io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect((to.host.as_str(), to.port)).await?;
        tcp.set_nodelay(true)?;
        let Some((connector, name)) = &self.tls else { return Ok(Box::new(tcp)) };
        let name = name.clone().unwrap_or_else(|| to.host.clone());
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        Ok(Box::new(connector.connect(name, tcp).await?))
    }
}
