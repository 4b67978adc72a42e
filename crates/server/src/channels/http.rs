//! Links over HTTP: any aggregator's API, as its configuration describes it.

mod answer;
mod breaker;
pub mod callback;
mod exchange;
mod request;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::{AttemptId, Channel, Timestamp};
use tokio::sync::Semaphore;

use self::answer::{Health, Verdict};
use self::breaker::{Breaker, BreakerState};
use self::callback::Callbacks;
use self::exchange::{Exchange, Exchanged};
use self::request::Requests;
use super::start::LinkContext;
use super::{Dispatch, ErrorKind, LastError, Link, LinkState, Standing, Submission};
use crate::config::HttpConfig;
use crate::directory::ServerSecrets;
use crate::store::{CarrierKey, CarrierPart};

/// One link over HTTP.
pub struct HttpLink {
    name: String,
    network: String,
    config: HttpConfig,
    context: LinkContext,
    requests: Requests,
    exchange: Exchange,
    callbacks: Callbacks,
    /// One permit for each message that may wait for its answer.
    slots: Semaphore,
    breaker: Mutex<Breaker>,
    last_error: Mutex<Option<LastError>>,
    started_at: Timestamp,
    changed_at: AtomicU64,
}

impl HttpLink {
    /// Reads the link's secrets and gets ready; it connects with its first message.
    ///
    /// # Errors
    /// A file with a secret or a certificate cannot be used; says which and why.
    pub fn start(
        name: &str,
        network: &str,
        config: HttpConfig,
        context: LinkContext,
    ) -> Result<Self, String> {
        let started_at = context.clock.now();
        Ok(Self {
            name: name.to_owned(),
            network: network.to_owned(),
            requests: Requests::open(name, &config)?,
            exchange: Exchange::open(&config)?,
            callbacks: Callbacks::new(
                name,
                config.reports.clone(),
                config.inbound.clone(),
                context.seen.of(name),
            ),
            slots: Semaphore::new(config.connections),
            breaker: Mutex::new(Breaker::new(config.breaker_failures, config.breaker_open)),
            last_error: Mutex::default(),
            started_at,
            changed_at: AtomicU64::new(started_at.as_millis()),
            config,
            context,
        })
    }

    async fn hand_over(&self, dispatch: Dispatch) -> Submission {
        self.callbacks.seen().begin(dispatch.number);
        let number = dispatch.number;
        let submission = self.exchange(dispatch).await;
        self.callbacks.seen().end(number, &submission);
        submission
    }

    async fn exchange(&self, dispatch: Dispatch) -> Submission {
        let Some(driver) = self.context.reports.driver() else {
            return not_sent("the server is stopping");
        };
        let Ok(_slot) = self.slots.try_acquire() else {
            return Submission::NotSent { reason: self.full(), retry_after: Some(FULL_RETRY) };
        };
        let now = self.context.clock.now();
        if let Err(wait) = self.breaker().enter(now) {
            return Submission::NotSent { reason: BREAKER.to_owned(), retry_after: Some(wait) };
        }
        // Whatever becomes of this task, a half-open breaker must not wait for it for ever.
        let entered = Entered { link: self, judged: false };
        let secrets = driver.directories.secrets();
        let request = match self.requests.render(&dispatch, now, secrets) {
            Ok(request) => request,
            Err(problem) => {
                entered.judge(Health::Fine);
                self.note(ErrorKind::Unwritable, &problem);
                return Submission::LinkRefused(problem);
            }
        };
        let exchanged = self.exchange.run(request, || dispatch.timing.written(&self.name)).await;
        let ((verdict, health), kind) = match exchanged {
            Exchanged::Answered(answered) => {
                (answer::judge(&self.config.answers, &answered), ErrorKind::Declined)
            }
            Exchanged::NotSent(reason) => {
                let verdict = Verdict::NotSent(reason.to_owned(), None);
                ((verdict, Health::Broken), ErrorKind::Unreachable)
            }
            Exchanged::Lost(reason) => {
                ((Verdict::Unknown(reason.to_owned()), Health::Broken), ErrorKind::Silent)
            }
        };
        entered.judge(health);
        match &verdict {
            Verdict::NotSent(reason, _)
            | Verdict::LinkRefused(reason)
            | Verdict::Unknown(reason) => self.note(kind, reason),
            Verdict::Accepted(_) | Verdict::Rejected(_) => {}
        }
        self.outcome(verdict, &dispatch, secrets)
    }

