//! The range of every number that can be configured.

use std::time::Duration;

use super::mistakes::ConfigMistakes;
use super::sections::MEBIBYTE;

/// What a number of a key may be; where no source is named, the bounds are our choice: the lower
/// is the least that works at all, the upper the most that was ever of use or fits in memory.
pub(super) struct Range {
    pub(super) key: &'static str,
    min: i64,
    max: i64,
    unit: Unit,
}

/// What a number of a key counts.
enum Unit {
    Pieces(&'static str),
    Mebibytes,
    Milliseconds,
    Seconds,
    Hours,
    Days,
}

impl Range {
    const fn new(key: &'static str, min: i64, max: i64, unit: Unit) -> Self {
        Self { key, min, max, unit }
    }

    /// Returns the number written, or `default` if there is none or it is out of range.
    pub(super) fn number<T: TryFrom<i64>>(
        &self,
        written: Option<i64>,
        default: T,
        mistakes: &mut ConfigMistakes,
    ) -> T {
        self.within(written, mistakes).unwrap_or(default)
    }

    /// Returns the time written, or `default` if there is none or it is out of range.
    pub(super) fn duration(
        &self,
        written: Option<i64>,
        default: Duration,
        mistakes: &mut ConfigMistakes,
    ) -> Duration {
        self.within(written, mistakes).map_or(default, |count| self.unit.duration(count))
    }

    /// Returns the size written, in bytes, or `default` if there is none or it is out of range.
    pub(super) fn bytes(
        &self,
        written: Option<i64>,
        default: u64,
        mistakes: &mut ConfigMistakes,
    ) -> u64 {
        self.within(written, mistakes).map_or(default, |count: u64| count.saturating_mul(MEBIBYTE))
    }

    fn within<T: TryFrom<i64>>(
        &self,
        written: Option<i64>,
        mistakes: &mut ConfigMistakes,
    ) -> Option<T> {
        let number = written?;
        let fitting = T::try_from(number).ok();
        let fitting = fitting.filter(|_| (self.min..=self.max).contains(&number));
        if fitting.is_none() {
            let Self { key, min, max, unit } = self;
            let unit = unit.name();
            mistakes.add(*key, format!("is {number}; must be {min} to {max} {unit}"));
        }
        fitting
    }
}

impl Unit {
    fn name(&self) -> &'static str {
        match self {
            Self::Pieces(name) => name,
            Self::Mebibytes => "MiB",
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
            Self::Hours => "hours",
            Self::Days => "days",
        }
    }

    /// Returns the time that `count` of this unit make; what is not a time makes none.
    fn duration(&self, count: u64) -> Duration {
        match self {
            Self::Pieces(_) | Self::Mebibytes => Duration::ZERO,
            Self::Milliseconds => Duration::from_millis(count),
            Self::Seconds => Duration::from_secs(count),
            Self::Hours => Duration::from_hours(count),
            Self::Days => Duration::from_hours(count.saturating_mul(24)),
        }
    }
}

pub(super) const SERVER_BODY_BYTES_MAX: Range =
    Range::new("server.body_bytes_max", 1_024, 16_777_216, Unit::Pieces("bytes"));
pub(super) const SERVER_HEADER_TIMEOUT_MS: Range =
    Range::new("server.header_timeout_ms", 100, 60_000, Unit::Milliseconds);
pub(super) const SERVER_REQUEST_TIMEOUT_MS: Range =
    Range::new("server.request_timeout_ms", 100, 120_000, Unit::Milliseconds);
pub(super) const SERVER_CONNECTIONS_MAX: Range =
    Range::new("server.connections_max", 1, 1_000_000, Unit::Pieces("connections"));
pub(super) const SERVER_SHUTDOWN_GRACE_MS: Range =
    Range::new("server.shutdown_grace_ms", 0, 300_000, Unit::Milliseconds);
pub(super) const DATA_RETENTION_DAYS: Range =
    Range::new("data.retention_days", 1, 3_650, Unit::Days);
pub(super) const DATA_IDEMPOTENCY_HOURS: Range =
    Range::new("data.idempotency_hours", 1, 168, Unit::Hours);
pub(super) const STORE_QUEUE_MAX: Range =
    Range::new("store.queue_max", 1, 1_000_000, Unit::Pieces("writes"));
pub(super) const STORE_BATCH_MAX: Range =
    Range::new("store.batch_max", 1, 10_000, Unit::Pieces("writes"));
pub(super) const STORE_WAL_CHECKPOINT_MB: Range =
    Range::new("store.wal_checkpoint_mb", 1, 1_024, Unit::Mebibytes);
pub(super) const STORE_WAL_LIMIT_MB: Range =
    Range::new("store.wal_limit_mb", 4, 16_384, Unit::Mebibytes);
pub(super) const STORE_READER_THREADS: Range =
    Range::new("store.reader_threads", 1, 64, Unit::Pieces("threads"));
pub(super) const ENGINE_STEP_WAIT_S: Range =
    Range::new("engine.step_wait_s", 15, 900, Unit::Seconds);
/// The range of `pin_expiry` in Vonage's Verify reference.
pub(super) const ENGINE_LIFETIME_S: Range =
    Range::new("engine.lifetime_s", 60, 3_600, Unit::Seconds);
