//! When a webhook that failed is tried again, and when it is given up.

/// How the waits between the tries of one webhook grow.
///
/// The vendor's documentation contradicts itself, so both of its answers are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Schedule {
    /// 5 s, 10 s, 20 s and so on, up to 15 minutes.
    #[default]
    Exponential,
    /// Every 60 s.
    Fixed60,
}

/// One webhook gets no further try this long after it came to be, in milliseconds: 72 hours.
/// Source: the vendor's documentation of delivery receipts.
pub const GIVE_UP_AFTER: i64 = 72 * 60 * 60 * 1000;

/// The largest value of the `jitter` argument, in thousandths of the range of ±10 %.
pub const JITTER_MAX: u16 = 1000;

/// The longest `Retry-After` that is honoured, in seconds.
/// Chosen: a receiver may ask for patience, but not hold an outcome back for days.
pub const RETRY_AFTER_MAX: u32 = 60 * 60;

impl Schedule {
    /// Returns when the next try is due, or `None` if the webhook is to be given up.
    ///
    /// Instants are milliseconds since 1970. `created_at` is when the webhook came to be, `tries`
    /// counts the tries that have failed and is at least 1, `now` is when the last one did.
    /// `jitter` is drawn from 0 to [`JITTER_MAX`] and moves the wait by -10 % to +10 %, so that
    /// webhooks which failed together do not come back together; more counts as [`JITTER_MAX`].
    pub fn next(self, created_at: i64, tries: u32, now: i64, jitter: u16) -> Option<i64> {
        let wait = match self {
            Self::Exponential => {
                let doublings = tries.saturating_sub(1).min(EXPONENTIAL_DOUBLINGS_MAX);
                (EXPONENTIAL_FIRST << doublings).min(EXPONENTIAL_MAX)
            }
            Self::Fixed60 => FIXED,
        };
        let permille = 900 + i64::from(jitter.min(JITTER_MAX)) * 200 / i64::from(JITTER_MAX);
        within_life(created_at, now.saturating_add(wait * permille / 1000))
    }

    /// Returns when the next try is due if the receiver asked not to be called for `retry_after`
    /// seconds; the rest is as for [`Schedule::next`].
    ///
    /// The receiver can lengthen a wait up to [`RETRY_AFTER_MAX`] and never shorten it.
    pub fn next_after(
        self,
        created_at: i64,
        tries: u32,
        now: i64,
        jitter: u16,
        retry_after: u32,
    ) -> Option<i64> {
        let asked = now.saturating_add(i64::from(retry_after.min(RETRY_AFTER_MAX)) * 1000);
        let due = self.next(created_at, tries, now, jitter)?;
        within_life(created_at, due.max(asked))
    }
}

fn within_life(created_at: i64, due: i64) -> Option<i64> {
    (due <= created_at.saturating_add(GIVE_UP_AFTER)).then_some(due)
}

/// The waits in milliseconds. Source: the vendor's help article on retries of webhooks.
const EXPONENTIAL_FIRST: i64 = 5_000;
const EXPONENTIAL_MAX: i64 = 900_000;

/// 5 s doubled eight times is beyond the cap already.
const EXPONENTIAL_DOUBLINGS_MAX: u32 = 8;

/// The wait in milliseconds. Source: the vendor's documentation of delivery receipts.
const FIXED: i64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_000_000;
    const NO_SHIFT: u16 = JITTER_MAX / 2;

    #[track_caller]
    fn assert_waits(schedule: Schedule, expected_seconds: &[i64]) {
        let mut now = START;
        for (tries, &seconds) in (1..).zip(expected_seconds) {
            let due = schedule.next(START, tries, now, NO_SHIFT).unwrap();
            assert_eq!(due - now, seconds * 1000, "after {tries} tries");
            now = due;
        }
    }

    #[test]
    fn exponential_waits_double_up_to_fifteen_minutes() {
        assert_waits(Schedule::Exponential, &[5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]);
        assert_eq!(
            Schedule::Exponential.next(START, u32::MAX, START, NO_SHIFT),
            Some(START + 900_000)
        );
    }

    #[test]
    fn fixed_waits_are_a_minute() {
        assert_waits(Schedule::Fixed60, &[60, 60, 60, 60]);
    }

    #[test]
    fn jitter_moves_a_wait_by_a_tenth_at_most() {
        for (jitter, wait) in [(0, 54_000), (500, 60_000), (1000, 66_000), (u16::MAX, 66_000)] {
            assert_eq!(Schedule::Fixed60.next(START, 1, START, jitter), Some(START + wait));
        }
    }

    #[test]
    fn a_webhook_is_given_up_after_three_days() {
        let last = START + GIVE_UP_AFTER - 60_000;
        assert_eq!(Schedule::Fixed60.next(START, 9, last, NO_SHIFT), Some(START + GIVE_UP_AFTER));
        assert_eq!(Schedule::Fixed60.next(START, 9, last + 1, NO_SHIFT), None);

        for schedule in [Schedule::Exponential, Schedule::Fixed60] {
            let (mut now, mut tries) = (START, 1);
            while let Some(due) = schedule.next(START, tries, now, JITTER_MAX) {
                assert!(due > now, "a try after {tries} others goes back in time");
                (now, tries) = (due, tries + 1);
            }
            assert!(now > START + GIVE_UP_AFTER - 1_000_000, "given up too early");
        }
    }

    #[test]
    fn a_receiver_may_lengthen_a_wait_within_bounds() {
        let next =
            |retry_after| Schedule::Fixed60.next_after(START, 1, START, NO_SHIFT, retry_after);
        assert_eq!(next(5), Some(START + 60_000));
        assert_eq!(next(120), Some(START + 120_000));
        assert_eq!(next(u32::MAX), Some(START + 3_600_000));

        let late = START + GIVE_UP_AFTER - 100_000;
        assert_eq!(Schedule::Fixed60.next_after(START, 1, late, NO_SHIFT, 120), None);
    }

    #[test]
    fn instants_at_the_edge_of_the_range_do_not_overflow() {
        assert_eq!(Schedule::Fixed60.next(i64::MIN, 1, i64::MAX, 0), None);
        assert_eq!(Schedule::Fixed60.next(i64::MAX, 0, i64::MAX, 0), Some(i64::MAX));
    }
}
