//! The way of one attempt: find a route, try its links in order, report what became of it.

use std::sync::Arc;
use std::time::Duration;

use engine::wording::{self, AppendedLine, Segments, Template};
use engine::{
    Amount, AttemptId, Channel, Code, Decision, ErrorCode, Handover, PASSED_OVER_MAX, PassedOver,
    SecretText, SubmitOutcome,
};

use super::gate::Gate;
use super::routing::{Destination, sender_kind};
use super::{Dispatch, InFlightAttempt, Spoken, Submission, Timing, Ways};
use crate::clock;
use crate::directory::Account;
use crate::driver::Driver;
use crate::speech::VoiceWishes;
use crate::store::{CarrierPart, Content, Postponement, SendJob, StoreError};
use crate::telemetry::{Label, Metrics};

/// Hands an attempt over and reports what became of it.
pub(super) async fn run(
    driver: &Arc<Driver>,
    job: SendJob,
    timing: Timing,
    in_flight: &InFlightAttempt,
) -> Result<(), StoreError> {
    let directory = driver.directories.current();
    let account = directory.account(job.account);
    let Some((text, spoken)) = account.and_then(|account| wording(account, &job, &driver.metrics))
    else {
        let outcome = SubmitOutcome::Rejected(ErrorCode::GENERAL);
        return report(driver, job.attempt, Handover::new(NO_LINK, outcome), Vec::new()).await;
    };
    drop(directory);
    if in_flight.is_withdrawn() {
        // Its verification has ended, and took it off the outbox.
        return Ok(());
    }
    if job.expires_at <= driver.clock.now() {
        // Its verification or message ends with it, and takes it off the outbox.
        return Ok(());
    }
    let ways = driver.channels.ways();
    let Planned { route, links, missing } = plan(driver, &ways, &job);
    let parts = match job.channel {
        Channel::Sms => u8::try_from(Segments::of(text.reveal()).count).unwrap_or(u8::MAX),
        Channel::Voice => 1,
    };
    let dispatch = Dispatch {
        attempt: job.attempt,
        channel: job.channel,
        number: job.number,
        originator: job.originator.clone(),
        text,
        spoken,
        expires_at: job.expires_at,
        timing,
    };
    let mut passage = TriedLinks::so_far(&job);
    passage.decision.route = route;
    // What was accepted under other routes or links waits for them to come back, as for a link that
    // is paused. What was accepted since then has never had a way, and its next step need not wait.
    let had_others = job.accepted_at <= ways.since && (links.is_empty() || !missing.is_empty());
    passage.may_work_soon |= had_others;
    for link in missing {
        passage.tell(link, NO_SUCH_LINK.to_owned());
    }
    for gate in &links {
        let done = passage.try_link(driver, gate, &dispatch, parts).await;
        if in_flight.is_withdrawn() {
            // Told while it was handed over, when the link may not have known it yet.
            gate.link.withdraw(job.attempt);
        }
        if let Some(done) = done {
            let Done { outcome, carrier_parts, cost } = done;
            let link = gate.link.name().to_owned();
            let handover = Handover { link, decision: passage.decision, cost, outcome };
            return report(driver, job.attempt, handover, carrier_parts).await;
        }
        if in_flight.is_withdrawn() {
            return Ok(());
        }
    }
    // It waits until its code is worthless, or the next step takes over.
    if passage.may_work_later() {
        return postpone(driver, &job, passage).await;
    }
    let error = ErrorCode::UNROUTABLE;
    let last = links.last().map_or(NO_LINK, |gate| gate.link.name());
    let handover = Handover::new(last, SubmitOutcome::Rejected(error));
    let handover = Handover { decision: passage.decision, ..handover };
    report(driver, job.attempt, handover, Vec::new()).await
}

/// What came of the links that were tried so far.
#[derive(Default)]
struct TriedLinks {
    decision: Decision,
    /// When the first of those can take something again that told.
    retry_after: Option<Duration>,
    /// When the first of those that the operator holds back may be used again.
    held_back: Option<Duration>,
    /// Whether any of them may work at any time.
    may_work_soon: bool,
    /// Whether this is a try at all.
    tried: bool,
}

/// A hand-over that came to an end.
struct Done {
    outcome: SubmitOutcome,
    carrier_parts: Vec<CarrierPart>,
    cost: Amount,
}

impl TriedLinks {
    /// What is known of an attempt before any link is tried.
    fn so_far(job: &SendJob) -> Self {
        let decision = Decision { route: None, passed_over: job.passed_over.clone() };
        Self { decision, tried: true, ..Self::default() }
    }

