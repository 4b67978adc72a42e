//! Rates: a token bucket that needs one number per key.

use core::time::Duration;

use crate::Timestamp;

/// So many in a window, with a burst of as many at once: the generic cell rate algorithm
/// (ITU-T I.371), which is a token bucket whose whole state is one instant.
///
/// A bucket of `n` that was full lets `n` through at once and refills meanwhile, so a window after
/// a pause can hold up to `2 n - 1`; in the long run it is `n` a window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    count: u32,
    window: Duration,
}

/// The theoretical arrival time of the next admission, in microseconds since the Unix epoch: the
/// whole state of one bucket.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tat(u64);

impl Limit {
    /// Allows `count` at once and one more every `window / count`; none at all if `count` is zero.
    pub const fn new(count: u32, window: Duration) -> Self {
        Self { count, window }
    }

    /// Returns how many there may be in a window.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Returns how long it takes a spent bucket to fill up: what must be replayed after a restart.
    pub const fn window(self) -> Duration {
        self.window
    }

    /// Admits one more and returns the bucket's new state, or how long to wait.
    pub fn admit(self, tat: Tat, now: Timestamp) -> Result<Tat, Duration> {
        if self.count == 0 {
            return Err(self.window);
        }
        let window = u64::try_from(self.window.as_micros()).unwrap_or(u64::MAX);
        let interval = (window / u64::from(self.count)).max(1);
        let now = now.as_millis().saturating_mul(1000);
        let next = tat.0.max(now).saturating_add(interval);
        let ahead = next - now;
        if ahead > window {
            return Err(Duration::from_micros(ahead - window));
        }
        Ok(Tat(next))
    }

    /// Whether the bucket is full again, so that its state can be forgotten.
    pub fn is_idle(tat: Tat, now: Timestamp) -> bool {
        tat.0 <= now.as_millis().saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn thirty_go_at_once_and_the_next_after_a_thirtieth_of_a_second() {
        let limit = Limit::new(30, Duration::from_secs(1));
        let now = Timestamp::from_millis(1_000_000);
        let mut tat = Tat::default();
        for _ in 0..30 {
            tat = limit.admit(tat, now).unwrap();
        }
        let wait = limit.admit(tat, now).unwrap_err();
        assert_eq!(wait.as_millis(), 33);
        assert!(limit.admit(tat, now.after(Duration::from_millis(34))).is_ok());
    }

    #[test]
    fn ten_an_hour_are_nineteen_in_the_hour_after_a_pause_and_ten_in_the_next() {
        let limit = Limit::new(10, Duration::from_hours(1));
        let mut tat = Tat::default();
        let mut admitted = [0, 0];
        for minute in 0..120 {
            let now = Timestamp::from_millis(1_000_000 + minute * 60_000);
            while let Ok(next) = limit.admit(tat, now) {
                tat = next;
                admitted[usize::from(minute >= 60)] += 1;
            }
        }
        assert_eq!(admitted, [19, 10]);
    }

    #[test]
    fn a_limit_of_zero_admits_nothing() {
        let limit = Limit::new(0, Duration::from_secs(1));
        assert!(limit.admit(Tat::default(), Timestamp::from_millis(5)).is_err());
    }

    proptest! {
        #[test]
        fn a_window_holds_at_most_a_full_bucket_and_what_refills_of_it(
            gaps in prop::collection::vec(0_u64..400, 1..300), count in 1_u32..40,
        ) {
            let limit = Limit::new(count, Duration::from_secs(1));
            let mut now = 1_000_000;
            let mut tat = Tat::default();
            let mut admitted = Vec::new();
            for gap in gaps {
                now += gap;
                if let Ok(next) = limit.admit(tat, Timestamp::from_millis(now)) {
                    tat = next;
                    admitted.push(now);
                }
            }
            for (i, &at) in admitted.iter().enumerate() {
                let in_window = admitted[i..].iter().take_while(|&&t| t < at + 1000).count();
                prop_assert!(in_window < 2 * count as usize, "a full burst, then the rate");
            }
        }

        #[test]
        fn waiting_as_long_as_told_is_enough(spent in 0_u32..60, count in 1_u32..40) {
            let limit = Limit::new(count, Duration::from_secs(1));
            let now = Timestamp::from_millis(1_000_000);
            let mut tat = Tat::default();
            for _ in 0..spent {
                match limit.admit(tat, now) {
                    Ok(next) => tat = next,
                    Err(wait) => {
                        let later = now.after(wait + Duration::from_millis(1));
                        prop_assert!(limit.admit(tat, later).is_ok());
                    }
                }
            }
        }
    }
}
