//! When a webhook that failed is tried again, and when it is given up.

use std::time::Duration;

use engine::Timestamp;

use crate::config::WebhookSchedule;

/// How the waits between the tries of one webhook grow, and when they end.
///
/// The vendor's documentation contradicts itself, so both of its answers are offered: 5 s, 10 s,
/// 20 s and so on, up to 15 minutes; or 60 s every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// How the waits grow.
    pub waits: WebhookSchedule,
    /// A webhook gets no further try this long after it came to be.
    pub give_up: Duration,
}

/// The largest value of the `jitter` argument, in thousandths of its range.
pub const JITTER_MAX: u32 = 1000;

/// The longest `Retry-After` that is honoured.
/// Chosen: a receiver may ask for patience, but not hold an outcome back for days.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

impl Schedule {
    /// Returns the schedule of messages from handsets, which are given up sooner.
    #[must_use]
    pub fn of_inbound(self) -> Self {
        Self { give_up: self.give_up.min(INBOUND_GIVE_UP), ..self }
    }

    /// Returns when the next try is due, or `None` if the webhook is to be given up.
    ///
    /// `tries` counts the tries that have failed and is at least 1, `now` is when the last one did.
    /// `jitter` is drawn from 0 to [`JITTER_MAX`] and shortens the wait by up to a tenth, so that
    /// webhooks which failed together do not come back together; more counts as [`JITTER_MAX`].
    /// A receiver that asked to be left alone for `retry_after` can lengthen a wait, up to
    /// [`RETRY_AFTER_MAX`], and never shorten it.
    pub fn next(
        self,
        created_at: Timestamp,
        tries: u32,
        now: Timestamp,
        jitter: u32,
        retry_after: Option<Duration>,
    ) -> Option<Timestamp> {
        let wait = match self.waits {
            WebhookSchedule::Exponential => {
                let doublings = tries.saturating_sub(1).min(EXPONENTIAL_DOUBLINGS_MAX);
                (EXPONENTIAL_FIRST * (1 << doublings)).min(EXPONENTIAL_MAX)
            }
            WebhookSchedule::Fixed => FIXED,
        };
        let wait = wait.saturating_sub(wait / 10 * jitter.min(JITTER_MAX) / JITTER_MAX);
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let due = now.after(wait.max(asked));
        (due <= created_at.after(self.give_up)).then_some(due)
    }
}

/// The waits. Source: the vendor's help article on retries of webhooks.
const EXPONENTIAL_FIRST: Duration = Duration::from_secs(5);
const EXPONENTIAL_MAX: Duration = Duration::from_mins(15);

/// 5 s doubled eight times is beyond the cap already.
const EXPONENTIAL_DOUBLINGS_MAX: u32 = 8;

/// Source: the vendor's documentation of inbound messages, which differs from that of receipts.
const INBOUND_GIVE_UP: Duration = Duration::from_hours(24);

/// The wait. Source: the vendor's documentation of delivery receipts.
const FIXED: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const LIFE: Duration = Duration::from_hours(72);
    const EXPONENTIAL: Schedule = Schedule { waits: WebhookSchedule::Exponential, give_up: LIFE };
    const EVERY_MINUTE: Schedule = Schedule { waits: WebhookSchedule::Fixed, give_up: LIFE };

    #[track_caller]
    fn assert_waits(schedule: Schedule, expected_seconds: &[u64]) {
        let mut now = START;
        for (tries, &seconds) in (1..).zip(expected_seconds) {
            let due = schedule.next(START, tries, now, 0, None).unwrap();
            assert_eq!(due.since(now), Duration::from_secs(seconds), "after {tries} tries");
            now = due;
        }
    }

    #[test]
    fn exponential_waits_double_up_to_fifteen_minutes() {
        assert_waits(EXPONENTIAL, &[5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]);
        assert_eq!(
            EXPONENTIAL.next(START, u32::MAX, START, 0, None),
            Some(START.after(Duration::from_mins(15)))
        );
    }

    #[test]
    fn fixed_waits_are_a_minute() {
        assert_waits(EVERY_MINUTE, &[60, 60, 60, 60]);
    }

    #[test]
    fn jitter_shortens_a_wait_by_a_tenth_at_most() {
        for (jitter, wait) in [(0, 60_000), (500, 57_000), (1000, 54_000), (u32::MAX, 54_000)] {
            let due = START.after(Duration::from_millis(wait));
            assert_eq!(EVERY_MINUTE.next(START, 1, START, jitter, None), Some(due));
        }
    }

    #[test]
    fn a_webhook_is_given_up_at_the_end_of_its_life() {
        let end = START.after(LIFE);
        let last = end.before(FIXED);
        assert_eq!(EVERY_MINUTE.next(START, 9, last, 0, None), Some(end));
        let too_late = last.after(Duration::from_millis(1));
        assert_eq!(EVERY_MINUTE.next(START, 9, too_late, 0, None), None);

        for schedule in [EXPONENTIAL, EVERY_MINUTE] {
            let (mut now, mut tries) = (START, 1);
            while let Some(due) = schedule.next(START, tries, now, 0, None) {
                assert!(due > now, "a try after {tries} others goes back in time");
                (now, tries) = (due, tries + 1);
            }
            assert!(now > end.before(EXPONENTIAL_MAX), "given up too early");
        }
    }

    #[test]
    fn a_message_from_a_handset_is_given_up_after_a_day_at_most() {
        assert_eq!(EXPONENTIAL.of_inbound().give_up, Duration::from_hours(24));
        let shorter = Schedule { give_up: Duration::from_hours(1), ..EXPONENTIAL };
        assert_eq!(shorter.of_inbound(), shorter);
    }

    #[test]
    fn a_receiver_may_lengthen_a_wait_within_bounds() {
        let next = |asked| {
            let due = EVERY_MINUTE.next(START, 1, START, 0, Some(Duration::from_secs(asked)));
            due.map(|due| due.since(START).as_secs())
        };
        assert_eq!(next(5), Some(60));
        assert_eq!(next(120), Some(120));
        assert_eq!(next(u64::MAX), Some(3600));

        let late = START.after(LIFE).before(Duration::from_secs(100));
        let asked = Some(Duration::from_mins(2));
        assert_eq!(EVERY_MINUTE.next(START, 1, late, 0, asked), None);
    }
}