    /// Hands an attempt to a link; `None` if the next one is to be tried.
    async fn try_link(
        &mut self,
        driver: &Driver,
        gate: &Gate,
        dispatch: &Dispatch,
        parts: u8,
    ) -> Option<Done> {
        if let Err(shut) = gate.pass(driver.clock.now()) {
            match shut.retry_after {
                Some(wait) if shut.is_wanted => self.held_back = Some(sooner(self.held_back, wait)),
                retry => self.come_back(retry),
            }
            self.tell(gate.link.name().to_owned(), shut.reason);
            return None;
        }
        let cost = gate.cost(dispatch.channel, dispatch.number, parts);
        let link = Label::link(gate.link.name());
        let count = |result| driver.metrics.attempt(dispatch.channel.as_str(), &link, result);
        let submission = gate.link.submit(dispatch.clone()).await;
        dispatch.timing.observe(&driver.metrics, &submission);
        let (outcome, carrier_parts) = match submission {
            Submission::Accepted(parts) => {
                count("accepted");
                (SubmitOutcome::Accepted, parts)
            }
            Submission::Unknown(parts) => {
                count("unknown");
                (SubmitOutcome::Unknown, parts)
            }
            Submission::Rejected(error) => {
                count("rejected");
                return Some(Done {
                    outcome: SubmitOutcome::Rejected(error),
                    carrier_parts: Vec::new(),
                    cost: Amount::ZERO,
                });
            }
            Submission::LinkRefused(reason) => {
                count("link_refused");
                gate.take_back();
                self.tell(gate.link.name().to_owned(), reason);
                return None;
            }
            Submission::NotSent { reason, retry_after } => {
                count("not_sent");
                gate.take_back();
                self.come_back(retry_after);
                self.tell(gate.link.name().to_owned(), reason);
                return None;
            }
        };
        Some(Done { outcome, carrier_parts, cost })
    }

    /// Takes note that a link may take it later, and when, if it told.
    fn come_back(&mut self, retry_after: Option<Duration>) {
        match retry_after {
            Some(wait) => self.retry_after = Some(sooner(self.retry_after, wait)),
            None => self.may_work_soon = true,
        }
    }

    /// Whether any link did not refuse for good.
    fn may_work_later(&self) -> bool {
        self.may_work_soon || self.retry_after.is_some() || self.held_back.is_some()
    }

    /// Whether this counts as a try: what the operator holds back has not been tried.
    fn counts(&self) -> bool {
        self.tried && (self.held_back.is_none() || self.may_work_soon || self.retry_after.is_some())
    }

    /// How long to wait for the first of the links. Those that were sent away together come back
    /// each in its own time: a carrier that takes two a second would send all but one away again.
    fn pause(&self, tries: u32, waited: Duration) -> Duration {
        // A carrier that is busy for minutes is not asked every second.
        let told = self.retry_after.map(|wait| {
            let wait = wait.max(waited / 8).clamp(RETRY_SOON, RETRY_MAX);
            wait + clock::up_to(wait / 2)
        });
        let held_back = self.held_back.map(|wait| wait.clamp(RETRY_SOON, WANTED_MAX));
        let known = told.into_iter().chain(held_back).min();
        let soon = || clock::jittered(backoff(tries, waited));
        match known {
            Some(known) if self.may_work_soon => known.min(soon()),
            Some(known) => known,
            None => soon(),
        }
    }

    /// Keeps why a link was not used.
    fn tell(&mut self, link: String, reason: String) {
        let entry = PassedOver { link, reason };
        let told = &mut self.decision.passed_over;
        // An attempt that waits long is passed over for the same reason again and again.
        if told.len() < PASSED_OVER_MAX && !told.contains(&entry) {
            told.push(entry);
        }
    }
}

/// The ways that an attempt may take.
struct Planned {
    /// The route that was found.
    route: Option<String>,
    /// Its links, in order.
    links: Vec<Arc<Gate>>,
    /// The names of those that there are not.
    missing: Vec<String>,
}

