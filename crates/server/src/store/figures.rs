//! The figures of what became of attempts: how good each route, link and country is.

use core::time::Duration;

use engine::{Channel, Timestamp};

use crate::config::Grade;

/// How long one row of figures covers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Period {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day, from midnight UTC.
    Day,
}

impl Period {
    /// All periods, the shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Returns how long it is.
    pub const fn length(self) -> Duration {
        match self {
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
            Self::Day => Duration::from_hours(24),
        }
    }

    /// Returns when the period began that a moment lies in.
    pub fn begin(self, at: Timestamp) -> Timestamp {
        let length = u64::try_from(self.length().as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(at.as_millis() / length * length)
    }

    /// Returns the period's name in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// Whose figures they are.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct FigureKey {
    /// The route that was followed; empty if there was none.
    pub route: String,
    /// The link.
    pub link: String,
    /// The channel.
    pub channel: Channel,
    /// The number's country, as an ISO 3166-1 alpha-2 code; empty if it is not known.
    pub country: String,
    /// The network that the link reaches, as MCC and MNC; empty if the link is gone.
    pub network: String,
    /// How far down the line its receipts come from.
    pub grade: Grade,
}

/// What became of attempts. Each is counted when it became known, so that in a short period there
/// can be more receipts than attempts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Figures {
    /// Handed over.
    pub attempts: u64,
    /// Taken by the carrier.
    pub accepted: u64,
    /// Refused for good when they were handed over.
    pub rejected: u64,
    /// Delivered, as far as the grade says.
    pub delivered: u64,
    /// Taken, and not delivered.
    pub failed: u64,
    /// Nobody knew whether the carrier took them.
    pub unknown: u64,
    /// Not told of in time.
    pub expired: u64,
    /// Their code came back, or the account said that its user did.
    pub converted: u64,
    /// How many final receipts took how long: up to each of [`WAITS_S`] seconds, and longer.
    pub waits: [u64; WAITS],
}

impl Figures {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.expired += other.expired;
        self.converted += other.converted;
        for (sum, more) in self.waits.iter_mut().zip(other.waits) {
            *sum += more;
        }
    }

    /// Counts the wait for a final receipt.
    pub fn waited(&mut self, wait: Duration) {
        let longer = WAITS_S.iter().take_while(|limit| wait.as_secs_f64() > f64::from(**limit));
        if let Some(count) = self.waits.get_mut(longer.count()) {
            *count += 1;
        }
    }

    /// Reads the median wait for a receipt off the histogram, in seconds, taking the waits of a
    /// bucket to be spread evenly; `None` without receipts. Beyond the last limit it is that limit.
    pub fn median_wait_s(&self) -> Option<f64> {
        let total: u64 = self.waits.iter().sum();
        if total == 0 {
            return None;
        }
        let half = float(total) / 2.0;
        let mut seen = 0.0;
        let mut from = 0.0;
        for (count, limit) in self.waits.iter().zip(WAITS_S) {
            let (count, to) = (float(*count), f64::from(limit));
            if seen + count >= half {
                let share = if count > 0.0 { (half - seen) / count } else { 0.0 };
                return Some(from + (to - from) * share);
            }
            seen += count;
            from = to;
        }
        Some(from)
    }
}

/// Figures of one period, to be added to what is there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FigureRow {
    /// The period's length.
    pub period: Period,
    /// When it began.
    pub at: Timestamp,
    /// Whose figures they are.
    pub key: FigureKey,
    /// The figures.
    pub figures: Figures,
}

/// What figures are summed up by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FiguresBy {
    /// The route.
    Route,
    /// The link.
    Link,
    /// The country.
    Country,
    /// The network.
    Network,
}

impl FiguresBy {
    /// Everything that figures are summed up by.
    pub const ALL: [Self; 4] = [Self::Route, Self::Link, Self::Country, Self::Network];

    /// Returns its name in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Link => "link",
            Self::Country => "country",
            Self::Network => "network",
        }
    }
}

/// Which figures to sum up.
#[derive(Clone, Debug)]
pub struct FigureQuery {
    /// From rows of this period.
    pub period: Period,
    /// What to sum up by, all of it together; channel and grade are always told apart.
    pub by: Vec<FiguresBy>,
    /// Whether each period is summed up for itself.
    pub each: bool,
    /// From periods that began at this moment or later.
    pub since: Timestamp,
    /// How many sums at most.
    pub limit: usize,
}

/// Figures that were summed up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FigureSum {
    /// The period's beginning, if each was asked for.
    pub at: Option<Timestamp>,
    /// What they are the figures of: the name of a route or link, the code of a country; of several
    /// together, with a `/` between them.
    pub name: String,
    /// The channel.
    pub channel: Channel,
    /// How far down the line the receipts come from.
    pub grade: Grade,
    /// The figures.
    pub figures: Figures,
}

#[expect(clippy::cast_precision_loss, reason = "a rate of more than 2^53 attempts can be rough")]
fn float(count: u64) -> f64 {
    count as f64
}

/// How many buckets the histogram of waits has.
pub const WAITS: usize = WAITS_S.len() + 1;

/// The upper ends of the buckets of waits, in seconds: fine where a code is still of use.
pub const WAITS_S: [u32; 12] = [1, 2, 3, 5, 8, 13, 20, 30, 60, 300, 1800, 14_400];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_wait_is_read_off_the_histogram() {
        let mut figures = Figures::default();
        assert_eq!(figures.median_wait_s(), None);
        for wait in [500, 700, 2500, 2600, 90_000] {
            figures.waited(Duration::from_millis(wait));
        }
        assert_eq!(figures.median_wait_s(), Some(2.25));
        for _ in 0..10 {
            figures.waited(Duration::from_hours(50));
        }
        assert_eq!(figures.median_wait_s(), Some(14_400.0));
    }

    #[test]
    fn a_wait_that_is_just_a_limit_lies_below_it() {
        let mut figures = Figures::default();
        figures.waited(Duration::from_secs(1));
        figures.waited(Duration::ZERO);
        assert_eq!(figures.waits[0], 2);
    }

    #[test]
    fn a_period_begins_at_its_own_length() {
        let noon = Timestamp::from_millis(1_795_348_800_000 + 61_001);
        let begun = |period: Period| noon.since(period.begin(noon)).as_millis();
        assert_eq!(Period::ALL.map(begun), [1001, 61_001, 12 * 3_600_000 + 61_001]);
    }
}
