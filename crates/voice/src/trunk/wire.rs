//! The sockets of a trunk's signalling, and the requests that come in on them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rsipstack::dialog::dialog::Dialog;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::sip::{self, Auth, Host, Method, Param, Scheme, StatusCode, Uri};
use rsipstack::transaction::endpoint::{EndpointInnerRef, EndpointOption};
use rsipstack::transaction::{CallIdFormat, EndpointBuilder, Transaction, TransactionReceiver};
use rsipstack::transport::transport_layer::DomainResolver;
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{SipAddr, TlsConfig, TransportLayer};
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Transport, TrunkConfig, TrunkError, TrunkFault};

/// Where a trunk is, and from where we speak to it.
pub(crate) struct Wire {
    /// The address of ours that leads to the trunk.
    pub(crate) bind: IpAddr,
    transport: sip::Transport,
    remote: Remote,
    /// Two calls at once must not open two streams.
    dialling: tokio::sync::Mutex<()>,
}

/// The trunk's address; found anew now and then.
type Remote = Arc<Mutex<SocketAddr>>;

impl Wire {
    pub(super) async fn open(
        config: &TrunkConfig,
        closed: &CancellationToken,
    ) -> Result<(Self, EndpointInnerRef, TransactionReceiver), TrunkError> {
        let address = resolve(&config.host, config.port).await.map_err(TrunkError::Resolve)?;
        let bind = match config.bind {
            Some(bind) => bind,
            None => local_address(address).await.map_err(TrunkError::Bind)?,
        };
        let remote = Arc::new(Mutex::new(address));
        let transport = match &config.transport {
            Transport::Udp => sip::Transport::Udp,
            Transport::Tcp => sip::Transport::Tcp,
            Transport::Tls { .. } => sip::Transport::Tls,
        };
        let names = Names {
            ours: [config.host.clone(), config.domain.clone()],
            remote: Arc::clone(&remote),
            transport,
        };
        let layer = TransportLayer::new_with_domain_resolver(closed.clone(), Box::new(names));
        prepare(config, &layer, bind, closed).await?;

        let option = EndpointOption { callid_format: CallIdFormat::Uuid, ..Default::default() };
        let endpoint = EndpointBuilder::new()
            .with_cancel_token(closed.clone())
            .with_transport_layer(layer)
            .with_user_agent(&config.user_agent)
            .with_option(option)
            .build();
        let incoming = endpoint.incoming_transactions().map_err(signalling)?;
        let serving = Arc::clone(&endpoint.inner);
        tokio::spawn(async move { serving.serve().await });
        let wire = Self { bind, transport, remote, dialling: tokio::sync::Mutex::default() };
        Ok((wire, Arc::clone(&endpoint.inner), incoming))
    }

    /// Returns the trunk's address as signalling writes it.
    pub(crate) fn destination(&self) -> SipAddr {
        SipAddr::new(self.transport, self.address().into())
    }