/// Finds the links for an attempt, in order; one that may have sent it already comes last.
fn plan(driver: &Driver, ways: &Ways, job: &SendJob) -> Planned {
    let mut route = None;
    let mut missing = Vec::new();
    let mut links: Vec<Arc<Gate>> = if ways.routing.is_empty() {
        ways.gates.iter().map(Arc::clone).collect()
    } else {
        let number = driver.directories.number(job.number);
        let region = number.map(|number| number.region());
        let country = region.as_ref().map_or("", |region| region.as_str());
        let destination = Destination {
            channel: job.channel,
            digits: job.number,
            country,
            sender: job.originator.as_deref().and_then(sender_kind),
            account: job.account,
        };
        let chance = u64::from_be_bytes(clock::random_bytes());
        let plan = ways.routing.plan(&destination, chance);
        route = plan.route;
        let (found, others): (Vec<_>, Vec<_>) = plan
            .links
            .into_iter()
            .map(|name| ways.gate(&name).ok_or(name))
            .partition(Result::is_ok);
        missing.extend(others.into_iter().filter_map(Result::err));
        found.into_iter().flatten().collect()
    };
    links.retain(|gate| gate.link.carries(job.channel));
    links.sort_by_key(|gate| job.avoid.as_deref() == Some(gate.link.name()));
    Planned { route, links, missing }
}

/// Tells what became of an attempt, again and again while the store has too much to do: an attempt
/// that a carrier took and that is not recorded would be sent a second time.
async fn report(
    driver: &Arc<Driver>,
    attempt: AttemptId,
    handover: Handover,
    parts: Vec<CarrierPart>,
) -> Result<(), StoreError> {
    for _ in 0..REPORTS_MAX {
        match driver.handle_submitted(attempt, handover.clone(), parts.clone()).await {
            Err(StoreError::Busy { .. } | StoreError::Unavailable(_)) => {
                tokio::time::sleep(REPORT_RETRY).await;
            }
            done @ (Ok(()) | Err(StoreError::Stopped | StoreError::Corrupt { .. })) => return done,
        }
    }
    driver.handle_submitted(attempt, handover, parts).await
}

/// Puts back what could not even be tried, because too much is under way.
pub(super) async fn put_back(driver: &Driver, job: &SendJob) -> Result<(), StoreError> {
    postpone(driver, job, TriedLinks { tried: false, ..TriedLinks::so_far(job) }).await
}

/// Tries again when a link can, or in a moment.
async fn postpone(driver: &Driver, job: &SendJob, passage: TriedLinks) -> Result<(), StoreError> {
    let waited = driver.clock.now().since(job.queued_at);
    let wait = passage.pause(job.tries, waited);
    let postponement = Postponement {
        attempt: job.attempt,
        tries: job.tries,
        tried: passage.counts(),
        due_at: driver.clock.now().after(wait).min(job.expires_at),
        passed_over: passage.decision.passed_over,
    };
    driver.store.postpone(postponement).await
}

fn sooner(known: Option<Duration>, wait: Duration) -> Duration {
    known.map_or(wait, |known| known.min(wait))
}

/// How long to wait before the next try: twice as long each time up to [`RETRY_MAX`], and beyond it
/// an eighth of the time that the attempt has waited. A person waits for it at first, and what is
/// left of a long outage is a matter of the carrier's.
fn backoff(tries: u32, waited: Duration) -> Duration {
    let doubling = RETRY_MIN.saturating_mul(1 << tries.min(DOUBLINGS_MAX));
    doubling.min((waited / 8).clamp(RETRY_MAX, RETRY_LATE_MAX))
}

/// Returns what an attempt says: the text, or the transcript of the call with what a voice needs.
fn wording(
    account: &Account,
    job: &SendJob,
    metrics: &Metrics,
) -> Option<(SecretText, Option<Spoken>)> {
    let (code, brand, locale, lifetime) = match &job.content {
        Content::Text(text) => return Some((text.clone(), None)),
        Content::Code { code, brand, locale, lifetime } => (code, brand, *locale, *lifetime),
    };
    match job.channel {
        Channel::Voice => {
            let text = wording::spoken(locale, brand, code.reveal()).ok()?;
            let wishes = VoiceWishes::of(&account.settings);
            let (brand, code) = (brand.clone(), code.clone());
            Some((text, Some(Spoken { locale, brand, code, wishes })))
        }
        Channel::Sms => {
            let minutes = (lifetime.as_secs() / 60).to_string();
            let render = |template: &Template| {
                let value = |name: &str| match name {
                    wording::PIN => Some(code.reveal()),
                    wording::BRAND => Some(brand.as_str()),
                    wording::PIN_EXPIRY => Some(minutes.as_str()),
                    _ => None,
                };
                template.render(value).ok()
            };
            // A template of the account's may ask for what a verification does not have; its code
            // must go out all the same.
            let texts = [render(&account.text(locale)), render(&Template::built_in(locale))];
            Some((written(texts, account.last_line.as_ref(), code, metrics)?, None))
        }
    }
}

