//! The way out: picks a link for each attempt, hands it over, and reports what became of it.

pub mod sandbox;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::wording::{self, AppendedLine, Template};
use engine::{AttemptId, Channel, Code, ErrorCode, Locale, SecretText, SubmitOutcome, Timestamp};

use crate::directory::Account;
use crate::driver::Driver;
use crate::store::{Content, SendJob};
use crate::telemetry::Label;

/// One live connection of a channel to a carrier.
pub trait Link: Send + Sync {
    /// Its name in the configuration, in logs and on attempts.
    fn name(&self) -> &str;

    /// Whether it carries a channel.
    fn carries(&self, channel: Channel) -> bool;

    /// Hands an attempt to the carrier. It may be asked twice for the same attempt after a crash.
    fn submit(&self, dispatch: Dispatch) -> Pin<Box<dyn Future<Output = Submission> + Send + '_>>;

    /// Stops an attempt if it still can be stopped: a message that waits, a call in progress.
    fn withdraw(&self, attempt: AttemptId);

    /// The mobile network that it reaches, as MCC and MNC.
    fn network(&self) -> &str;
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
    /// What to write or speak.
    pub text: SecretText,
    /// After this, it is worthless.
    pub expires_at: Timestamp,
}

/// What became of a hand-over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Submission {
    /// The carrier took it.
    Accepted,
    /// The carrier refused it for good.
    Rejected(ErrorCode),
    /// It certainly did not get there, and may later.
    NotSent,
    /// Nobody knows.
    Unknown,
}

/// All links.
pub struct Channels {
    links: Vec<Arc<dyn Link>>,
    in_flight: Arc<Mutex<InFlight>>,
}

/// The attempts that are being handed over, numbered in the order of their beginnings.
#[derive(Debug, Default)]
struct InFlight {
    numbers: BTreeSet<u64>,
    next: u64,
}

impl Channels {
    /// Sends over these links, the first that carries a channel first.
    pub fn new(links: Vec<Arc<dyn Link>>) -> Self {
        Self { links, in_flight: Arc::default() }
    }

    /// Whether anything leads out on a channel.
    pub fn reach(&self, channel: Channel) -> bool {
        self.links.iter().any(|link| link.carries(channel))
    }

    /// The network that messages are said to reach before any carrier has told.
    pub fn network(&self) -> String {
        let first = self.links.iter().find(|link| link.carries(Channel::Sms));
        first.map_or(NO_NETWORK, |link| link.network()).to_owned()
    }

    /// Returns how many attempts are being handed over.
    pub fn in_flight(&self) -> usize {
        lock(&self.in_flight).numbers.len()
    }

    /// Marks the present: what is begun from now on comes after the mark.
    pub fn mark(&self) -> u64 {
        lock(&self.in_flight).next
    }

    /// Whether any attempt begun before a mark is still being handed over.
    pub fn in_flight_before(&self, mark: u64) -> bool {
        lock(&self.in_flight).numbers.first().is_some_and(|number| *number < mark)
    }

    /// Stops an attempt if it still can be stopped.
    pub fn withdraw(&self, attempt: AttemptId) {
        for link in &self.links {
            link.withdraw(attempt);
        }
    }

    /// Hands an attempt over in the background. It is on the outbox, so nothing is lost if this
    /// process ends first.
    pub fn dispatch(&self, driver: &Arc<Driver>, job: SendJob) {
        let driver = Arc::clone(driver);
        let in_flight = Arc::clone(&self.in_flight);
        let (number, before) = {
            let mut in_flight = lock(&in_flight);
            let number = in_flight.next;
            in_flight.next += 1;
            let before = in_flight.numbers.len();
            in_flight.numbers.insert(number);
            (number, before)
        };
        tokio::spawn(async move {
            let attempt = job.attempt;
            let full = before >= IN_FLIGHT_MAX;
            let done = if full { postpone(&driver, &job).await } else { send(&driver, job).await };
            if let Err(error) = done {
                tracing::error!(attempt.id = %attempt, %error, "cannot report an attempt");
            }
            lock(&in_flight).numbers.remove(&number);
        });
    }

    fn link_for(&self, channel: Channel) -> Option<Arc<dyn Link>> {
        self.links.iter().find(|link| link.carries(channel)).map(Arc::clone)
    }
}

