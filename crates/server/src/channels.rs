//! The way out: picks links for each attempt, hands it over, and reports what became of it.

pub mod gate;
mod hand_over;
pub mod http;
mod in_flight;
pub mod routing;
pub mod sandbox;
pub(crate) mod seen;
pub mod sip;
pub mod smpp;
pub mod start;
pub mod switchboard;
mod trust;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use engine::{AttemptId, Channel, Code, ErrorCode, Locale, SecretText, Subject, Timestamp};
use serde::Serialize;

use crate::clock::Stopwatch;
use crate::driver::Driver;
use crate::speech::VoiceWishes;
use crate::store::{CarrierPart, SendJob};
use crate::telemetry::{Label, Metrics};
use gate::Gate;
use in_flight::{InFlight, InFlightAttempt};
use routing::Routing;

/// One way to a carrier.
pub trait Link: Send + Sync {
    /// Its name in the configuration, in logs and on attempts.
    fn name(&self) -> &str;

    /// What kind of link it is: `smpp`, `http`, `sip`, `sandbox`.
    fn kind(&self) -> &'static str;

    /// Whether it carries a channel.
    fn carries(&self, channel: Channel) -> bool;

    /// Whether it could take an attempt now.
    ///
    /// # Errors
    /// Why not, in a few words for the operator: `it is down`, `its window is full`.
    fn ready(&self) -> Result<(), String>;

    /// Hands an attempt to the carrier. It may be asked twice for the same attempt after a crash.
    fn submit(&self, dispatch: Dispatch) -> Pin<Box<dyn Future<Output = Submission> + Send + '_>>;

    /// Stops an attempt if it still can be stopped: a message that waits, a call in progress.
    fn withdraw(&self, attempt: AttemptId);

    /// The mobile network that it reaches, as MCC and MNC.
    fn network(&self) -> &str;

    /// How it stands, for the operator.
    fn state(&self) -> LinkState;

    /// What reads the requests that its carrier sends to a secret path of ours; `None` if it sends
    /// none.
    fn callbacks(&self) -> Option<&http::callback::Callbacks> {
        None
    }

    /// Ends its connections once what is under way has ended; answers when that is done.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// How a link stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkState {
    /// Whether it has a connection that works; a link that needs none is up.
    pub standing: Standing,
    /// Since when.
    pub since: Timestamp,
    /// What went wrong last.
    pub last_error: Option<LastError>,
    /// How many hand-overs wait for the carrier's answer.
    pub in_flight: usize,
    /// How many connections work, of how many there should be.
    pub connections: (usize, usize),
}

/// What went wrong with a link last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastError {
    /// What kind of thing, for the figures.
    pub kind: ErrorKind,
    /// What exactly, in a few words without secrets.
    pub text: String,
}

/// The kinds of things that go wrong with links.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
    /// There is no connection, or it was lost.
    Unreachable,
    /// The carrier refuses the connection or the credentials.
    Refused,
    /// There is a connection, and no answer in time.
    Silent,
    /// What comes cannot be understood.
    Garbled,
    /// The carrier answers, and does not take what is handed to it.
    Declined,
    /// What is to be sent cannot be written as the configuration asks.
    Unwritable,
}

impl ErrorKind {
    /// Returns the kind's name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Garbled => "garbled",
            Self::Declined => "declined",
            Self::Unwritable => "unwritable",
        }
    }
}

/// Whether a link works.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It works.
    Up,
    /// It is trying to.
    Connecting,
    /// It does not, and tries again later.
    Down,
    /// Only the operator can help, as far as can be told: the carrier refuses the credentials, or
    /// the connection again and again.
    Refused,
}

impl Standing {
    /// Returns the standing's name in the admin API and the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Connecting => "connecting",
            Self::Down => "down",
            Self::Refused => "refused",
        }
    }
}

