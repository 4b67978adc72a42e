//! Whether a trunk is well: registration, pings, and what its calls came to.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rsipstack::dialog::registration::Registration;
use rsipstack::sip::{self, Header, Method, SipMessage, StatusCodeKind, Uri};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::{Transaction, make_tag};
use rsipstack::transport::SipAddr;
use tracing::{info, warn};

use super::Inner;

/// Whether a trunk can be given calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrunkState {
    /// Nothing has been heard of it yet.
    Unknown,
    /// It answered last time.
    Up,
    /// It did not, or it does not want us.
    Down(TrunkFault),
}

/// What is the matter with a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrunkFault {
    /// It does not answer.
    Silent,
    /// No stream to it can be opened, or its certificate is not trusted.
    Connect(String),
    /// It does not accept our credentials.
    CredentialsRefused,
    /// It wants credentials, and there are none.
    CredentialsWanted,
    /// It refuses our registration with this status.
    RegistrationRefused(u16),
    /// It answers a ping with this status.
    Failing(u16),
}

/// The last news of a trunk.
#[derive(Debug)]
pub(crate) struct Health {
    news: Mutex<News>,
}

#[derive(Debug)]
struct News {
    registration: Option<Result<(), TrunkFault>>,
    contact: Option<Result<(), TrunkFault>>,
    registers: bool,
    /// Whether a call got past its question who we are.
    let_in: bool,
}

impl Health {
    pub(super) fn new(registers: bool) -> Self {
        Self {
            news: Mutex::new(News { registration: None, contact: None, registers, let_in: false }),
        }
    }

    pub(super) fn state(&self) -> TrunkState {
        self.lock().state()
    }

    /// Takes news of a call or a ping.
    pub(crate) fn hear(&self, name: &str, contact: Result<(), TrunkFault>) {
        self.change(name, |news| news.contact = Some(contact));
    }

    /// Takes note that the trunk believes who we say we are.
    pub(crate) fn let_in(&self) {
        self.lock().let_in = true;
    }

