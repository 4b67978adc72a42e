//! What stands before every link: whether it may be used now, how fast, how often, at what cost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{Amount, Channel, Limit, Price, PriceItem, PriceList, Tat, Timestamp};

use super::Link;
use crate::config::{Grade, LinkConfig};

/// A link with the operator's limits on it.
pub struct Gate {
    /// The link.
    pub link: Arc<dyn Link>,
    config: Option<LinkConfig>,
    rate: Option<Limit>,
    costs: PriceList,
    state: Mutex<State>,
}

/// Whether the operator lets a link be used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Control {
    /// It is used.
    #[default]
    Running,
    /// It keeps its connections, and nothing new is handed to it.
    Paused,
    /// Nothing new is handed to it, and it closes once nothing is under way.
    Draining,
}

impl Control {
    /// Returns the control's name in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Draining => "draining",
        }
    }
}

#[derive(Default)]
struct State {
    control: Control,
    tat: Tat,
    /// When the next of those who are told to wait may come back.
    promised: Timestamp,
    /// The day that is counted, in days since 1970.
    day: u64,
    today: u64,
}

impl State {
    /// Gives one of those who wait a moment of its own, `wait` from now at the soonest: else all
    /// would come at once, and all but one be sent away again. Answers how long it is until then.
    fn promise(&mut self, now: Timestamp, wait: Duration, spacing: Duration) -> Duration {
        let moment = now.after(wait).max(self.promised);
        self.promised = moment.after(spacing);
        moment.since(now)
    }
}

impl Gate {
    /// Puts a link behind its limits.
    pub fn new(link: Arc<dyn Link>, config: &LinkConfig) -> Self {
        Self {
            link,
            rate: config.per_s.map(|per_s| Limit::new(per_s, SECOND)),
            costs: PriceList::new(config.costs.clone()),
            config: Some(config.clone()),
            state: Mutex::default(),
        }
    }

    /// Puts a link behind no limits at all.
    pub fn open(link: Arc<dyn Link>) -> Self {
        let costs = PriceList::new(Vec::<Price>::new());
        Self { link, config: None, rate: None, costs, state: Mutex::default() }
    }

    /// Returns the link's section of the configuration, if it has one.
    pub fn config(&self) -> Option<&LinkConfig> {
        self.config.as_ref()
    }

    /// Returns how far down the line its receipts from a country come from: what the operator
    /// says, else what is usual there.
    pub fn grade(&self, country: &str) -> Grade {
        let usual =
            if CARRIER_RECEIPTS.contains(&country) { Grade::Carrier } else { Grade::Handset };
        self.config.as_ref().and_then(|config| config.receipts).unwrap_or(usual)
    }

    /// Lets one hand-over pass.
    ///
    /// # Errors
    /// Why it must not, and when it may if that is known.
    pub fn pass(&self, now: Timestamp) -> Result<(), Shut> {
        let mut state = self.lock();
        match state.control {
            Control::Running => {}
            Control::Paused => {
                let wait = state.promise(now, PAUSED_RETRY, PAUSED_SPACING);
                return Err(Shut::by_operator("it is paused", wait));
            }
            Control::Draining => {
                let wait = state.promise(now, PAUSED_RETRY, PAUSED_SPACING);
                return Err(Shut::by_operator("it is being drained", wait));
            }
        }
        self.link.ready().map_err(Shut::by_link)?;
        let day = now.as_millis() / DAY_MS;
        if state.day != day {
            (state.day, state.today) = (day, 0);
        }
        if self.daily_max().is_some_and(|max| state.today >= max) {
            let midnight = Timestamp::from_millis((day + 1) * DAY_MS);
            let wait = midnight.since(now);
            return Err(Shut::by_operator("its day's hand-overs are used up", wait));
        }
        if let Some(rate) = self.rate {
            match rate.admit(state.tat, now) {
                Ok(tat) => state.tat = tat,
                Err(wait) => {
                    let wait = state.promise(now, wait, SECOND / rate.count().max(1));
                    return Err(Shut::by_operator("it is at its rate", wait));
                }
            }
        }
        state.today += 1;
        Ok(())
    }

    /// Takes a hand-over back that the link did not make.
    pub fn take_back(&self) {
        let mut state = self.lock();
        state.today = state.today.saturating_sub(1);
    }

    /// Returns what the carrier takes for an attempt of so many parts.
    pub fn cost(&self, channel: Channel, digits: u64, parts: u8) -> Amount {
        let item = match channel {
            Channel::Sms => PriceItem::Sms,
            Channel::Voice => PriceItem::Voice,
        };
        self.costs.lookup(item, digits).times(parts)
    }

    /// Returns whether the operator lets the link be used.
    pub fn control(&self) -> Control {
        self.lock().control
    }

    /// Lets the link be used, or not.
    pub fn set_control(&self, control: Control) {
        let mut state = self.lock();
        state.control = control;
        state.promised = Timestamp::default();
    }

    /// Returns how many hand-overs there were on the day of the last one, and how many there may be.
    pub fn today(&self, now: Timestamp) -> (u64, Option<u64>) {
        let state = self.lock();
        let today = if state.day == now.as_millis() / DAY_MS { state.today } else { 0 };
        (today, self.daily_max())
    }

    fn daily_max(&self) -> Option<u64> {
        self.config.as_ref().and_then(|config| config.daily_max)
    }