    /// Turns what the aggregator meant into what became of the hand-over.
    fn outcome(
        &self,
        verdict: Verdict,
        dispatch: &Dispatch,
        secrets: &ServerSecrets,
    ) -> Submission {
        match verdict {
            Verdict::Accepted(ids) if ids.is_empty() => {
                Submission::Accepted(self.fallback(dispatch, secrets))
            }
            Verdict::Accepted(ids) => {
                let mut parts = self.callbacks.parts(&ids);
                if parts.len() == 1 && self.config.reports.own_id.is_some() {
                    // A report that overtook this answer waits under our own name.
                    parts.extend(self.fallback(dispatch, secrets));
                }
                Submission::Accepted(parts)
            }
            Verdict::Rejected(error) => Submission::Rejected(error),
            Verdict::NotSent(reason, retry_after) => Submission::NotSent { reason, retry_after },
            Verdict::LinkRefused(reason) => Submission::LinkRefused(reason),
            Verdict::Unknown(_) => Submission::Unknown(self.fallback(dispatch, secrets)),
        }
    }

    /// Names a message without a name from the aggregator as its reports will: by our own name if
    /// they bring it back, else by the number.
    fn fallback(&self, dispatch: &Dispatch, secrets: &ServerSecrets) -> Vec<CarrierPart> {
        let id = if self.config.reports.own_id.is_some() {
            request::own_id(dispatch.attempt, secrets)
        } else {
            callback::number_id(dispatch.number, secrets)
        };
        vec![CarrierPart { part: 0, parts: 1, key: CarrierKey::of(&self.name, &id) }]
    }

    /// Remembers why an outcome was not what it should have been.
    fn note(&self, kind: ErrorKind, reason: &str) {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(LastError { kind, text: reason.to_owned() });
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self) -> String {
        format!("{} messages wait for their answers", self.config.connections)
    }
}

/// A message that the breaker let pass, until it is known how that went.
struct Entered<'a> {
    link: &'a HttpLink,
    judged: bool,
}

impl Entered<'_> {
    fn judge(mut self, health: Health) {
        self.judged = true;
        let now = self.link.context.clock.now();
        let changed = match health {
            Health::Fine => self.link.breaker().succeed(),
            Health::Broken => self.link.breaker().fail(now),
        };
        if let Some(state) = changed {
            self.link.changed_at.store(now.as_millis(), Ordering::Release);
            let link = &self.link.name;
            match state {
                BreakerState::Open => tracing::warn!(link, "the breaker has opened"),
                BreakerState::Closed => tracing::info!(link, "the breaker has closed"),
                BreakerState::HalfOpen => {}
            }
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if !self.judged {
            self.link.breaker().abandon();
        }
    }
}

impl Link for HttpLink {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "http"
    }

    fn carries(&self, channel: Channel) -> bool {
        match channel {
            Channel::Sms => true,
            Channel::Voice => false,
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.breaker().wait(self.context.clock.now()).is_some() {
            return Err(BREAKER.to_owned());
        }
        if self.slots.available_permits() == 0 { Err(self.full()) } else { Ok(()) }
    }

    fn submit(&self, dispatch: Dispatch) -> Pin<Box<dyn Future<Output = Submission> + Send + '_>> {
        Box::pin(self.hand_over(dispatch))
    }

    fn withdraw(&self, _attempt: AttemptId) {
        // A request that has been written cannot be taken back.
    }

    fn network(&self) -> &str {
        &self.network
    }

    fn state(&self) -> LinkState {
        let standing = match self.breaker().state(self.context.clock.now()) {
            BreakerState::Closed => Standing::Up,
            BreakerState::HalfOpen => Standing::Connecting,
            BreakerState::Open => Standing::Down,
        };
        let most = self.config.connections;
        let in_flight = most.saturating_sub(self.slots.available_permits());
        let working = if standing == Standing::Down { 0 } else { most };
        let last_error = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let since = Timestamp::from_millis(self.changed_at.load(Ordering::Acquire));
        LinkState {
            standing,
            since: since.max(self.started_at),
            last_error,
            in_flight,
            connections: (working, most),
        }
    }

    fn callbacks(&self) -> Option<&Callbacks> {
        Some(&self.callbacks)
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let most = u32::try_from(self.config.connections).unwrap_or(u32::MAX);
        Box::pin(async move {
            // All slots are free once nothing is under way.
            drop(self.slots.acquire_many(most).await);
        })
    }
}

fn not_sent(reason: &str) -> Submission {
    Submission::NotSent { reason: reason.to_owned(), retry_after: None }
}

const BREAKER: &str = "its breaker is open";

/// An answer frees a slot within a fraction of a second, mostly.
const FULL_RETRY: Duration = Duration::from_millis(100);