/// Chooses what to write: the first text that there is, with the line that lets a phone fill the
/// code in. Where a brand in another script leaves the line no room, a shorter text is better than
/// no line, and no line better than no code.
fn written(
    texts: [Option<SecretText>; 2],
    last_line: Option<&AppendedLine>,
    code: &Code,
    metrics: &Metrics,
) -> Option<SecretText> {
    let [own, built_in] = texts;
    let Some(line) = last_line else { return own.or(built_in) };
    let with_line = |text: &Option<SecretText>| line.append_to(text.as_ref()?, code.reveal());
    if let Some(text) = with_line(&own) {
        return Some(text);
    }
    let with_built_in = with_line(&built_in);
    if with_built_in.is_none() {
        metrics.crowded_out("left_out");
    } else if own.is_some() {
        metrics.crowded_out("built_in_text");
    }
    with_built_in.or(own).or(built_in)
}

/// The link of an attempt for which there was none.
const NO_LINK: &str = "none";

const NO_SUCH_LINK: &str = "there is no such link";

/// A store that is busy for ten minutes will not be saved by asking it once more.
const REPORTS_MAX: usize = 6000;
const REPORT_RETRY: Duration = Duration::from_millis(100);

/// A link that is at its rate for a moment is asked again no sooner than this.
const RETRY_SOON: Duration = Duration::from_millis(50);
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A message that may be sent for days looks no less often than this, so that it goes out soon
/// after its carrier is back.
const RETRY_LATE_MAX: Duration = Duration::from_mins(5);

/// Enough to get from [`RETRY_MIN`] to [`RETRY_LATE_MAX`].
const DOUBLINGS_MAX: u32 = 9;

/// What the operator holds back looks again after so long at most: limits may have been lifted.
const WANTED_MAX: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use engine::wording::AppHash;

    use super::*;

    #[test]
    fn the_pauses_between_tries_grow_with_the_outage() {
        let mut waited = Duration::ZERO;
        let pauses: Vec<u64> = (0..14)
            .map(|tries| {
                let pause = backoff(tries, waited);
                waited += pause;
                pause.as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30, 30, 33]);
        assert_eq!(backoff(u32::MAX, Duration::from_hours(72)), RETRY_LATE_MAX);
        assert_eq!(backoff(0, Duration::from_hours(72)), RETRY_MIN);
    }

    #[test]
    fn an_attempt_waits_for_the_first_of_its_links() {
        let (hours, second) = (Duration::from_hours(8), Duration::from_secs(1));
        let with = |retry_after, held_back, may_work_soon| TriedLinks {
            retry_after,
            held_back,
            may_work_soon,
            tried: true,
            ..TriedLinks::default()
        };
        let used_up = with(None, Some(hours), false);
        assert_eq!((used_up.pause(0, Duration::ZERO), used_up.counts()), (WANTED_MAX, false));
        for beside_one_that_is_down in
            [with(None, Some(hours), true), with(Some(hours), None, true)]
        {
            assert!(beside_one_that_is_down.pause(0, Duration::ZERO) <= second);
            assert!(beside_one_that_is_down.counts(), "it comes back ever more seldom");
        }
        let busy = with(Some(second / 10), Some(hours), false);
        assert!(busy.pause(0, Duration::from_mins(2)) >= Duration::from_secs(15));
        assert!(with(None, Some(second * 2), true).pause(9, Duration::from_hours(1)) <= second * 2);
    }

    #[test]
    fn a_text_that_leaves_its_last_line_no_room_gives_way_to_the_built_in_one() {
        let long = "Щ".repeat(65);
        assert_eq!(chosen(&["Own 4815", "Built in 4815"]), ("Own 4815\nFA+9qCX9VSu".to_owned(), 0));
        let built_in = ("Built in 4815\nFA+9qCX9VSu".to_owned(), 1);
        assert_eq!(chosen(&[&long, "Built in 4815"]), built_in);
        assert_eq!(chosen(&[&long, &long]), (long.clone(), 1), "the code must go out");
    }

    /// What is written, and how often a text gave way for it.
    fn chosen(texts: &[&str; 2]) -> (String, usize) {
        let line = AppendedLine::AndroidHash(AppHash::parse("FA+9qCX9VSu").unwrap());
        let (code, metrics) = (Code::parse("4815").unwrap(), Metrics::new());
        let texts = texts.map(|text| Some(SecretText::concat(&[text])));
        let text = written(texts, Some(&line), &code, &metrics).unwrap();
        let told = metrics.encode();
        let count =
            told.lines().filter(|l| l.starts_with("countersign_last_lines_crowded_out_total{"));
        (text.reveal().to_owned(), count.count())
    }
}
