//! The only file that reads the operating system's clock or draws randomness.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Tells the time: the system's clock plus an offset that can only grow.
///
/// A clone shares the offset with its original.
/// What it tells never goes backwards and never stands still. If the system's clock is set
/// forward, this one follows at once. If it is set back, this one goes on at nine tenths of its
/// pace until the two agree.
#[derive(Clone)]
pub struct Clock {
    shared: Arc<Shared>,
}

struct Shared {
    source: Source,
    // The watch channel is both the value and the alarm of those who sleep.
    offset_ms: watch::Sender<u64>,
}

enum Source {
    System { started: Instant, pace: Mutex<Pace> },
    Standing(u64),
}

/// Follows a wall clock that may be set, by the measure of a monotonic one that may not.
#[derive(Debug, Default)]
struct Pace {
    /// What was told last, since the Unix epoch.
    told: Duration,
    /// The monotonic clock at that moment, since it was started.
    read: Duration,
}

impl Pace {
    /// Returns the time when the monotonic clock shows `read` and the wall clock `wall`.
    fn tell(&mut self, read: Duration, wall: Duration) -> Duration {
        let passed = read.saturating_sub(self.read);
        let kept = self.told.saturating_add(passed);
        // Deadlines and rates depend on time that passes: one that stood still until the wall
        // clock had caught up would stop every step and refuse every start.
        let slack = kept.saturating_sub(wall).min(passed / SLEW_PART);
        self.told = kept.saturating_sub(slack).max(wall);
        self.read = self.read.max(read);
        self.told
    }
}

impl Clock {
    /// Makes a clock that follows the system's, with no offset.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn system() -> Self {
        Self::new(Source::System { started: Instant::now(), pace: Mutex::default() })
    }

    /// Makes a clock that stands at `start` and moves only when it is advanced.
    pub fn standing_at(start: Timestamp) -> Self {
        Self::new(Source::Standing(start.as_millis()))
    }

    fn new(source: Source) -> Self {
        Self { shared: Arc::new(Shared { source, offset_ms: watch::Sender::new(0) }) }
    }

    /// Returns the time, which is never earlier than any this clock has returned before.
    pub fn now(&self) -> Timestamp {
        let ahead_of = |millis: u64| millis.saturating_add(*self.shared.offset_ms.borrow());
        let told = match &self.shared.source {
            Source::System { started, pace } => {
                let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
                // The offset is added under the lock too, so that of two callers the later one
                // is told the later time.
                ahead_of(whole_millis(pace.tell(started.elapsed(), system_time())))
            }
            Source::Standing(millis) => ahead_of(*millis),
        };
        Timestamp::from_millis(told)
    }

    /// Moves the time forward by `step`, in whole milliseconds, and wakes whoever sleeps too long.
    pub fn advance(&self, step: Duration) {
        self.shared
            .offset_ms
            .send_modify(|offset| *offset = offset.saturating_add(whole_millis(step)));
    }

    /// Returns how far this clock has been moved ahead of the system's.
    pub fn offset(&self) -> Duration {
        Duration::from_millis(*self.shared.offset_ms.borrow())
    }

    /// Restores an offset kept from an earlier run; one smaller than the present is ignored.
    pub fn set_offset(&self, offset: Duration) {
        let kept = whole_millis(offset);
        self.shared.offset_ms.send_if_modified(|present| {
            let grows = kept > *present;
            if grows {
                *present = kept;
            }
            grows
        });
    }

    /// Waits until [`Clock::now`] is at or after `at`; wakes early when the clock is advanced.
    ///
    /// Dropping the future has no effect on the clock.
    pub async fn sleep_until(&self, at: Timestamp) {
        // Subscribed before the first look at the time, so that no advance falls between the two.
        let mut advanced = self.shared.offset_ms.subscribe();
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left.min(SLEEP_MAX)) => {}
                // The sender lives in `self`, so this cannot report a closed channel.
                _ = advanced.changed() => {}
            }
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("offset", &self.offset()).finish_non_exhaustive()
    }
}

/// Renders an instant as RFC 3339 has it, in UTC: `2019-01-01T00:00:00.000Z`. One beyond the year
/// 9999 is drawn back to it, so that rendering cannot fail.
pub fn utc(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    format!("{at:.3}")
}

/// The system's time for a line of the log, which the sandbox's clock does not move.
pub fn log_time() -> jiff::Timestamp {
    let millis = i64::try_from(whole_millis(system_time())).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}

