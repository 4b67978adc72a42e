//! The way out: picks a link for each attempt, hands it over, and reports what became of it.

pub mod sandbox;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::wording::{self, AppendedLine, Template};
use engine::{AttemptId, Channel, Code, ErrorCode, Locale, SecretText, SubmitOutcome, Timestamp};

use crate::directory::Account;
use crate::driver::Driver;
use crate::store::{Content, SendJob, StoreError};
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
    in_flight: Arc<InFlight>,
}

/// The attempts that are being handed over, and those that were withdrawn.
#[derive(Default)]
struct InFlight(Mutex<Attempts>);

#[derive(Default)]
struct Attempts {
    /// Whether each was withdrawn meanwhile.
    begun: HashMap<AttemptId, bool>,
    /// Withdrawn while they were on their way here: their end was committed after they were taken
    /// up, and told first.
    ended: Recent,
}

/// The attempts that were put in last: [`RECENT_MAX`] at least, and twice as many at most.
#[derive(Default)]
struct Recent {
    young: HashSet<AttemptId>,
    old: HashSet<AttemptId>,
}

/// Takes an attempt off the list however its task ends.
struct HandOver {
    in_flight: Arc<InFlight>,
    attempt: AttemptId,
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
        self.in_flight.lock().begun.len()
    }

    /// Lists the attempts that are being handed over.
    pub fn attempts_in_flight(&self) -> Vec<AttemptId> {
        self.in_flight.lock().begun.keys().copied().collect()
    }

    /// Stops an attempt if it still can be stopped.
    pub fn withdraw(&self, attempt: AttemptId) {
        self.in_flight.withdraw(attempt);
        for link in &self.links {
            link.withdraw(attempt);
        }
    }

    /// Hands an attempt over in the background. It is on the outbox, so nothing is lost if this
    /// process ends first.
    pub fn dispatch(&self, driver: &Arc<Driver>, job: SendJob) {
        let Some((hand_over, others)) = HandOver::begin(&self.in_flight, job.attempt) else {
            // Its lease ran out under way, and whoever is at it will report; or it was withdrawn,
            // and is off the outbox. Nobody begins anew.
            return;
        };
        let driver = Arc::clone(driver);
        tokio::spawn(async move {
            let attempt = job.attempt;
            let full = others >= IN_FLIGHT_MAX;
            let done = if full {
                postpone(&driver, &job).await
            } else {
                send(&driver, job, &hand_over).await
            };
            if let Err(error) = done {
                tracing::error!(attempt.id = %attempt, %error, "cannot report an attempt");
            }
        });
    }

    fn link_for(&self, channel: Channel) -> Option<Arc<dyn Link>> {
        self.links.iter().find(|link| link.carries(channel)).map(Arc::clone)
    }
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn withdraw(&self, attempt: AttemptId) {
        let mut list = self.lock();
        match list.begun.get_mut(&attempt) {
            Some(withdrawn) => *withdrawn = true,
            None => list.ended.put(attempt),
        }
    }
}

impl Recent {
    fn put(&mut self, attempt: AttemptId) {
        if self.young.len() >= RECENT_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(attempt);
    }

    fn has(&self, attempt: AttemptId) -> bool {
        self.young.contains(&attempt) || self.old.contains(&attempt)
    }
}

impl HandOver {
    /// Puts an attempt on the list and tells how many others there are, unless it is there or was
    /// withdrawn before.
    fn begin(in_flight: &Arc<InFlight>, attempt: AttemptId) -> Option<(Self, usize)> {
        let mut list = in_flight.lock();
        let others = list.begun.len();
        if list.begun.contains_key(&attempt) || list.ended.has(attempt) {
            return None;
        }
        list.begun.insert(attempt, false);
        drop(list);
        Some((Self { in_flight: Arc::clone(in_flight), attempt }, others))
    }

    fn is_withdrawn(&self) -> bool {
        self.in_flight.lock().begun.get(&self.attempt).copied().unwrap_or_default()
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        self.in_flight.lock().begun.remove(&self.attempt);
    }
}