/// An attempt on its way to a carrier.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Its name.
    pub attempt: AttemptId,
    /// The channel to use.
    pub channel: Channel,
    /// The number's digits.
    pub number: u64,
    /// Who it is from.
    pub originator: Option<String>,
    /// What to write, or the transcript of what to speak.
    pub text: SecretText,
    /// What to speak, in a call.
    pub spoken: Option<Spoken>,
    /// After this, it is worthless.
    pub expires_at: Timestamp,
    /// Told when the bytes go out.
    pub timing: Timing,
}

/// What a voice needs to speak a code.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// The locale to speak.
    pub locale: Locale,
    /// The brand to name.
    pub brand: String,
    /// The code.
    pub code: Code,
    /// How its account wants to be spoken for.
    pub wishes: VoiceWishes,
}

/// Names the call of an attempt, on the wire and for whoever asks about it, so that its name leads
/// back to the step that made it.
pub fn call_name(attempt: AttemptId) -> String {
    match attempt.subject {
        Subject::Verification(id) => id.call_name(attempt.step),
        Subject::Message(id) => format!("{id}-{}", attempt.step),
    }
}

/// Measures the time to submit: from an acknowledged request, or from the moment that a later step
/// began, to the bytes on the wire.
#[derive(Clone, Debug)]
pub struct Timing {
    started: Stopwatch,
    /// For how long the attempt had waited before, on the outbox.
    waited: Duration,
    written: Arc<Mutex<Option<(Label, Duration)>>>,
}

impl Timing {
    fn begin(waited: Duration) -> Self {
        Self { started: Stopwatch::start(), waited, written: Arc::default() }
    }

    /// Tells that the attempt's bytes have been written, the last time if more than once.
    pub fn written(&self, link: &str) {
        let waited = self.waited.saturating_add(self.started.elapsed());
        *self.lock() = Some((Label::link(link), waited));
    }

