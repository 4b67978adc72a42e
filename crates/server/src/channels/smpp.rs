//! SMPP links: binds to a carrier's SMSC, kept up, and attempts submitted over them.

mod bind;
mod board;
mod connect;
mod deliveries;
mod exchange;
mod inbound;
mod job;
mod message;
mod names;
mod outcome;
mod thread;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{AttemptId, Channel};
use smpp::{BindKind, Password};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::start::{LinkContext, LinkError};
use super::{Dispatch, Link, LinkState, Reports, Standing, Submission};
use crate::clock::{self, Clock};
use crate::config::{BindMode, LinkConfig, SmppConfig};
use crate::seal::read_private;
use crate::store::{CarrierKey, CarrierPart};
use crate::telemetry::LinkFigures;
use bind::Bind;
use board::Board;
use connect::Connector;
use job::{Claim, Ended, Job, Load};
use message::short_messages;
use names::Names;
pub use thread::SmppThread;

/// One SMPP link.
pub struct SmppLink {
    shared: Arc<Shared>,
    network: String,
    /// The binds over which anything can be submitted.
    lines: Vec<Line>,
    /// What parts of one message share; two messages to one phone rarely have the same.
    reference: AtomicU16,
    /// The attempts that a bind has, or will have.
    claims: Mutex<HashMap<AttemptId, Arc<Claim>>>,
    closing: watch::Sender<bool>,
    /// How many binds have not ended.
    alive: watch::Receiver<usize>,
    /// Keeps the thread of the binds running.
    _thread: SmppThread,
}

/// What all binds of a link share.
struct Shared {
    name: String,
    config: SmppConfig,
    password: Password,
    connector: Connector,
    clock: Clock,
    reports: Reports,
    figures: LinkFigures,
    names: Names,
    board: Board,
    /// Where everything but sockets is worked at.
    main: Handle,
}

/// The way to one bind.
struct Line {
    bind: usize,
    queue: mpsc::Sender<Job>,
    load: Arc<AtomicUsize>,
}

impl SmppLink {
    /// Starts a link; it binds in the background. Must be called on the runtime of the server.
    ///
    /// # Errors
    /// The file with the password, or that with the trusted certificates, cannot be read.
    pub fn start(
        name: &str,
        link: &LinkConfig,
        config: &SmppConfig,
        context: &LinkContext,
    ) -> Result<Self, LinkError> {
        let wrong = |problem: String| LinkError { name: name.to_owned(), problem };
        let password = read_private(&config.password_file).map_err(|error| wrong(error.told()))?;
        let password = Password::new(password.trim_end_matches(['\r', '\n']).to_owned());
        let connector =
            Connector::new(config.tls.as_ref(), config.response_timeout).map_err(wrong)?;
        let runtime =
            context.smpp.runtime().map_err(|error| wrong(format!("start a thread: {error}")))?;
        let kinds: Vec<BindKind> = match config.bind {
            BindMode::Transceiver => vec![BindKind::Transceiver; config.binds],
            BindMode::TransmitterAndReceiver => {
                [BindKind::Transmitter, BindKind::Receiver].repeat(config.binds)
            }
        };
        let submits: Vec<bool> = kinds.iter().map(|kind| *kind != BindKind::Receiver).collect();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            config: config.clone(),
            password,
            connector,
            clock: context.clock.clone(),
            reports: context.reports.clone(),
            figures: context.metrics.link_figures(name),
            names: Names::new(name, config.ids, context.seen.of(name)),
            board: Board::new(name, context.clock.clone(), &submits),
            main: Handle::current(),
        });
        let (closing, closed) = watch::channel(false);
        let (count, alive) = watch::channel(kinds.len());
        let mut lines = Vec::new();
        for (index, kind) in kinds.into_iter().enumerate() {
            let queue = (kind != BindKind::Receiver).then(|| {
                let (queue, jobs) = mpsc::channel(queue_max(config));
                lines.push(Line { bind: index, queue, load: Arc::default() });
                jobs
            });
            let bind = Bind::new(Arc::clone(&shared), index, kind, queue, closed.clone());
            let ended = Ending(count.clone());
            runtime.spawn(async move {
                bind.run().await;
                drop(ended);
            });
        }
        Ok(Self {
            shared,
            network: link.network.clone(),
            lines,
            reference: AtomicU16::new(u16::from_be_bytes(clock::random_bytes())),
            claims: Mutex::default(),
            closing,
            alive,
            _thread: context.smpp.clone(),
        })
    }

    async fn hand_over(&self, dispatch: Dispatch) -> Submission {
        self.shared.names.begin(dispatch.number);
        let submission = self.try_binds(&dispatch).await;
        self.claims().remove(&dispatch.attempt);
        self.shared.names.end(dispatch.number, &submission);
        submission
    }

    /// Hands an attempt to a bind, and to another one if the first is lost before it has written.
    async fn try_binds(&self, dispatch: &Dispatch) -> Submission {
        for _ in 0..BINDS_TRIED_MAX {
            let Some(line) = self.least_busy() else { break };
            let claim = Arc::<Claim>::default();
            let reference = self.reference.fetch_add(1, Ordering::Relaxed);
            let parts = short_messages(&self.shared.config, dispatch, reference);
            let (reply, answer) = oneshot::channel();
            let load = Load::add(&line.load);
            let job = Job::new(parts, dispatch, Arc::clone(&claim), load, reply);
            self.claims().insert(dispatch.attempt, Arc::clone(&claim));
            if line.queue.try_send(job).is_err() {
                return not_sent(WINDOW_FULL, Some(WAIT_MAX));
            }
            match wait(answer, &claim).await {
                Waited::Ended(Ended::Done(submission)) => return submission,
                Waited::Ended(Ended::BindLost) => {}
                Waited::GaveUp => return not_sent(WINDOW_FULL, Some(WAIT_MAX)),
                Waited::Gone => return Submission::Unknown(self.part_of(dispatch)),
            }
        }
        not_sent(&self.why_down(), None)
    }

    /// The bind that has the least to do, of those that are up.
    fn least_busy(&self) -> Option<&Line> {
        let up = self.lines.iter().filter(|line| self.shared.board.is_up(line.bind));
        up.min_by_key(|line| line.load.load(Ordering::Acquire))
    }

    fn part_of(&self, dispatch: &Dispatch) -> Vec<CarrierPart> {
        let part = |key| CarrierPart { part: 0, parts: 1, key };
        self.shared.key_of(dispatch.number).map(part).into_iter().collect()
    }

    fn why_down(&self) -> String {
        let told = match self.shared.board.standing() {
            Standing::Refused => "its binds are refused",
            Standing::Up | Standing::Connecting | Standing::Down => "it is down",
        };
        told.to_owned()
    }

    fn in_flight(&self) -> usize {
        self.lines.iter().map(|line| line.load.load(Ordering::Acquire)).sum()
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<AttemptId, Arc<Claim>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for SmppLink {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn kind(&self) -> &'static str {
        "smpp"
    }

    fn carries(&self, channel: Channel) -> bool {
        channel == Channel::Sms
    }

    fn ready(&self) -> Result<(), String> {
        let mut up = self.lines.iter().filter(|line| self.shared.board.is_up(line.bind)).peekable();
        if up.peek().is_none() {
            return Err(self.why_down());
        }
        if up.all(|line| line.queue.capacity() == 0) {
            return Err(WINDOW_FULL.to_owned());
        }
        Ok(())
    }

    fn submit(&self, dispatch: Dispatch) -> Pin<Box<dyn Future<Output = Submission> + Send + '_>> {
        Box::pin(self.hand_over(dispatch))
    }

    fn withdraw(&self, attempt: AttemptId) {
        // Whoever waits for the answer finds out when its time is over, or from the bind.
        if let Some(claim) = self.claims().get(&attempt) {
            claim.give_up();
        }
    }

    fn network(&self) -> &str {
        &self.network
    }

    fn state(&self) -> LinkState {
        self.shared.board.link_state(self.in_flight())
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.closing.send_replace(true);
        let mut alive = self.alive.clone();
        Box::pin(async move {
            let _ = alive.wait_for(|count| *count == 0).await;
        })
    }
}

