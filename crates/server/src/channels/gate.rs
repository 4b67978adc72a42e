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
    /// How far down the line its receipts come from.
    pub receipts: Grade,
    rate: Option<Limit>,
    daily_max: Option<u64>,
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
    /// The day that is counted, in days since 1970.
    day: u64,
    today: u64,
}

impl Gate {
    /// Puts a link behind its limits.
    pub fn new(link: Arc<dyn Link>, config: &LinkConfig) -> Self {
        Self {
            link,
            receipts: config.receipts,
            rate: config.per_s.map(|per_s| Limit::new(per_s, Duration::from_secs(1))),
            daily_max: config.daily_max,
            costs: PriceList::new(config.costs.clone()),
            state: Mutex::default(),
        }
    }

    /// Puts a link behind no limits at all.
    pub fn open(link: Arc<dyn Link>) -> Self {
        let costs = PriceList::new(Vec::<Price>::new());
        let state = Mutex::default();
        Self { link, receipts: Grade::Handset, rate: None, daily_max: None, costs, state }
    }

    /// Lets one hand-over pass.
    ///
    /// # Errors
    /// Why it must not, and when it may if that is known.
    pub fn pass(&self, now: Timestamp) -> Result<(), Shut> {
        let mut state = self.lock();
        match state.control {
            Control::Running => {}
            Control::Paused => return Err(Shut::because("it is paused")),
            Control::Draining => return Err(Shut::because("it is being drained")),
        }
        self.link.ready().map_err(|reason| Shut { reason, retry_after: None })?;
        let day = now.as_millis() / DAY_MS;
        if state.day != day {
            (state.day, state.today) = (day, 0);
        }
        if self.daily_max.is_some_and(|max| state.today >= max) {
            let midnight = Timestamp::from_millis((day + 1) * DAY_MS);
            let retry_after = Some(midnight.since(now));
            return Err(Shut {
                reason: "its day's hand-overs are used up".to_owned(),
                retry_after,
            });
        }
        if let Some(rate) = self.rate {
            state.tat = rate.admit(state.tat, now).map_err(|wait| Shut {
                reason: "it is at its rate".to_owned(),
                retry_after: Some(wait),
            })?;
        }
        state.today += 1;
        Ok(())
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
        self.lock().control = control;
    }

    /// Returns how many hand-overs there were today, and how many there may be.
    pub fn today(&self) -> (u64, Option<u64>) {
        (self.lock().today, self.daily_max)
    }

    /// Counts hand-overs that were made before, after a restart.
    pub fn count_earlier(&self, now: Timestamp, count: u64) {
        let mut state = self.lock();
        state.day = now.as_millis() / DAY_MS;
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
}

impl Shut {
    fn because(reason: &str) -> Self {
        Self { reason: reason.to_owned(), retry_after: None }
    }
}

const DAY_MS: u64 = 86_400_000;