pub(super) const ENGINE_CANCEL_AFTER_S: Range =
    Range::new("engine.cancel_after_s", 0, 300, Unit::Seconds);
pub(super) const ENGINE_CHECKS_MAX: Range =
    Range::new("engine.checks_max", 1, 10, Unit::Pieces("checks"));
pub(super) const ENGINE_MESSAGE_LIFETIME_H: Range =
    Range::new("engine.message_lifetime_h", 1, 168, Unit::Hours);
pub(super) const ENGINE_UNCONFIRMED_WAIT_S: Range =
    Range::new("engine.unconfirmed_wait_s", 5, 900, Unit::Seconds);
pub(super) const LIMITS_ACCOUNT_PER_S: Range =
    Range::new("limits.account_per_s", 1, 100_000, Unit::Pieces("requests a second"));
pub(super) const LIMITS_NUMBER_STARTS_MAX: Range =
    Range::new("limits.number_starts_max", 1, 10_000, Unit::Pieces("starts"));
pub(super) const LIMITS_NUMBER_WINDOW_S: Range =
    Range::new("limits.number_window_s", 1, 604_800, Unit::Seconds);
pub(super) const LIMITS_PREFIX_STARTS_MAX: Range =
    Range::new("limits.prefix_starts_max", 1, 1_000_000, Unit::Pieces("starts"));
pub(super) const LIMITS_PREFIX_WINDOW_S: Range =
    Range::new("limits.prefix_window_s", 1, 604_800, Unit::Seconds);
pub(super) const LIMITS_PREFIX_DROP_DIGITS: Range =
    Range::new("limits.prefix_drop_digits", 1, 8, Unit::Pieces("digits"));
pub(super) const LIMITS_FAILED_AUTH_PER_MINUTE: Range =
    Range::new("limits.failed_auth_per_minute", 1, 100_000, Unit::Pieces("failures a minute"));
pub(super) const VONAGE_SIGNATURE_TOLERANCE_S: Range =
    Range::new("vonage.signature_tolerance_s", 1, 3_600, Unit::Seconds);
pub(super) const WEBHOOKS_GIVE_UP_H: Range = Range::new("webhooks.give_up_h", 1, 168, Unit::Hours);
pub(super) const WEBHOOKS_CONNECT_TIMEOUT_MS: Range =
    Range::new("webhooks.connect_timeout_ms", 100, 60_000, Unit::Milliseconds);
pub(super) const WEBHOOKS_ANSWER_TIMEOUT_MS: Range =
    Range::new("webhooks.answer_timeout_ms", 100, 120_000, Unit::Milliseconds);
pub(super) const WEBHOOKS_PER_ENDPOINT_MAX: Range =
    Range::new("webhooks.per_endpoint_max", 1, 1_000, Unit::Pieces("webhooks"));
pub(super) const WEBHOOKS_PER_ACCOUNT_MAX: Range =
    Range::new("webhooks.per_account_max", 1, 10_000, Unit::Pieces("webhooks"));
pub(super) const WEBHOOKS_IN_FLIGHT_MAX: Range =
    Range::new("webhooks.in_flight_max", 1, 10_000, Unit::Pieces("webhooks"));
/// What espeak-ng takes.
pub(super) const VOICE_SPEED_WPM: Range =
    Range::new("voice.speed_wpm", 80, 450, Unit::Pieces("words a minute"));
pub(super) const VOICE_REPEATS_MAX: Range =
    Range::new("voice.repeats_max", 0, 3, Unit::Pieces("repeats"));
/// Well within the time for which an attempt is leased.
pub(super) const VOICE_VOICE_WAIT_MS: Range =
    Range::new("voice.voice_wait_ms", 100, 30_000, Unit::Milliseconds);
pub(super) const VOICE_BRAND_WAIT_MS: Range =
    Range::new("voice.brand_wait_ms", 0, 10_000, Unit::Milliseconds);
pub(super) const VOICE_COMMAND_TIMEOUT_MS: Range =
    Range::new("voice.command_timeout_ms", 100, 60_000, Unit::Milliseconds);
pub(super) const VOICE_COMMANDS_MAX: Range =
    Range::new("voice.commands_max", 1, 64, Unit::Pieces("programs"));
pub(super) const VOICE_BRANDS_WAITING_MAX: Range =
    Range::new("voice.brands_waiting_max", 1, 10_000, Unit::Pieces("brands"));
pub(super) const VOICE_BRAND_CACHE_MB: Range =
    Range::new("voice.brand_cache_mb", 1, 4_096, Unit::Mebibytes);
pub(super) const SANDBOX_LATENCY_MS: Range =
    Range::new("sandbox.latency_ms", 0, 600_000, Unit::Milliseconds);
pub(super) const SANDBOX_INBOX_PER_HANDSET_MAX: Range =
    Range::new("sandbox.inbox_per_handset_max", 1, 10_000, Unit::Pieces("messages"));
pub(super) const SANDBOX_MESSAGES_MAX: Range =
    Range::new("sandbox.messages_max", 1, 10_000_000, Unit::Pieces("messages"));
