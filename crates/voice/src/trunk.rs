//! A SIP trunk: one carrier's address, its limits, and whether it is well.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rsipstack::dialog::authenticate::Credential;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::transaction::endpoint::EndpointInnerRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFuture};

use crate::call::{self, CallEvent, CallRequest};
use crate::outcome::CallRecord;
use crate::pacer::{Pacer, PacerConfig, PacerFigures, StreamSeed};
use wire::Wire;

pub use health::{TrunkFault, TrunkState};

mod health;
mod wire;

/// What an operator says about a trunk.
#[derive(Debug, Clone)]
pub struct TrunkConfig {
    /// What the trunk is called in logs.
    pub name: String,
    /// The name or address that packets go to.
    pub host: String,
    /// The port that packets go to.
    pub port: u16,
    /// The domain in our URIs; most trunks want their host's name here.
    pub domain: String,
    /// How packets go there.
    pub transport: Transport,
    /// What we answer a challenge (401 and 407) with.
    pub credentials: Option<Credentials>,
    /// Registers with the trunk for this long at a time, and again at half of what is granted.
    pub register_for: Option<Duration>,
    /// The address that sockets are bound to; by default the one that routes to the trunk.
    pub bind: Option<IpAddr>,
    /// The UDP port of signalling; 0 takes any.
    pub sip_port: u16,
    /// The address that the other side is told, if it is not the bound one.
    pub public_address: Option<IpAddr>,
    /// The UDP ports of audio.
    pub rtp_ports: RangeInclusive<u16>,
    /// Sends audio to where audio comes from, if it is not where the description says.
    pub symmetric_rtp: bool,
    /// How many calls there may be at once.
    pub channels_max: usize,
    /// How many calls may begin in a second; they are spread evenly over it.
    pub calls_per_second_max: u32,
    /// The trunk is unreachable if it says nothing for this long.
    pub answer_wait: Duration,
    /// A trunk that took a call has this long to get it to a phone, from the INVITE on.
    pub post_dial_wait: Duration,
    /// A call is hung up after this long from its answer.
    pub call_length_max: Duration,
    /// How often the trunk is asked whether it is well (OPTIONS); never if absent.
    pub ping_every: Option<Duration>,
    /// Tells the caller id in P-Asserted-Identity (RFC 3325) as well as in From.
    pub asserted_identity: bool,
    /// Offers reliable provisional answers (RFC 3262).
    pub reliable_provisionals: bool,
    /// How we call ourselves.
    pub user_agent: String,
}

/// How signalling goes to a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// An encrypted stream.
    Tls {
        /// The certificates that the trunk's one must descend from, as PEM; else the system's.
        ca_file: Option<PathBuf>,
        /// The name in the trunk's certificate, if it is not the host.
        server_name: Option<String>,
    },
}