async fn send(driver: &Arc<Driver>, job: SendJob, hand_over: &HandOver) -> Result<(), StoreError> {
    let attempt = job.attempt;
    let channel = job.channel;
    let Some(link) = driver.channels.link_for(channel) else {
        let outcome = SubmitOutcome::Rejected(ErrorCode::UNROUTABLE);
        return report(driver, attempt, NO_LINK, outcome).await;
    };
    let directory = driver.directories.current();
    let text = directory.account(job.account).and_then(|account| text(account, &job));
    let Some(text) = text else {
        let outcome = SubmitOutcome::Rejected(ErrorCode::GENERAL);
        return report(driver, attempt, link.name(), outcome).await;
    };
    if hand_over.is_withdrawn() {
        // Its verification has ended, and took it off the outbox.
        return Ok(());
    }
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
    if hand_over.is_withdrawn() {
        // Told while it was handed over, when the link may not have known it yet.
        link.withdraw(attempt);
    }
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
    report(driver, attempt, link.name(), outcome).await
}

/// Tells what became of an attempt, again and again while the store has too much to do: an attempt
/// that a carrier took and that is not recorded would be sent a second time.
async fn report(
    driver: &Arc<Driver>,
    attempt: AttemptId,
    link: &str,
    outcome: SubmitOutcome,
) -> Result<(), StoreError> {
    for _ in 0..REPORTS_MAX {
        match driver.handle_submitted(attempt, link, outcome).await {
            Err(StoreError::Busy { .. } | StoreError::Unavailable(_)) => {
                tokio::time::sleep(REPORT_RETRY).await;
            }
            done @ (Ok(()) | Err(StoreError::Stopped | StoreError::Corrupt { .. })) => return done,
        }
    }
    driver.handle_submitted(attempt, link, outcome).await
}

/// Tries again in a moment, doubling up to [`RETRY_MAX`].
async fn postpone(driver: &Driver, job: &SendJob) -> Result<(), StoreError> {
    let wait = RETRY_MIN.saturating_mul(1 << job.tries.min(8)).min(RETRY_MAX);
    driver.store.postpone(job.attempt, driver.clock.now().after(wait)).await
}

fn text(account: &Account, job: &SendJob) -> Option<SecretText> {
    let (code, brand, locale, lifetime) = match &job.content {
        Content::Text(text) => return Some(text.clone()),
        Content::Code { code, brand, locale, lifetime } => (code, brand, *locale, *lifetime),
    };
    match job.channel {
        Channel::Voice => wording::spoken(locale, brand, code.reveal()).ok(),
        Channel::Sms => {
            let template = account.text(locale);
            let minutes = lifetime.as_secs() / 60;
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

/// So many withdrawn attempts are remembered. A choice: no more are on their way here at once.
const RECENT_MAX: usize = IN_FLIGHT_MAX;

/// An attempt that never got to a carrier is given up after so many tries.
const TRIES_MAX: u32 = 8;

/// A store that is busy for ten minutes will not be saved by asking it once more.
const REPORTS_MAX: usize = 6000;
const REPORT_RETRY: Duration = Duration::from_millis(100);

const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use engine::{Subject, VerificationId};

    use super::*;

    fn attempt(number: usize) -> AttemptId {
        let id = VerificationId::from_u128(u128::try_from(number).unwrap());
        AttemptId { subject: Subject::Verification(id), step: 0 }
    }

    #[test]
    fn an_attempt_that_was_withdrawn_on_its_way_here_is_not_begun() {
        let in_flight = Arc::<InFlight>::default();
        in_flight.withdraw(attempt(1));
        assert!(HandOver::begin(&in_flight, attempt(1)).is_none());
        let (other, _) = HandOver::begin(&in_flight, attempt(2)).unwrap();
        assert!(!other.is_withdrawn());
        in_flight.withdraw(attempt(2));
        assert!(other.is_withdrawn());
    }

    #[test]
    fn as_many_withdrawn_attempts_are_remembered_as_can_be_on_their_way() {
        let in_flight = Arc::<InFlight>::default();
        (0..10 * RECENT_MAX).for_each(|n| in_flight.withdraw(attempt(n)));
        let list = in_flight.lock();
        assert!(list.ended.young.len() + list.ended.old.len() <= 2 * RECENT_MAX);
        assert!((9 * RECENT_MAX..10 * RECENT_MAX).all(|n| list.ended.has(attempt(n))));
    }
}