    /// Returns whether it ever did.
    pub(crate) fn was_let_in(&self) -> bool {
        let news = self.lock();
        news.let_in || news.registration == Some(Ok(()))
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut News)) {
        let mut news = self.lock();
        let before = news.state();
        change(&mut news);
        let after = news.state();
        drop(news);
        match after {
            after if after == before => {}
            TrunkState::Down(fault) => warn!(link.name = name, "the trunk is down: {fault}"),
            TrunkState::Up => info!(link.name = name, "the trunk is up"),
            TrunkState::Unknown => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    fn state(&self) -> TrunkState {
        match (&self.registration, &self.contact) {
            (Some(Err(fault)), _) | (_, Some(Err(fault))) => TrunkState::Down(fault.clone()),
            (Some(Ok(())), _) => TrunkState::Up,
            (None, Some(Ok(()))) if !self.registers => TrunkState::Up,
            (None, _) => TrunkState::Unknown,
        }
    }
}

/// Begins to register and to ping, until the trunk is closed.
pub(super) fn watch(inner: &Arc<Inner>) {
    if let Some(every) = inner.config.ping_every {
        let inner = Arc::clone(inner);
        tokio::spawn(async move {
            tokio::select! {
                () = inner.is_closing() => {}
                () = keep_pinging(&inner, every) => {}
            }
        });
    }
    if let Some(time) = inner.config.register_for {
        let inner = Arc::clone(inner);
        tokio::spawn(async move {
            let mut registration =
                Registration::new(Arc::clone(&inner.endpoint), inner.credential());
            tokio::select! {
                () = inner.is_closing() => {}
                () = keep_registered(&inner, &mut registration, time) => {}
            }
            // A trunk that cannot be told forgets us by itself after a while.
            let _: Result<(), _> = register(&inner, &mut registration, Duration::ZERO).await;
        });
    }
}

async fn keep_pinging(inner: &Inner, every: Duration) {
    loop {
        let news = ping(inner).await;
        inner.health.hear(&inner.config.name, news);
        tokio::time::sleep(every).await;
        inner.wire.refresh(&inner.config).await;
    }
}

/// Asks the trunk for its options (RFC 3261 section 11); any answer that is not its fault will do.
async fn ping(inner: &Inner) -> Result<(), TrunkFault> {
    let wait = inner.config.answer_wait;
    let local = inner.wire.connect(&inner.endpoint, wait).await?;
    let exchange = async {
        let mut transaction = options(inner, &local)?;
        transaction.send().await?;
        while let Some(message) = transaction.receive().await {
            if let SipMessage::Response(response) = message
                && response.status_code.kind() != StatusCodeKind::Provisional
            {
                return Ok(Some(response.status_code));
            }
        }
        Ok::<_, rsipstack::Error>(None)
    };
    match tokio::time::timeout(wait, exchange).await {
        Ok(Ok(Some(status))) => match status.code() {
            // Said by our own side when it gives up.
            408 => Err(TrunkFault::Silent),
            code @ 500.. if code != NOT_IMPLEMENTED => Err(TrunkFault::Failing(code)),
            _ => Ok(()),
        },
        Ok(Ok(None)) | Err(_) => Err(TrunkFault::Silent),
        Ok(Err(error)) => Err(TrunkFault::Connect(error.to_string())),
    }
}

#[expect(clippy::result_large_err, reason = "the error is the signalling's")]
fn options(inner: &Inner, local: &SipAddr) -> rsipstack::Result<Transaction> {
    let domain = Uri::try_from(format!("sip:{}", inner.config.domain))?;
    let contact = inner.wire.contact(local, inner.config.public_address);
    let via = inner.endpoint.get_via(Some(local.clone()), None)?;
    let from = sip::typed::From { display_name: None, uri: contact.clone(), params: Vec::new() };
    let to = sip::typed::To { display_name: None, uri: domain.clone(), params: Vec::new() };
    let mut request = inner.endpoint.make_request(
        Method::Options,
        domain,
        via,
        from.with_tag(make_tag()),
        to,
        1,
        None,
    );
    let contact = sip::typed::Contact { display_name: None, uri: contact, params: Vec::new() };
    request.headers.push(contact.into());
    request.headers.push(Header::Accept("application/sdp".into()));
    let key = TransactionKey::from_request(&request, TransactionRole::Client)?;
    let mut transaction = Transaction::new_client(key, request, Arc::clone(&inner.endpoint), None);
    transaction.destination = Some(inner.wire.destination());
    Ok(transaction)
}

async fn keep_registered(inner: &Inner, registration: &mut Registration, time: Duration) {
    loop {
        let news = register(inner, registration, time).await;
        let wait = match news {
            // At half of the time a lost request can be repeated before it is too late.
            Ok(()) => {
                (Duration::from_secs(registration.expires().into()) / 2).max(REGISTER_AGAIN_MIN)
            }
            Err(_) => REGISTER_RETRY,
        };
        inner.health.change(&inner.config.name, |known| known.registration = Some(news));
        tokio::time::sleep(wait).await;
    }
}

/// Binds our contact to the user at the trunk for a time (RFC 3261 section 10); none unbinds it.
async fn register(
    inner: &Inner,
    registration: &mut Registration,
    time: Duration,
) -> Result<(), TrunkFault> {
    let local = inner.wire.connect(&inner.endpoint, inner.config.answer_wait).await?;
    let contact = inner.wire.contact(&local, inner.config.public_address);
    let transport = match local.r#type {
        Some(stream @ (sip::Transport::Tcp | sip::Transport::Tls)) => {
            format!(";transport={}", stream.to_string().to_ascii_lowercase())
        }
        _ => String::new(),
    };
    let registrar = Uri::try_from(format!("sip:{}{transport}", inner.config.domain))
        .map_err(|error| TrunkFault::Connect(error.to_string()))?;
    registration.contact =
        Some(sip::typed::Contact { display_name: None, uri: contact, params: Vec::new() });
    registration.outbound_proxy = Some(inner.wire.address());
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    // Twice: the first answer is the challenge.
    let wait = inner.config.answer_wait * 2;
    match tokio::time::timeout(wait, registration.register(registrar, Some(seconds))).await {
        Ok(Ok(response)) => match response.status_code.code() {
            200 => Ok(()),
            401 | 403 | 407 => Err(TrunkFault::CredentialsRefused),
            other => Err(TrunkFault::RegistrationRefused(other)),
        },
        Ok(Err(error)) => Err(TrunkFault::Connect(error.to_string())),
        Err(_) => Err(TrunkFault::Silent),
    }
}

impl fmt::Display for TrunkFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => formatter.write_str("it does not answer"),
            Self::Connect(error) => write!(formatter, "it cannot be connected to: {error}"),
            Self::CredentialsRefused => formatter.write_str("it refuses our credentials"),
            Self::CredentialsWanted => formatter.write_str("it wants a user and a password"),
            Self::RegistrationRefused(status) => {
                write!(formatter, "it refuses our registration with {status}")
            }
            Self::Failing(status) => write!(formatter, "it answers a ping with {status}"),
        }
    }
}

/// A trunk that does not know OPTIONS is there all the same.
const NOT_IMPLEMENTED: u16 = 501;

/// A registration that failed is tried again after this; wrong credentials are not a busy loop.
const REGISTER_RETRY: Duration = Duration::from_secs(30);

/// A trunk that grants next to nothing is not flooded.
const REGISTER_AGAIN_MIN: Duration = Duration::from_secs(10);