impl Shared {
    /// The name of a part for which the SMSC gave none, while the server runs.
    fn key_of(&self, number: u64) -> Option<CarrierKey> {
        let driver = self.reports.driver()?;
        Some(self.names.of_number(&driver.directories.secrets().pseudonyms, number))
    }
}

/// How waiting for a bind ended.
enum Waited {
    Ended(Ended),
    /// It took too long to begin.
    GaveUp,
    /// The bind has begun, and is gone without a word.
    Gone,
}

/// Waits for a bind, a bounded time until it begins.
async fn wait(mut answer: oneshot::Receiver<Ended>, claim: &Claim) -> Waited {
    let ended = tokio::select! {
        ended = &mut answer => ended,
        () = tokio::time::sleep(WAIT_MAX) => {
            if claim.give_up() {
                return Waited::GaveUp;
            }
            answer.await
        }
    };
    match ended {
        Ok(ended) => Waited::Ended(ended),
        Err(_) if claim.give_up() => Waited::GaveUp,
        Err(_) => Waited::Gone,
    }
}

fn not_sent(reason: &str, retry_after: Option<Duration>) -> Submission {
    Submission::NotSent { reason: reason.to_owned(), retry_after }
}

/// No more waits for a bind than its pace lets through before they would be given up.
fn queue_max(config: &SmppConfig) -> usize {
    let paced = u64::from(config.pdus_per_s.get()).saturating_mul(WAIT_MAX.as_secs());
    usize::try_from(paced).unwrap_or(QUEUE_MAX).clamp(config.window, QUEUE_MAX)
}

/// Tells that a bind has ended, however it did.
struct Ending(watch::Sender<usize>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

const WINDOW_FULL: &str = "its window is full";

/// How long an attempt waits for room in the window and the pace before the next link is tried.
/// A choice: a person who waits for a code does not mind.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// As many as are handed over at once on all links together.
const QUEUE_MAX: usize = 8192;

/// A bind that was lost under an attempt's hands is made up for once.
const BINDS_TRIED_MAX: usize = 2;