    /// Counts what a hand-over took that is not made again: an attempt is counted once, however
    /// often it was tried.
    fn observe(&self, metrics: &Metrics, submission: &Submission) {
        let Some((link, waited)) = self.lock().take() else { return };
        match submission {
            Submission::Accepted(_) | Submission::Unknown(_) | Submission::Rejected(_) => {
                metrics.time_to_submit(&link, waited);
            }
            Submission::LinkRefused(_) | Submission::NotSent { .. } => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Label, Duration)>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a hand-over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Submission {
    /// The carrier took it, and calls its parts so.
    Accepted(Vec<CarrierPart>),
    /// The carrier refused it for good, for a reason that no other carrier would see otherwise.
    Rejected(ErrorCode),
    /// The carrier refused it for a reason of its own; another link may take it.
    LinkRefused(String),
    /// It certainly did not get there, and may later, or over another link.
    NotSent {
        /// Why, in a few words for the operator.
        reason: String,
        /// When to try again, if the link knows.
        retry_after: Option<Duration>,
    },
    /// Nobody knows. The names, if any, are for finding its receipts.
    Unknown(Vec<CarrierPart>),
}

/// Where links find the driver, to report what carriers tell them; empty until the server is put
/// together and once it has ended.
#[derive(Clone, Debug, Default)]
pub struct Reports(Arc<OnceLock<Weak<Driver>>>);

impl Reports {
    /// Lets links report to a driver; only the first call counts.
    pub fn connect(&self, driver: &Arc<Driver>) {
        let _ = self.0.set(Arc::downgrade(driver));
    }

    /// Returns the driver while there is one.
    pub fn driver(&self) -> Option<Arc<Driver>> {
        self.0.get().and_then(Weak::upgrade)
    }
}

/// The links that there are now, and the routes over them.
#[derive(Default)]
pub struct Ways {
    /// The links, by name.
    pub gates: Vec<Arc<Gate>>,
    /// The routes.
    pub routing: Routing,
    /// Since when there are these and no others.
    pub since: Timestamp,
}

impl Ways {
    /// Returns a link.
    pub fn gate(&self, name: &str) -> Option<Arc<Gate>> {
        self.gates.iter().find(|gate| gate.link.name() == name).map(Arc::clone)
    }
}

/// All links.
pub struct Channels {
    ways: RwLock<Arc<Ways>>,
    /// Links that were replaced, of which some still finish what they took.
    replaced: Mutex<Vec<Weak<Gate>>>,
    in_flight: Arc<InFlight>,
}

impl Channels {
    /// Sends over these links.
    pub fn new(ways: Ways) -> Self {
        let ways = RwLock::new(Arc::new(ways));
        Self { ways, replaced: Mutex::default(), in_flight: Arc::default() }
    }

    /// Returns the links as they are now.
    pub fn ways(&self) -> Arc<Ways> {
        Arc::clone(&self.ways.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the links and routes; what is under way goes on over the old ones.
    pub fn replace(&self, ways: Ways) {
        let new = Arc::new(ways);
        let mut current = self.ways.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, Arc::clone(&new));
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        drop(current);
        replaced.retain(|gate| gate.strong_count() > 0);
        let gone = |gate: &&Arc<Gate>| !new.gates.iter().any(|kept| Arc::ptr_eq(kept, gate));
        replaced.extend(old.gates.iter().filter(gone).map(Arc::downgrade));
    }

    /// Whether anything leads out on a channel.
    pub fn reach(&self, channel: Channel) -> bool {
        self.ways().gates.iter().any(|gate| gate.link.carries(channel))
    }

    /// The network that messages are said to reach before any carrier has told.
    pub fn network(&self) -> String {
        let ways = self.ways();
        let first = ways.gates.iter().find(|gate| gate.link.carries(Channel::Sms));
        first.map_or(NO_NETWORK, |gate| gate.link.network()).to_owned()
    }

    /// Returns how many attempts are being handed over.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Lists the attempts that are being handed over.
    pub fn attempts_in_flight(&self) -> Vec<AttemptId> {
        self.in_flight.list()
    }

    /// Stops an attempt if it still can be stopped.
    pub fn withdraw(&self, attempt: AttemptId) {
        self.in_flight.withdraw(attempt);
        for gate in self.gates_in_use() {
            gate.link.withdraw(attempt);
        }
    }

    /// Returns all links, also those that were replaced and still finish what they took: a call
    /// outlives a reload.
    pub fn gates_in_use(&self) -> Vec<Arc<Gate>> {
        let mut gates: Vec<Arc<Gate>> = self.ways().gates.iter().map(Arc::clone).collect();
        let replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        gates.extend(replaced.iter().filter_map(Weak::upgrade));
        gates
    }

    /// Hands an attempt over in the background. It is on the outbox, so nothing is lost if this
    /// process ends first. `begun` tells whether a request has just been answered for it, or its
    /// step has just begun; else it has waited since then.
    pub fn dispatch(&self, driver: &Arc<Driver>, job: SendJob, begun: bool) {
        let Some((in_flight, others)) = InFlightAttempt::begin(&self.in_flight, job.attempt) else {
            // Its lease ran out under way, and whoever is at it will report; or it was withdrawn,
            // and is off the outbox. Nobody begins anew.
            return;
        };
        let driver = Arc::clone(driver);
        let waited = if begun { Duration::ZERO } else { driver.clock.now().since(job.queued_at) };
        let timing = Timing::begin(waited);
        tokio::spawn(async move {
            let attempt = job.attempt;
            let done = if others >= in_flight::ATTEMPTS_MAX {
                hand_over::put_back(&driver, &job).await
            } else {
                hand_over::run(&driver, job, timing, &in_flight).await
            };
            if let Err(error) = done {
                tracing::error!(attempt.id = %attempt, %error, "cannot report an attempt");
            }
        });
    }
}

/// MCC 001 is for tests (ITU-T E.212): no network is known.
const NO_NETWORK: &str = "00101";