fn lock(in_flight: &Mutex<InFlight>) -> std::sync::MutexGuard<'_, InFlight> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send(driver: &Arc<Driver>, job: SendJob) -> Result<(), crate::store::StoreError> {
    let attempt = job.attempt;
    let channel = job.channel;
    let Some(link) = driver.channels.link_for(channel) else {
        let outcome = SubmitOutcome::Rejected(ErrorCode::UNROUTABLE);
        return driver.handle_submitted(attempt, NO_LINK, outcome).await;
    };
    let directory = driver.directories.current();
    let account = directory.account(job.account);
    // A number that was erased is zero: there is nobody to send to any more.
    let text = account.filter(|_| job.number != 0).and_then(|account| text(account, &job));
    let Some(text) = text else {
        let outcome = SubmitOutcome::Rejected(ErrorCode::GENERAL);
        return driver.handle_submitted(attempt, link.name(), outcome).await;
    };
    let expired = job.expires_at <= driver.clock.now();
    let dispatch = Dispatch {
        attempt,
        channel,
        number: job.number,
        originator: job.originator.clone(),
        text,
        expires_at: job.expires_at,
    };
    let submission = if expired {
        Submission::Rejected(ErrorCode::GENERAL)
    } else {
        link.submit(dispatch).await
    };
    let (outcome, result) = match submission {
        Submission::Accepted => (SubmitOutcome::Accepted, "accepted"),
        Submission::Rejected(error) => (SubmitOutcome::Rejected(error), "rejected"),
        Submission::Unknown => (SubmitOutcome::Unknown, "unknown"),
        Submission::NotSent if job.tries >= TRIES_MAX => {
            (SubmitOutcome::Rejected(ErrorCode::UNREACHABLE), "given_up")
        }
        Submission::NotSent => {
            driver.metrics.attempt(channel.as_str(), &Label::link(link.name()), "not_sent");
            return postpone(driver, &job).await;
        }
    };
    driver.metrics.attempt(channel.as_str(), &Label::link(link.name()), result);
    driver.handle_submitted(attempt, link.name(), outcome).await
}

/// Tries again in a moment, doubling up to [`RETRY_MAX`].
async fn postpone(driver: &Driver, job: &SendJob) -> Result<(), crate::store::StoreError> {
    let wait = RETRY_MIN.saturating_mul(1 << job.tries.min(8)).min(RETRY_MAX);
    driver.store.postpone(job.attempt, driver.clock.now().after(wait)).await
}

fn text(account: &Account, job: &SendJob) -> Option<SecretText> {
    let (code, brand, locale) = match &job.content {
        Content::Text(text) => return Some(text.clone()),
        Content::Code { code, brand, locale } => (code, brand, *locale),
    };
    match job.channel {
        Channel::Voice => wording::spoken(locale, brand, code.reveal()).ok(),
        Channel::Sms => {
            let template = account.text(locale);
            let minutes = account.policy(1).map_or(5, |policy| policy.lifetime.as_secs() / 60);
            written(&template, account.last_line.as_ref(), brand, code, minutes)
                .or_else(|| built_in(locale, brand, code, minutes))
        }
    }
}

/// A template of the account's may ask for what a verification does not have; its code must go
/// out all the same.
fn built_in(locale: Locale, brand: &str, code: &Code, minutes: u64) -> Option<SecretText> {
    written(&Template::built_in(locale), None, brand, code, minutes)
}

fn written(
    template: &Template,
    last_line: Option<&AppendedLine>,
    brand: &str,
    code: &Code,
    minutes: u64,
) -> Option<SecretText> {
    let minutes = minutes.to_string();
    let value = |name: &str| match name {
        wording::PIN => Some(code.reveal()),
        wording::BRAND => Some(brand),
        wording::PIN_EXPIRY => Some(minutes.as_str()),
        _ => None,
    };
    let text = template.render(value).ok()?;
    Some(match last_line {
        Some(line) => line.append_to(&text, code.reveal()),
        None => text,
    })
}

/// The link of an attempt for which there was none.
const NO_LINK: &str = "none";

/// MCC 001 is for tests (ITU-T E.212): no network is known.
const NO_NETWORK: &str = "00101";

/// So many attempts are handed over at once; further ones wait on the outbox.
const IN_FLIGHT_MAX: usize = 8192;

/// An attempt that never got to a carrier is given up after so many tries.
const TRIES_MAX: u32 = 8;

const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
