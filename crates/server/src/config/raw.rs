//! The configuration exactly as written: every key optional, nothing checked but its type.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::links::routes::RawRoute;
use super::sections::{ConversionBody, LogFormat, LogLevel, UnconfirmedThen, WebhookSchedule};
use super::voice::RawVoice;

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) server: RawServer,
    pub(super) data: RawData,
    pub(super) store: RawStore,
    pub(super) engine: RawEngine,
    pub(super) limits: RawLimits,
    pub(super) countries: RawCountries,
    pub(super) vonage: RawVonage,
    pub(super) textmagic: RawTextmagic,
    pub(super) webhooks: RawWebhooks,
    pub(super) voice: RawVoice,
    pub(super) sandbox: RawSandbox,
    pub(super) admin: RawAdmin,
    pub(super) log: RawLog,
    pub(super) currency: RawCurrency,
    /// Each link's table is read by its kind.
    pub(super) link: BTreeMap<String, toml::Table>,
    pub(super) route: BTreeMap<String, RawRoute>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawServer {
    pub(super) listen: Option<String>,
    pub(super) public_url: Option<String>,
    pub(super) trusted_proxies: Option<Vec<String>>,
    pub(super) body_bytes_max: Option<i64>,
    pub(super) header_timeout_ms: Option<i64>,
    pub(super) request_timeout_ms: Option<i64>,
    pub(super) connections_max: Option<i64>,
    pub(super) shutdown_grace_ms: Option<i64>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawData {
    pub(super) dir: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) retention_days: Option<i64>,
    pub(super) idempotency_hours: Option<i64>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStore {
    pub(super) queue_max: Option<i64>,
    pub(super) batch_max: Option<i64>,
    pub(super) wal_checkpoint_mb: Option<i64>,
    pub(super) wal_limit_mb: Option<i64>,
    pub(super) reader_threads: Option<i64>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawEngine {
    pub(super) step_wait_s: Option<i64>,
    pub(super) lifetime_s: Option<i64>,
    pub(super) cancel_after_s: Option<i64>,
    pub(super) checks_max: Option<i64>,
    pub(super) message_lifetime_h: Option<i64>,
    pub(super) unconfirmed_wait_s: Option<i64>,
    pub(super) unconfirmed_then: Option<UnconfirmedThen>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) account_per_s: Option<i64>,
    pub(super) number_starts_max: Option<i64>,
    pub(super) number_window_s: Option<i64>,
    pub(super) prefix_starts_max: Option<i64>,
    pub(super) prefix_window_s: Option<i64>,
    pub(super) prefix_drop_digits: Option<i64>,
    pub(super) failed_auth_per_minute: Option<i64>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawCountries {
    pub(super) allow: Option<Vec<String>>,
    pub(super) deny: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawVonage {
    pub(super) enabled: Option<bool>,
    pub(super) signature_tolerance_s: Option<i64>,
    pub(super) conversion_body: Option<ConversionBody>,
    pub(super) short_code_countries: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTextmagic {
    pub(super) enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawWebhooks {
    pub(super) schedule: Option<WebhookSchedule>,
    pub(super) give_up_h: Option<i64>,
    pub(super) connect_timeout_ms: Option<i64>,
    pub(super) answer_timeout_ms: Option<i64>,
    pub(super) per_endpoint_max: Option<i64>,
    pub(super) per_account_max: Option<i64>,
    pub(super) in_flight_max: Option<i64>,
    pub(super) allow_private: Option<bool>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSandbox {
    pub(super) enabled: Option<bool>,
    pub(super) latency_ms: Option<i64>,
    pub(super) inbox_per_handset_max: Option<i64>,
    pub(super) messages_max: Option<i64>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAdmin {
    pub(super) enabled: Option<bool>,
    pub(super) token_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) format: Option<LogFormat>,
    pub(super) level: Option<LogLevel>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawCurrency {
    pub(super) code: Option<String>,
}