    /// Counts hand-overs that were made before, after a restart.
    pub fn count_earlier(&self, now: Timestamp, count: u64) {
        let mut state = self.lock();
        let day = now.as_millis() / DAY_MS;
        if state.day != day {
            (state.day, state.today) = (day, 0);
        }
        state.today = state.today.saturating_add(count);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a link cannot be used now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shut {
    /// Why, in a few words for the operator.
    pub reason: String,
    /// When it can be used, if that is known.
    pub retry_after: Option<Duration>,
    /// Whether the operator wants it so: then an attempt waits for as long as it is worth anything.
    pub is_wanted: bool,
}

impl Shut {
    fn by_operator(reason: &str, wait: Duration) -> Self {
        Self { reason: reason.to_owned(), retry_after: Some(wait), is_wanted: true }
    }

    fn by_link(reason: String) -> Self {
        Self { reason, retry_after: None, is_wanted: false }
    }
}

/// Where carriers tell no more than that the next network took a message (facts of the trade in
/// the US and Canada: handsets there send no delivery reports).
const CARRIER_RECEIPTS: [&str; 2] = ["US", "CA"];

/// How soon an attempt looks again whether its only link is still paused: a code is in a hurry,
/// and each look is one small write.
const PAUSED_RETRY: Duration = Duration::from_secs(2);

/// Of those who wait for a paused link 200 a second look again, so that they burden nobody else.
const PAUSED_SPACING: Duration = Duration::from_millis(5);

const SECOND: Duration = Duration::from_secs(1);
const DAY_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use std::future::{Future, ready};
    use std::pin::Pin;

    use engine::AttemptId;

    use super::super::{Dispatch, LinkState, Standing, Submission};
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_link_at_its_rate_gives_each_that_waits_a_moment_of_its_own() {
        let gate = gate(|config| config.per_s = Some(2));
        assert!(gate.pass(NOON).is_ok() && gate.pass(NOON).is_ok());
        let waits: Vec<u128> = (0..4)
            .map(|_| {
                let shut = gate.pass(NOON).unwrap_err();
                assert!(shut.is_wanted);
                shut.retry_after.unwrap().as_millis()
            })
            .collect();
        assert_eq!(waits, [500, 1000, 1500, 2000]);
        for wait in [500, 1000, 1500, 2000] {
            assert!(gate.pass(NOON.after(Duration::from_millis(wait))).is_ok(), "{wait}");
        }
    }

    #[test]
    fn a_day_has_so_many_hand_overs_and_what_was_not_sent_counts_for_none() {
        let gate = gate(|config| config.daily_max = Some(3));
        gate.count_earlier(NOON, 1);
        assert!(gate.pass(NOON).is_ok() && gate.pass(NOON).is_ok());
        let shut = gate.pass(NOON).unwrap_err();
        assert_eq!(shut.retry_after, Some(Duration::from_hours(12)), "until midnight UTC");
        gate.take_back();
        assert!(gate.pass(NOON).is_ok());
        assert_eq!(gate.today(NOON), (3, Some(3)));
        let tomorrow = NOON.after(Duration::from_hours(12));
        assert_eq!(gate.today(tomorrow), (0, Some(3)));
        assert!(gate.pass(tomorrow).is_ok());
    }

    #[test]
    fn a_link_that_the_operator_holds_back_lets_nothing_pass() {
        let gate = gate(|_| ());
        for control in [Control::Paused, Control::Draining] {
            gate.set_control(control);
            assert!(gate.pass(NOON).unwrap_err().is_wanted);
        }
        gate.set_control(Control::Running);
        assert!(gate.pass(NOON).is_ok());
    }

    #[test]
    fn american_receipts_come_from_carriers_unless_the_operator_knows_better() {
        let usual = gate(|_| ());
        let graded = |gate: &Gate| ["US", "CA", "GB"].map(|country| gate.grade(country));
        assert_eq!(graded(&usual), [Grade::Carrier, Grade::Carrier, Grade::Handset]);
        let told = gate(|config| config.receipts = Some(Grade::Handset));
        assert_eq!(graded(&told), [Grade::Handset; 3]);
    }

    fn gate(change: impl FnOnce(&mut LinkConfig)) -> Gate {
        let file = tempfile::NamedTempFile::new().unwrap();
        let link = "[link.idle]\nkind = 'smpp'\nhosts = ['smsc.example:2775']\nsystem_id = 'us'\n\
                    password_file = 'none'";
        std::fs::write(&file, link).unwrap();
        let mut config = Config::load(Some(file.path()), [("", ""); 0]).unwrap();
        let mut config = config.links.remove("idle").unwrap();
        change(&mut config);
        Gate::new(Arc::new(Idle), &config)
    }

    /// A link that nothing is handed to.
    struct Idle;

    impl Link for Idle {
        fn name(&self) -> &'static str {
            "idle"
        }

        fn kind(&self) -> &'static str {
            "smpp"
        }

        fn carries(&self, _channel: Channel) -> bool {
            true
        }

        fn ready(&self) -> Result<(), String> {
            Ok(())
        }

        fn submit(
            &self,
            _dispatch: Dispatch,
        ) -> Pin<Box<dyn Future<Output = Submission> + Send + '_>> {
            Box::pin(ready(Submission::Accepted(Vec::new())))
        }

        fn withdraw(&self, _attempt: AttemptId) {}

        fn network(&self) -> &'static str {
            "23415"
        }

        fn state(&self) -> LinkState {
            LinkState {
                standing: Standing::Up,
                since: NOON,
                last_error: None,
                in_flight: 0,
                connections: (1, 1),
            }
        }

        fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            Box::pin(ready(()))
        }
    }

    const NOON: Timestamp = Timestamp::from_millis(1_795_348_800_000);
}
