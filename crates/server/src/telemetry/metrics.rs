//! Counters and histograms, and their text for a metrics collector.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::links::LinkFigures;
use super::scrub::scrub;

/// The value of a label: a word of the program, or the name of a configured link.
///
/// There is no way to make one from what an account typed, so neither a number nor a code can
/// become one, and the count of time series stays small.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label(Cow<'static, str>);

impl Label {
    /// A word of the program, such as the name of a door or a refusal.
    pub const fn word(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// The name of a link in the configuration, cut to [`LINK_LABEL_CHARACTERS_MAX`].
    ///
    /// Scrubbed, because links are sometimes named after their number; characters that would need
    /// quoting become underscores.
    pub fn link(name: &str) -> Self {
        let kept = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '•');
        let quiet = |c: char| if kept(c) { c } else { '_' };
        Self(Cow::Owned(scrub(name).chars().take(LINK_LABEL_CHARACTERS_MAX).map(quiet).collect()))
    }
}

impl From<&'static str> for Label {
    fn from(word: &'static str) -> Self {
        Self::word(word)
    }
}

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

/// Everything that is counted.
///
/// Cheap to share behind an `Arc`; all methods may be called from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_requests: Family<HttpLabels, Counter>,
    http_seconds: Family<DoorLabels, Histogram, fn() -> Histogram>,
    starts: Family<DoorLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    checks: Family<VerdictLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    receipts: Family<ReceiptLabels, Counter>,
    webhooks: Family<ResultLabels, Counter>,
    inbound: Family<InboundLabels, Counter>,
    conversions: Family<ConversionLabels, Counter>,
    submit_seconds: Family<LinkLabels, Histogram, fn() -> Histogram>,
    answer_seconds: Family<LinkLabels, Histogram, fn() -> Histogram>,
    throttles: Family<LinkLabels, Counter>,
    deliveries_dropped: Family<LinkLabels, Counter>,
    outcomes: Family<OutcomeLabels, Counter>,
    link_standing: Family<StandingLabels, Gauge>,
    link_last_error: Family<ErrorLabels, Gauge>,
    link_in_flight: Family<LinkLabels, Gauge>,
    link_today: Family<LinkLabels, Gauge>,
    crowded_out: Family<ResultLabels, Counter>,
    commit_turns: Histogram,
    commit_seconds: Histogram,
    store_queue: Gauge,
    log_lines_dropped: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    door: Label,
    status: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabels {
    door: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    door: Label,
    reason: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    verdict: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    channel: Label,
    link: Label,
    result: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceiptLabels {
    link: Label,
    status: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InboundLabels {
    link: Label,
    result: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LinkLabels {
    link: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StandingLabels {
    link: Label,
    standing: Label,
    control: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    link: Label,
    kind: Label,
}

/// How one link stands, for the collector.
#[derive(Clone, Debug)]
pub struct LinkStand {
    /// The link.
    pub link: Label,
    /// Whether it works: `up`, `down` and so on.
    pub standing: &'static str,
    /// Whether the operator lets it be used.
    pub control: &'static str,
    /// What kind of thing went wrong last: `unreachable`, `refused` and so on.
    pub last_error: Option<&'static str>,
    /// How many hand-overs wait for the carrier's answer.
    pub in_flight: i64,
    /// How many hand-overs there were today.
    pub today: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConversionLabels {
    route: Label,
    converted: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Label,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All counters at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("countersign"),
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(seconds),
            starts: Family::default(),
            refusals: Family::default(),
            checks: Family::default(),
            attempts: Family::default(),
            receipts: Family::default(),
            webhooks: Family::default(),
            inbound: Family::default(),
            conversions: Family::default(),
            submit_seconds: Family::new_with_constructor(minutes),
            answer_seconds: Family::new_with_constructor(seconds),
            throttles: Family::default(),
            deliveries_dropped: Family::default(),
            outcomes: Family::default(),
            link_standing: Family::default(),
            link_last_error: Family::default(),
            link_in_flight: Family::default(),
            link_today: Family::default(),
            crowded_out: Family::default(),
            commit_turns: Histogram::new(exponential_buckets(1.0, 2.0, BUCKETS)),
            commit_seconds: seconds(),
            store_queue: Gauge::default(),
            log_lines_dropped: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("http_requests", "Requests answered", self.http_requests.clone());
        r.register("http_request_seconds", "Time to answer", self.http_seconds.clone());
        r.register("starts", "Verifications and messages started", self.starts.clone());
        r.register("refusals", "Starts, checks and controls refused", self.refusals.clone());
        r.register("checks", "Codes typed by users and compared", self.checks.clone());
        r.register("attempts", "Sends of a code, as the link answered", self.attempts.clone());
        r.register("receipts", "What carriers said became of attempts", self.receipts.clone());
        r.register("webhooks", "Webhook calls", self.webhooks.clone());
        r.register(
            "inbound",
            "Messages from handsets, by what they asked for",
            self.inbound.clone(),
        );
        r.register("conversions", "Whether users got in, by route", self.conversions.clone());
        let seconds = self.submit_seconds.clone();
        let told = "From an acknowledged request, or the beginning of a later step, to the wire";
        r.register("time_to_submit_seconds", told, seconds);
        r.register("link_standing", "1 for how a link stands", self.link_standing.clone());
        let last_error = self.link_last_error.clone();
        r.register("link_last_error", "1 for what kind of thing went wrong last", last_error);
        let in_flight = self.link_in_flight.clone();
        r.register("link_in_flight", "Hand-overs that wait for an answer", in_flight);
        r.register("link_today", "Hand-overs since midnight UTC", self.link_today.clone());
        let seconds = self.answer_seconds.clone();
        r.register("link_answer_seconds", "From a submit to the carrier's answer", seconds);
        r.register("link_throttles", "Submits refused for their rate", self.throttles.clone());
        let told = "Receipts and messages for rows that cannot be read";
        r.register("deliveries_dropped", told, self.deliveries_dropped.clone());
        r.register("outcomes", "Ends of verifications", self.outcomes.clone());
        let crowded_out = self.crowded_out.clone();
        r.register("last_lines_crowded_out", "Texts too long for their last line", crowded_out);
        r.register("store_commit_turns", "Turns in one commit", self.commit_turns.clone());
        r.register("store_commit_seconds", "Time of one commit", self.commit_seconds.clone());
        r.register("store_queue_turns", "Turns waiting for a commit", self.store_queue.clone());
        r.register("log_lines_dropped", "Log lines lost", self.log_lines_dropped.clone());
    }

    /// A request was answered with an HTTP status; only its class is kept.
    pub fn http_request(&self, door: &'static str, status: u16, elapsed: Duration) {
        let (door, status) = (Label::word(door), Label::word(status_class(status)));
        self.http_requests.get_or_create(&HttpLabels { door: door.clone(), status }).inc();
        self.http_seconds.get_or_create(&DoorLabels { door }).observe(elapsed.as_secs_f64());
    }

    /// A verification or message was started.
    pub fn start(&self, door: &'static str) {
        self.starts.get_or_create(&DoorLabels { door: door.into() }).inc();
    }

    /// Something was refused.
    pub fn refusal(&self, door: &'static str, reason: &'static str) {
        let labels = RefusalLabels { door: door.into(), reason: reason.into() };
        self.refusals.get_or_create(&labels).inc();
    }

    /// A typed code was compared.
    pub fn check(&self, verdict: &'static str) {
        self.checks.get_or_create(&VerdictLabels { verdict: verdict.into() }).inc();
    }

    /// A link answered to an attempt.
    pub fn attempt(&self, channel: &'static str, link: &Label, result: &'static str) {
        let link = link.clone();
        let labels = AttemptLabels { channel: channel.into(), link, result: result.into() };
        self.attempts.get_or_create(&labels).inc();
    }

    /// A receipt came in.
    pub fn receipt(&self, link: &Label, status: &'static str) {
        let labels = ReceiptLabels { link: link.clone(), status: status.into() };
        self.receipts.get_or_create(&labels).inc();
    }

    /// A webhook was called.
    pub fn webhook(&self, result: &'static str) {
        self.webhooks.get_or_create(&ResultLabels { result: result.into() }).inc();
    }

    /// A handset's message came over this link.
    pub fn inbound(&self, link: &Label, result: &'static str) {
        let labels = InboundLabels { link: link.clone(), result: result.into() };
        self.inbound.get_or_create(&labels).inc();
    }

    /// An account told whether its user got in over this route.
    pub fn conversion(&self, route: &Label, converted: bool) {
        let converted = Label::word(if converted { "yes" } else { "no" });
        let labels = ConversionLabels { route: route.clone(), converted };
        self.conversions.get_or_create(&labels).inc();
    }

    /// An attempt's bytes were written to a link, so long after its request was acknowledged.
    pub fn time_to_submit(&self, link: &Label, elapsed: Duration) {
        let labels = LinkLabels { link: link.clone() };
        self.submit_seconds.get_or_create(&labels).observe(elapsed.as_secs_f64());
    }

    /// All links are as told; those that are not told of are gone.
    pub fn links(&self, links: impl Iterator<Item = LinkStand>) {
        self.link_standing.clear();
        self.link_last_error.clear();
        self.link_in_flight.clear();
        self.link_today.clear();
        for told in links {
            let LinkStand { link, standing, control, last_error, in_flight, today } = told;
            let (standing, control) = (standing.into(), control.into());
            let labels = StandingLabels { link: link.clone(), standing, control };
            self.link_standing.get_or_create(&labels).set(1);
            if let Some(kind) = last_error {
                let labels = ErrorLabels { link: link.clone(), kind: kind.into() };
                self.link_last_error.get_or_create(&labels).set(1);
            }
            let labels = LinkLabels { link };
            self.link_in_flight.get_or_create(&labels).set(in_flight);
            self.link_today.get_or_create(&labels).set(today);
        }
    }

    /// What a carrier brought could not be put where it belongs, and never will be.
    pub fn delivery_dropped(&self, link: &Label) {
        self.deliveries_dropped.get_or_create(&LinkLabels { link: link.clone() }).inc();
    }

    /// The figures of a link's connections.
    pub fn link_figures(&self, link: &str) -> LinkFigures {
        let labels = LinkLabels { link: Label::link(link) };
        LinkFigures {
            answers: self.answer_seconds.get_or_create(&labels).clone(),
            throttles: self.throttles.get_or_create(&labels).clone(),
        }
    }

    /// A verification ended.
    pub fn outcome(&self, outcome: &'static str) {
        self.outcomes.get_or_create(&OutcomeLabels { outcome: outcome.into() }).inc();
    }

    /// A text left its last line no room, and gave way, or went without the line.
    pub fn crowded_out(&self, result: &'static str) {
        self.crowded_out.get_or_create(&ResultLabels { result: result.into() }).inc();
    }

    /// The store committed this many turns at once.
    pub fn commit(&self, turns: u32, elapsed: Duration) {
        self.commit_turns.observe(turns.into());
        self.commit_seconds.observe(elapsed.as_secs_f64());
    }

    /// This many turns wait for the next commit.
    pub fn store_queue(&self, turns: u32) {
        self.store_queue.set(turns.into());
    }

    /// The counter of lost log lines, for [`start_log`](super::start_log).
    pub fn log_lines_dropped(&self) -> Counter {
        self.log_lines_dropped.clone()
    }

    /// All metrics in the `OpenMetrics` text format, [`METRICS_CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail, and our labels encode without error.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// From half a millisecond to eight seconds, doubling.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, BUCKETS))
}

/// From half a millisecond to nine minutes, which is what a code lives: an outage is part of it.
fn minutes() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, BUCKETS + 6))
}

/// How many buckets a histogram has; a choice.
const BUCKETS: u16 = 15;

/// The longest link name in a label; a choice.
pub const LINK_LABEL_CHARACTERS_MAX: usize = 32;

/// The media type of [`Metrics::encode`], from the `OpenMetrics` 1.0 specification.
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_at_the_doors_is_told_in_numbers() {
        let metrics = Metrics::new();
        let link = Label::link("north");
        metrics.http_request("vonage", 201, Duration::from_millis(3));
        metrics.http_request("vonage", 204, Duration::from_millis(3));
        metrics.start("vonage");
        metrics.refusal("textmagic", "concurrent");
        metrics.check("mismatch");
        metrics.attempt("sms", &link, "accepted");
        metrics.receipt(&link, "delivered");
        metrics.webhook("delivered");
        metrics.conversion(&link, true);
        metrics.outcome("verified");
        metrics.crowded_out("left_out");
        metrics.commit(7, Duration::from_millis(2));
        metrics.store_queue(5);
        metrics.log_lines_dropped().inc_by(4);
        let gone = LinkStand {
            link: Label::link("gone"),
            standing: "down",
            control: "running",
            last_error: Some("silent"),
            in_flight: 1,
            today: 2,
        };
        metrics.links([gone.clone()].into_iter());
        metrics.links([LinkStand { link, standing: "up", ..gone }].into_iter());
        let text = metrics.encode();
        for line in [
            r#"countersign_http_requests_total{door="vonage",status="2xx"} 2"#,
            r#"countersign_http_request_seconds_count{door="vonage"} 2"#,
            r#"countersign_starts_total{door="vonage"} 1"#,
            r#"countersign_refusals_total{door="textmagic",reason="concurrent"} 1"#,
            r#"countersign_checks_total{verdict="mismatch"} 1"#,
            r#"countersign_attempts_total{channel="sms",link="north",result="accepted"} 1"#,
            r#"countersign_receipts_total{link="north",status="delivered"} 1"#,
            r#"countersign_webhooks_total{result="delivered"} 1"#,
            r#"countersign_conversions_total{route="north",converted="yes"} 1"#,
            r#"countersign_outcomes_total{outcome="verified"} 1"#,
            r#"countersign_last_lines_crowded_out_total{result="left_out"} 1"#,
            r#"countersign_link_last_error{link="north",kind="silent"} 1"#,
            "countersign_store_commit_turns_sum 7.0",
            "countersign_store_commit_seconds_count 1",
            "countersign_store_queue_turns 5",
            "countersign_log_lines_dropped_total 4",
            r#"countersign_link_standing{link="north",standing="up",control="running"} 1"#,
            r#"countersign_link_in_flight{link="north"} 1"#,
            r#"countersign_link_today{link="north"} 2"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
        assert!(!text.contains("gone"), "{text}");
    }

    #[test]
    fn a_link_named_after_its_number_does_not_show_it() {
        let metrics = Metrics::new();
        metrics
            .receipt(&Label::link("trunk-447860021130 with\"a-name-beyond-all-measure"), "failed");
        let text = metrics.encode();
        assert!(text.contains(r#"link="trunk-••••••••••••_with_a-name-b""#), "{text}");
    }
}
