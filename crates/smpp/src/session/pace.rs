//! How fast a bind may submit: a token bucket that adapts to what the SMSC bears.

use core::num::NonZeroU32;
use core::time::Duration;

/// The pace of one bind.
///
/// It may outlive its session: a caller that binds again can go on at the pace it had found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    rate_max: u64,
    /// What the rate was cut to, and when; it grows from there.
    rate_cut: u64,
    cut_at: Option<Duration>,
    /// When the bucket is full again; it is empty if that is [`BURST`] away.
    full_at: Duration,
}

impl Pace {
    /// Starts at the most PDUs a second that the SMSC is said to bear.
    pub fn new(pdus_per_second_max: NonZeroU32) -> Self {
        let rate_max = u64::from(pdus_per_second_max.get()) * MILLI;
        Self { rate_max, rate_cut: rate_max, cut_at: None, full_at: Duration::ZERO }
    }

    /// Returns the PDUs a second that are let through now, in thousandths.
    pub fn rate_millis(&self, now: Duration) -> u64 {
        let Some(cut_at) = self.cut_at else { return self.rate_max };
        let grown = u128::from(self.rate_max) * now.saturating_sub(cut_at).as_millis()
            / RECOVERY.as_millis();
        let grown = u64::try_from(grown).unwrap_or(u64::MAX);
        self.rate_cut.saturating_add(grown).min(self.rate_max)
    }

    /// Takes one token, or says when there will be one.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let rate = self.rate_millis(now);
        let interval = Duration::from_nanos((NANOS_PER_SECOND * MILLI).div_ceil(rate.max(1)));
        let full_at = self.full_at.max(now) + interval;
        // A bucket holds one token at least, or the slowest pace would be none.
        let until = full_at.saturating_sub(BURST.max(interval));
        if until > now {
            return Err(until);
        }
        self.full_at = full_at;
        Ok(())
    }

    /// Slows down because the SMSC refused a PDU submitted at `submitted_at` for its load.
    ///
    /// What was submitted before the last cut says nothing about the pace after it, so that a
    /// window of refusals counts once.
    pub(super) fn throttled(&mut self, submitted_at: Duration, now: Duration) {
        if self.cut_at.is_some_and(|cut_at| submitted_at < cut_at) {
            return;
        }
        let kept = self.rate_millis(now) / CUT_DIVISOR * CUT_KEPT;
        self.rate_cut = kept.max(RATE_MIN.min(self.rate_max));
        self.cut_at = Some(now);
    }
}

/// How much may go at once: a tenth of a second's worth.
///
/// A choice: SMSCs count by the second, so that a tenth of it in one write does not exceed what
/// they allow, and a code need not wait for a timer's tick.
const BURST: Duration = Duration::from_millis(100);

/// A throttle leaves seven tenths of the rate, as CUBIC's congestion control does (RFC 9438, 4.6):
/// the mean rate then stays above four fifths of what the SMSC bears.
const CUT_KEPT: u64 = 7;
const CUT_DIVISOR: u64 = 10;

/// How long the rate takes to grow from nothing to its maximum.
///
/// A choice: long enough that a refusal a second after each cut costs few messages, short enough
/// that an SMSC's bad minute does not slow an hour.
const RECOVERY: Duration = Duration::from_mins(1);

/// The slowest pace, in thousandths: one PDU in two seconds still finds out that it got better.
const RATE_MIN: u64 = 500;

const MILLI: u64 = 1000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate: u32) -> Pace {
        Pace::new(NonZeroU32::new(rate).unwrap())
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Submits as fast as the pace allows from `from` to `to`, and counts.
    fn taken(pace: &mut Pace, from: u64, to: u64) -> usize {
        let (mut now, mut count) = (at(from), 0);
        while now < at(to) {
            match pace.take(now) {
                Ok(()) => count += 1,
                Err(until) => now = until,
            }
        }
        count
    }

    #[test]
    fn a_second_lets_its_rate_through_and_a_burst_before() {
        assert_eq!(taken(&mut pace(100), 0, 1000), 109);
        assert_eq!(taken(&mut pace(1), 0, 10_000), 10);
        assert_eq!(taken(&mut pace(1), 5_000, 5_001), 1);
    }

    #[test]
    fn a_pace_that_waited_long_bursts_no_more_than_one_that_just_began() {
        let mut waited = pace(50);
        assert_eq!(taken(&mut waited, 0, 1), taken(&mut waited, 3_600_000, 3_600_001));
    }

    #[test]
    fn a_window_of_refusals_slows_down_once() {
        let mut pace = pace(100);
        for _ in 0..50 {
            pace.throttled(at(10), at(60));
        }
        assert_eq!(pace.rate_millis(at(60)), 70_000);
        pace.throttled(at(61), at(100));
        assert!((49_000..50_000).contains(&pace.rate_millis(at(100))));
    }

    #[test]
    fn a_pace_never_stops_and_grows_back_to_its_maximum_and_no_further() {
        let mut pace = pace(100);
        for round in 0..100 {
            pace.throttled(at(round), at(round));
        }
        assert!((500..1000).contains(&pace.rate_millis(at(99))));
        assert!((50_000..51_000).contains(&pace.rate_millis(at(30_099))));
        assert_eq!(pace.rate_millis(at(60_099)), 100_000);
        assert_eq!(pace.rate_millis(at(999_999)), 100_000);
    }

    #[test]
    fn against_an_smsc_that_bears_half_most_of_the_half_is_used_and_few_are_refused() {
        let mut pace = pace(100);
        let (mut now, mut accepted, mut refused) = (at(0), 0_u32, 0_u32);
        let (mut second, mut in_second) = (0, 0);
        while now < at(300_000) {
            if let Err(until) = pace.take(now) {
                now = until;
                continue;
            }
            if now.as_secs() != second {
                (second, in_second) = (now.as_secs(), 0);
            }
            in_second += 1;
            if in_second > 50 {
                refused += 1;
                pace.throttled(now, now + at(20));
            } else {
                accepted += 1;
            }
        }
        assert!(accepted > 300 * 50 * 7 / 10, "{accepted} accepted");
        assert!(refused < accepted / 50, "{refused} refused of {accepted}");
    }
}