/// Returns a word of `length` characters, letters and digits, that nobody can guess.
pub fn draw_word(length: usize) -> String {
    let alphabet = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let draw = |_| {
        let index = uniform_below(36);
        alphabet.get(usize::try_from(index).unwrap_or(0)).map_or('0', |byte| char::from(*byte))
    };
    (0..length).map(draw).collect()
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns how long it has been.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Returns `N` bytes of the operating system's cryptographic randomness.
///
/// Panics if the system has none to give: nothing secret may be made without it.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

/// Returns a number below `n`, each with the same probability; 0 when `n` is 0.
pub fn uniform_below(n: u32) -> u32 {
    // 2^32 mod n: refusing that many of the lowest draws leaves a whole multiple of n.
    let Some(surplus) = n.wrapping_neg().checked_rem(n) else { return 0 };
    loop {
        let draw = u32::from_ne_bytes(random_bytes());
        if draw >= surplus {
            return draw % n;
        }
    }
}

/// Returns some time between none and `longest`, to the millisecond.
pub fn up_to(longest: Duration) -> Duration {
    let millis = u32::try_from(longest.as_millis()).unwrap_or(u32::MAX);
    Duration::from_millis(uniform_below(millis.saturating_add(1)).into())
}

/// Returns somewhere between half of a pause and all of it, so that those who were sent away
/// together do not come back together.
pub fn jittered(pause: Duration) -> Duration {
    pause / 2 + up_to(pause / 2)
}

/// Draws a code of `length` decimal digits, each with the same probability.
///
/// A length outside [`DIGITS_MIN`]`..=`[`DIGITS_MAX`] is brought to the nearer end, so that no
/// mistake of a caller can make an empty code.
/// The text is wiped from memory when dropped.
pub fn draw_digits(length: u8) -> Zeroizing<String> {
    let length = usize::from(length.clamp(DIGITS_MIN, DIGITS_MAX));
    // The whole capacity at once: a string that grows leaves copies behind that nobody wipes.
    let mut digits = Zeroizing::new(String::with_capacity(length));
    let mut draws = Zeroizing::new([0_u8; DRAWS_AT_ONCE]);
    while digits.len() < length {
        fill_random(draws.as_mut_slice());
        let fair = draws.iter().filter(|draw| **draw < DRAWS_FAIR);
        let missing = length - digits.len();
        digits.extend(fair.take(missing).map(|draw| char::from(b'0' + draw % 10)));
    }
    digits
}

fn fill_random(bytes: &mut [u8]) {
    // To go on would make codes and keys that can be guessed.
    assert!(SystemRandom::new().fill(bytes).is_ok(), "the system has no randomness to give");
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
fn system_time() -> Duration {
    // A clock before 1970 is not set; time then starts at the epoch.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The fewest digits of a code: the shortest both wire APIs accept.
pub const DIGITS_MIN: u8 = 4;
/// The most digits of a code: the longest either wire API accepts.
pub const DIGITS_MAX: u8 = 10;

/// Longest uninterrupted sleep (a choice): how late a sleeper notices that the system's clock was
/// set forward.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// Of the time that passes, one part in so many is left out while the wall clock is behind (a
/// choice): no deadline comes late by more than a ninth, and an hour is made up for in ten.
const SLEW_PART: u32 = 10;
/// Enough that a longest code nearly always needs one call to the system.
const DRAWS_AT_ONCE: usize = 16;
/// The largest multiple of ten that a byte can stay below; the rest would favour 0 to 5.
const DRAWS_FAIR: u8 = 250;

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn a_clone_is_advanced_with_its_original() {
        let clock = Clock::standing_at(NOON);
        let clone = clock.clone();
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clone.now().since(NOON), Duration::from_millis(1_500));
        assert_eq!(clone.offset(), Duration::from_millis(1_500));
    }

    #[test]
    fn a_pause_is_between_half_of_itself_and_itself() {
        let pause = Duration::from_mins(1);
        let pauses: Vec<Duration> = (0..1000).map(|_| jittered(pause)).collect();
        assert!(pauses.iter().all(|drawn| (pause / 2..=pause).contains(drawn)));
        let (shortest, longest) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        assert!(*longest > *shortest + pause / 4, "they differ: {shortest:?} to {longest:?}");
        assert_eq!(up_to(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn time_never_goes_backwards() {
        let clock = Clock::standing_at(NOON);
        clock.set_offset(Duration::from_mins(1));
        clock.set_offset(Duration::from_secs(10));
        assert_eq!(clock.offset(), Duration::from_mins(1), "a smaller offset is ignored");
        assert_eq!(clock.now().since(NOON), Duration::from_mins(1));
    }

    #[test]
    fn a_wall_clock_set_back_an_hour_slows_time_down_until_they_agree() {
        let hour = Duration::from_hours(1);
        let start = hour * 24;
        let mut pace = Pace::default();
        assert_eq!(pace.tell(Duration::ZERO, start), start);
        let mut told = start;
        for minute in 1..=11 * 60 {
            let passed = Duration::from_mins(minute);
            let next = pace.tell(passed, (start + passed).saturating_sub(hour));
            assert!(next >= told + Duration::from_secs(54), "time stands still after {minute} min");
            told = next;
        }
        assert_eq!(told, start + hour * 10, "after ten hours they agree, and then keep pace");
    }

    #[test]
    fn readings_close_together_slow_down_as_readings_far_apart_do() {
        let start = Duration::from_hours(24);
        let mut pace = Pace::default();
        pace.tell(Duration::ZERO, start);
        for millionth in 1..=10_000 {
            pace.tell(Duration::from_micros(millionth), Duration::ZERO);
        }
        let told = pace.tell(Duration::from_millis(10), Duration::ZERO);
        assert_eq!(told, start + Duration::from_millis(9));
    }

    #[test]
    fn a_wall_clock_set_forward_is_followed_at_once_and_a_jump_and_back_stops_nothing() {
        let day = Duration::from_hours(24);
        let second = Duration::from_secs(1);
        let mut pace = Pace::default();
        pace.tell(Duration::ZERO, day);
        assert_eq!(pace.tell(second, day * 2), day * 2);
        assert_eq!(pace.tell(second * 11, day + second * 11), day * 2 + second * 9);
    }

    #[test]
    fn the_longest_interruption_of_a_reader_does_not_turn_time_back() {
        let mut pace = Pace::default();
        let told = pace.tell(Duration::from_secs(5), Duration::from_secs(100));
        assert_eq!(pace.tell(Duration::from_secs(4), Duration::from_secs(99)), told);
    }

    #[test]
    fn the_end_of_time_is_a_wall_and_not_a_wrap() {
        let clock = Clock::standing_at(NOON);
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now().as_millis(), u64::MAX);
    }

    #[test]
    fn the_system_clock_is_told_in_milliseconds_of_this_century() {
        let now = Clock::system().now().as_millis();
        assert!((1_700_000_000_000..4_000_000_000_000).contains(&now), "{now}");
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come() {
        let clock = Clock::system();
        let at = clock.now().after(Duration::from_millis(20));
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }

    #[tokio::test]
    async fn an_advance_wakes_a_sleeper_early_but_not_too_early() {
        let clock = Clock::standing_at(NOON);
        let mut sleep = pin!(clock.sleep_until(NOON.after(Duration::from_hours(1))));
        let mut context = Context::from_waker(Waker::noop());
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_secs(3_599));
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_secs(1));
        assert!(sleep.as_mut().poll(&mut context).is_ready());
    }

    #[tokio::test]
    async fn an_advance_rouses_a_task_that_sleeps_for_an_hour() {
        let clock = Clock::standing_at(NOON);
        let sleeper = clock.clone();
        let task = tokio::spawn(async move {
            sleeper.sleep_until(NOON.after(Duration::from_hours(1))).await;
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_hours(1));
        tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
    }

    #[test]
    fn a_code_has_the_length_asked_for_and_never_fewer_than_four_digits() {
        for (asked, drawn) in [(0, 4), (4, 4), (6, 6), (10, 10), (200, 10)] {
            let digits = draw_digits(asked);
            assert_eq!(digits.len(), drawn);
            assert!(digits.bytes().all(|digit| digit.is_ascii_digit()));
        }
    }

    #[test]
    fn every_digit_is_as_likely_as_any_other() {
        // This many tell a plain remainder of a byte, which favours 0 to 5 by 4 %, from a fair draw.
        let mut seen = [0_u32; 10];
        for _ in 0..60_000 {
            for digit in draw_digits(10).bytes() {
                seen[usize::from(digit - b'0')] += 1;
            }
        }
        assert!(chi_square(&seen) < CHI_SQUARE_9_MAX, "{seen:?}");
    }

    #[test]
    fn a_number_below_n_is_as_likely_as_any_other() {
        // At three quarters of the range a plain remainder would hit the lower half twice as often.
        let n = 3 << 30;
        let tenth = n / 10 + 1;
        let mut seen = [0_u32; 10];
        for _ in 0..20_000 {
            let draw = uniform_below(n);
            assert!(draw < n);
            seen[(draw / tenth) as usize] += 1;
        }
        assert!(chi_square(&seen) < CHI_SQUARE_9_MAX, "{seen:?}");
    }

    #[test]
    fn below_one_and_below_zero_there_is_only_zero() {
        assert_eq!((uniform_below(0), uniform_below(1)), (0, 0));
    }

    fn chi_square(seen: &[u32; 10]) -> f64 {
        let expected = f64::from(seen.iter().sum::<u32>()) / 10.0;
        seen.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
    }

    /// A fair source exceeds this, with nine degrees of freedom, in one run of sixty thousand million
    /// (p about 1.5e-11).
    const CHI_SQUARE_9_MAX: f64 = 70.0;
}