    pub(super) fn address(&self) -> SocketAddr {
        *self.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure of a stream to the trunk and returns our address on it.
    ///
    /// The signalling would try without end and only say 408 after half a minute, so a refused
    /// stream or certificate is found out here.
    pub(crate) async fn connect(
        &self,
        endpoint: &EndpointInnerRef,
        wait: Duration,
    ) -> Result<SipAddr, TrunkFault> {
        let destination = self.destination();
        let dial = async {
            let _alone = self.dialling.lock().await;
            endpoint.transport_layer.lookup(&destination, None).await
        };
        match tokio::time::timeout(wait, dial).await {
            Ok(Ok((connection, _))) => Ok(connection.get_addr().clone()),
            Ok(Err(error)) => Err(TrunkFault::Connect(error.to_string())),
            Err(_) => Err(TrunkFault::Silent),
        }
    }

    /// Looks the trunk's name up again.
    pub(super) async fn refresh(&self, config: &TrunkConfig) {
        // The old address stays if there is no new one.
        if let Ok(found) = resolve(&config.host, config.port).await {
            *self.remote.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }

    /// Returns the Contact of our end, which names nobody.
    pub(crate) fn contact(&self, local: &SipAddr, public: Option<IpAddr>) -> Uri {
        let mut host_with_port = local.addr.clone();
        if let Some(public) = public {
            host_with_port.host = Host::IpAddr(public);
        }
        let is_stream = self.transport != sip::Transport::Udp;
        let params = is_stream.then_some(Param::Transport(self.transport)).into_iter().collect();
        Uri {
            scheme: Some(Scheme::Sip),
            auth: Some(Auth::from(CONTACT_USER)),
            host_with_port,
            params,
            ..Uri::default()
        }
    }
}

/// Binds the socket of UDP, or says what a stream trusts.
async fn prepare(
    config: &TrunkConfig,
    layer: &TransportLayer,
    bind: IpAddr,
    closed: &CancellationToken,
) -> Result<(), TrunkError> {
    match &config.transport {
        Transport::Udp => {
            let socket =
                UdpSocket::bind((bind, config.sip_port)).await.map_err(TrunkError::Bind)?;
            let port = socket.local_addr().map_err(TrunkError::Bind)?.port();
            let external = config.public_address.map(|public| SocketAddr::new(public, port));
            let token = Some(closed.child_token());
            let connection = UdpConnection::from_socket(Arc::new(socket), external, token)
                .await
                .map_err(signalling)?;
            layer.add_transport(connection.into());
        }
        Transport::Tcp => {}
        Transport::Tls { ca_file, server_name } => {
            // The signalling takes the provider of the whole process; one installed before stays.
            let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
            let path = ca_file.clone().unwrap_or_else(|| SYSTEM_CA_FILE.into());
            let certificates = tokio::task::spawn_blocking(move || std::fs::read(path))
                .await
                .map_err(io::Error::other)
                .flatten()
                .map_err(TrunkError::Certificates)?;
            layer.set_tls_config(TlsConfig {
                ca_certs: Some(certificates),
                sni_hostname: Some(server_name.clone().unwrap_or_else(|| config.host.clone())),
                ..TlsConfig::default()
            });
        }
    }
    Ok(())
}

/// Answers what comes in: requests of a call go to it, a ping is answered, nobody may call us.
pub(super) async fn take_requests(mut incoming: TransactionReceiver, dialogs: Arc<DialogLayer>) {
    let room = Arc::new(Semaphore::new(REQUESTS_MAX));
    while let Some(mut transaction) = incoming.recv().await {
        // In excess of this a request is dropped unanswered, and its sender repeats it.
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let dialog = dialogs.match_dialog(&transaction);
        tokio::spawn(async move {
            let _place = place;
            if let Some(Dialog::Invite(mut dialog)) = dialog {
                // What cannot be answered has been said to the other side.
                let _: Result<(), _> = dialog.handle(&mut transaction).await;
            } else {
                refuse(&mut transaction).await;
            }
        });
    }
}

async fn refuse(transaction: &mut Transaction) {
    let has_tag = sip::prelude::HeadersExt::to_header(&transaction.original)
        .is_ok_and(|to| to.tag().is_ok_and(|tag| tag.is_some()));
    let status = if has_tag {
        StatusCode::CallTransactionDoesNotExist
    } else if transaction.original.method == Method::Options {
        StatusCode::OK
    } else if transaction.original.method == Method::Invite {
        StatusCode::Forbidden
    } else {
        StatusCode::MethodNotAllowed
    };
    // A sender that is gone needs no answer.
    let _: Result<(), _> = transaction.reply(status).await;
}

/// Finds the trunk behind its own names, wherever it is, and others by asking the system.
struct Names {
    ours: [String; 2],
    remote: Remote,
    transport: sip::Transport,
}

impl DomainResolver for Names {
    fn resolve<'own, 'target, 'out>(
        &'own self,
        target: &'target SipAddr,
    ) -> Pin<Box<dyn Future<Output = rsipstack::Result<SipAddr>> + Send + 'out>>
    where
        'own: 'out,
        'target: 'out,
        Self: 'out,
    {
        Box::pin(async move {
            let name = target.addr.host.to_string();
            if self.ours.iter().any(|ours| ours.eq_ignore_ascii_case(&name)) {
                let remote = *self.remote.lock().unwrap_or_else(PoisonError::into_inner);
                return Ok(SipAddr::new(self.transport, remote.into()));
            }
            let transport = target.r#type.unwrap_or(self.transport);
            let port = target.addr.port.unwrap_or_else(|| transport.default_port());
            let found = resolve(&name, port.into()).await?;
            Ok(SipAddr::new(transport, found.into()))
        })
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let mut found = lookup_host((host, port)).await?;
    found.next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Asks the system from which of our addresses it would send there; nothing is sent.
async fn local_address(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(remote).await?;
    Ok(socket.local_addr()?.ip())
}

fn signalling(error: rsipstack::Error) -> TrunkError {
    TrunkError::Signalling(error.to_string())
}

/// The user of our Contact; the caller id is in From, where it belongs.
const CONTACT_USER: &str = "call";

/// Where Debian keeps the certificates that the system trusts.
const SYSTEM_CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A call has at most one open request of the other side, so this is as many calls as are usual.
const REQUESTS_MAX: usize = 2_000;