/// A user name and password for digest authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Why a trunk could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TrunkError {
    /// The host's name has no address now.
    #[error("resolve the host of the trunk")]
    Resolve(#[source] io::Error),
    /// No socket of our own could be bound.
    #[error("bind the sockets of the trunk")]
    Bind(#[source] io::Error),
    /// The signalling could not be set up.
    #[error("set up the signalling of the trunk: {0}")]
    Signalling(String),
    /// The file with certificates cannot be read.
    #[error("read the certificates that the trunk is checked with")]
    Certificates(#[source] io::Error),
    /// A setting makes no sense.
    #[error("use the trunk's settings: {0}")]
    Setting(&'static str),
}

/// An open trunk; dropping it hangs up its calls, and then closes its sockets.
#[derive(Debug)]
pub struct Trunk {
    inner: Arc<Inner>,
}

/// What the trunk's calls and its watch share.
pub(crate) struct Inner {
    pub(crate) config: TrunkConfig,
    pub(crate) wire: Wire,
    pub(crate) endpoint: EndpointInnerRef,
    pub(crate) dialogs: Arc<DialogLayer>,
    pub(crate) pacer: Pacer,
    pub(crate) health: health::Health,
    channels: Arc<Semaphore>,
    next_turn: Mutex<Option<Instant>>,
    closing: CancellationToken,
    /// Closes the sockets once the last call has said its BYE over them.
    _wire_closes: DropGuard,
}

impl TrunkConfig {
    /// Makes a configuration with the default of everything that has one.
    pub fn new(name: &str, host: &str, port: u16) -> Self {
        Self {
            name: name.to_owned(),
            host: host.to_owned(),
            port,
            domain: host.to_owned(),
            transport: Transport::Udp,
            credentials: None,
            register_for: None,
            bind: None,
            sip_port: 0,
            public_address: None,
            rtp_ports: RTP_PORTS,
            symmetric_rtp: true,
            channels_max: CHANNELS_MAX,
            calls_per_second_max: CALLS_PER_SECOND_MAX,
            answer_wait: ANSWER_WAIT,
            post_dial_wait: POST_DIAL_WAIT,
            call_length_max: CALL_LENGTH_MAX,
            ping_every: Some(PING_EVERY),
            asserted_identity: true,
            reliable_provisionals: true,
            user_agent: USER_AGENT.to_owned(),
        }
    }
}

impl TrunkError {
    /// Returns whether opening the trunk again may work without a change of settings.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Resolve(_) | Self::Bind(_))
    }
}

impl Trunk {
    /// Binds sockets, and begins to register and to watch the trunk.
    ///
    /// A trunk that does not answer is opened all the same; [`Trunk::state`] tells.
    pub async fn open(config: TrunkConfig) -> Result<Self, TrunkError> {
        if config.channels_max == 0 || config.calls_per_second_max == 0 {
            return Err(TrunkError::Setting("it allows no calls"));
        }
        let wire_closed = CancellationToken::new();
        let wire_closes = wire_closed.clone().drop_guard();
        let (wire, endpoint, incoming) = Wire::open(&config, &wire_closed).await?;
        let pacer = Pacer::start(PacerConfig {
            address: wire.bind,
            ports: config.rtp_ports.clone(),
            streams_max: config.channels_max,
            symmetric: config.symmetric_rtp,
        })
        .map_err(TrunkError::Bind)?;
        let dialogs = Arc::new(DialogLayer::new(Arc::clone(&endpoint)));
        let inner = Arc::new(Inner {
            channels: Arc::new(Semaphore::new(config.channels_max)),
            next_turn: Mutex::default(),
            health: health::Health::new(config.register_for.is_some()),
            config,
            wire,
            endpoint,
            dialogs,
            pacer,
            closing: CancellationToken::new(),
            _wire_closes: wire_closes,
        });
        let dialogs = Arc::clone(&inner.dialogs);
        tokio::spawn(wire_closed.run_until_cancelled_owned(wire::take_requests(incoming, dialogs)));
        health::watch(&inner);
        Ok(Self { inner })
    }

    /// Places a call and returns its record when it is over.
    ///
    /// Cancelling `hang_up` ends the call at any moment, and so does dropping the future.
    pub async fn call(
        &self,
        request: CallRequest,
        events: mpsc::UnboundedSender<CallEvent>,
        hang_up: CancellationToken,
    ) -> CallRecord {
        let hang_up = hang_up.child_token();
        let _hang_up_when_dropped = hang_up.clone().drop_guard();
        call::place(Arc::clone(&self.inner), request, events, hang_up).await
    }

    /// Returns whether the trunk is well.
    pub fn state(&self) -> TrunkState {
        self.inner.health.state()
    }

    /// Returns what the trunk is called.
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// Returns how many channels are free.
    pub fn channels_free(&self) -> usize {
        self.inner.channels.available_permits()
    }

    /// Returns how many calls the signalling still knows; none when no call is on.
    pub fn dialogs_open(&self) -> usize {
        self.inner.dialogs.len()
    }

    /// Returns the counts of the audio.
    pub fn figures(&self) -> PacerFigures {
        self.inner.pacer.figures()
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.inner.closing.cancel();
    }
}

impl Inner {
    /// Takes a channel and waits for the call's turn; `None` if there is none in time.
    pub(crate) async fn take_channel(&self) -> Option<OwnedSemaphorePermit> {
        let channel = Arc::clone(&self.channels).try_acquire_owned().ok()?;
        let now = Instant::now();
        let turn = {
            let mut next = self.next_turn.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = next.map_or(now, |next| next.max(now));
            if turn.saturating_duration_since(now) > TURN_WAIT_MAX {
                return None;
            }
            *next = Some(turn + Duration::from_secs(1) / self.config.calls_per_second_max);
            turn
        };
        tokio::time::sleep_until(turn).await;
        Some(channel)
    }

    pub(crate) fn credential(&self) -> Option<Credential> {
        self.config.credentials.as_ref().map(|credentials| Credential {
            username: credentials.user.clone(),
            password: credentials.password.clone(),
            realm: None,
            auth_username: None,
        })
    }

    /// Returns the address that the other side is told for a port of ours.
    pub(crate) fn told_address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.config.public_address.unwrap_or(self.wire.bind), port)
    }

    pub(crate) fn is_closing(&self) -> WaitForCancellationFuture<'_> {
        self.closing.cancelled()
    }
}

/// Draws the numbers of a stream, and the id of its session description.
///
/// They come from where the signalling draws its tags and call ids.
pub(crate) fn draw_seed() -> (StreamSeed, u32) {
    let draw = || {
        let drawn = u128::from_str_radix(&rsipstack::transaction::make_uuid_v4(), 16);
        // The last four of its octets are drawn whole; others hold its version and variant.
        let [.., first, second, third, fourth] = drawn.unwrap_or_default().to_be_bytes();
        u32::from_be_bytes([first, second, third, fourth])
    };
    let [high, low, ..] = draw().to_be_bytes();
    let sequence = u16::from_be_bytes([high, low]);
    (StreamSeed { ssrc: draw(), timestamp: draw(), sequence }, draw())
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(..)")
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inner").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// Below the ports that systems hand out themselves; two a call.
const RTP_PORTS: RangeInclusive<u16> = 20_000..=29_999;

/// What a small trunk sells.
const CHANNELS_MAX: usize = 30;

/// What most trunks allow without being asked.
const CALLS_PER_SECOND_MAX: u32 = 5;

/// How long a call waits for its turn; after this another trunk is the better choice.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);

/// A trunk answers 100 at once; three retransmissions fit into this (RFC 3261 section 17.1.1.2).
const ANSWER_WAIT: Duration = Duration::from_secs(4);

/// Of international calls 95 in 100 ring within 11 s (ITU-T E.721, post-selection delay).
pub const POST_DIAL_WAIT: Duration = Duration::from_secs(12);

/// Two readings of a ten-digit code in the slowest language take half of this.
const CALL_LENGTH_MAX: Duration = Duration::from_mins(2);

/// Keeps an address translation open and tells of a dead trunk before the next call needs it.
const PING_EVERY: Duration = Duration::from_secs(30);

const USER_AGENT: &str = "Countersign";
