//! Connects to HTTP servers: finds their addresses, opens TCP, then TLS if asked to.

use std::error::Error;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Scheme;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::lenient::Lenient;
use crate::webhooks::destination::Resolver;

/// Opens connections for the HTTP client.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
    time_max: Duration,
}

impl Connector {
    /// Builds a connector that gives up after `time_max`, TLS included. It trusts `authorities`, or
    /// the host's if there are none; on a host without root certificates it trusts nobody.
    ///
    /// # Errors
    ///
    /// Fails if the provider knows no version of TLS that is safe.
    pub(crate) fn new(
        time_max: Duration,
        allow_private: bool,
        authorities: Option<RootCertStore>,
    ) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver { allow_private });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared among the addresses of a host, so that a dead one leaves time for the others.
        tcp.set_connect_timeout(Some(time_max));
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let trusting = match authorities {
            Some(authorities) => builder.with_root_certificates(authorities),
            None => builder.clone().with_platform_verifier().unwrap_or_else(|error| {
                tracing::warn!(%error, "this host has no root certificates: only http works");
                builder.with_root_certificates(RootCertStore::empty())
            }),
        };
        let mut tls = trusting.with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tcp, tls: TlsConnector::from(Arc::new(tls)), time_max })
    }

    async fn connect(mut self, receiver: Uri) -> Result<Stream, ConnectFailure> {
        let host = receiver.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(host.to_owned());
        let secure = receiver.scheme() == Some(&Scheme::HTTPS);
        let stream = self.tcp.call(receiver).await?.into_inner();
        Ok(if secure {
            Stream::Secure(Box::new(self.tls.connect(name?, stream).await?))
        } else {
            Stream::Plain(Lenient::new(stream))
        })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, receiver: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.time_max, self.clone().connect(receiver));
        Box::pin(async move {
            let connected =
                connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            connected.map(TokioIo::new)
        })
    }
}

/// Why there is no connection; the sender looks for what it knows in the chain of sources.
type ConnectFailure = Box<dyn Error + Send + Sync>;

/// A connection with a receiver.
pub(crate) enum Stream {
    /// Plain TCP, for `http`.
    Plain(Lenient<TcpStream>),
    /// TLS, for `https`. It tells a cut connection from an ended one, so it stays strict.
    Secure(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secure(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Secure(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Secure(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Secure(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
