//! The configuration as the server uses it, with its defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Then, Unconfirmed};
use serde::Deserialize;

use super::links::LinkConfig;
use super::links::routes::RouteConfig;
use super::network::Network;
use super::voice::VoiceConfig;
use crate::seal::KeyRing;

/// A configuration without mistakes; every value lies in the range that its key documents.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[server]`: the listener and its limits.
    pub server: ServerConfig,
    /// `[data]`: what is kept, where, and for how long.
    pub data: DataConfig,
    /// `[store]`: the embedded database.
    pub store: StoreConfig,
    /// `[engine]`: the rules of a verification where a request does not set them.
    pub engine: EngineConfig,
    /// `[limits]`: how much is let in.
    pub limits: LimitsConfig,
    /// `[countries]`: which countries are served.
    pub countries: CountriesConfig,
    /// `[vonage]`: the Vonage door.
    pub vonage: VonageConfig,
    /// `[textmagic]`: the Textmagic door.
    pub textmagic: TextmagicConfig,
    /// `[webhooks]`: how accounts are told.
    pub webhooks: WebhooksConfig,
    /// `[voice]`: how codes are spoken.
    pub voice: VoiceConfig,
    /// `[sandbox]`: invented handsets in place of carriers.
    pub sandbox: SandboxConfig,
    /// `[admin]`: the operator's door.
    pub admin: AdminConfig,
    /// `[log]`: what is logged and how.
    pub log: LogConfig,
    /// `[currency]`: what prices are in.
    pub currency: CurrencyConfig,
    /// `[link.NAME]`: the ways to carriers, by name.
    pub links: BTreeMap<String, LinkConfig>,
    /// `[route.NAME]`: which attempts go which way, in the order in which they are looked at.
    pub routes: Vec<RouteConfig>,
}

/// The listener and its limits.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// Where carriers reach this server, without a slash at the end.
    pub public_url: Option<String>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// The longest request body read, in bytes.
    pub body_bytes_max: usize,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long a request may take as a whole.
    pub request_timeout: Duration,
    /// How many connections are open at a time; further ones wait.
    pub connections_max: usize,
    /// How long requests under way may take to finish once the server is told to stop.
    pub shutdown_grace: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            trusted_proxies: Vec::new(),
            body_bytes_max: 64 * 1024,
            header_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            connections_max: 10_000,
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// What is kept, where, and for how long.
#[derive(Clone, Debug)]
pub struct DataConfig {
    /// The folder of the database.
    pub dir: PathBuf,
    /// Where the keys that seal the database come from.
    pub keys: KeySource,
    /// How long a verification that has ended is kept.
    pub retention: Duration,
    /// How long a repeated request is recognised by its idempotency key.
    pub idempotency: Duration,
}

impl Default for DataConfig {
    fn default() -> Self {
        let dir = PathBuf::from(DATA_DIR);
        let keys = KeySource::File(default_key_file(&dir));
        Self {
            dir,
            keys,
            retention: Duration::from_hours(30 * 24),
            idempotency: Duration::from_hours(24),
        }
    }
}

/// Where the keys that seal the database come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// From this file, which is created if it is missing.
    File(PathBuf),
    /// From the environment, as this ring.
    Environment(KeyRing),
}

/// The embedded database.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// How many writes may wait; beyond it requests are refused.
    pub queue_max: usize,
    /// How many writes share one commit at most.
    pub batch_max: usize,
    /// The size of the write-ahead log, in bytes, from which it is folded into the database.
    pub wal_checkpoint_bytes: u64,
    /// The size of the write-ahead log, in bytes, that writers wait for it to fall below.
    pub wal_bytes_max: u64,
    /// How many threads read.
    pub reader_threads: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            queue_max: 10_000,
            batch_max: 512,
            wal_checkpoint_bytes: 16 * MEBIBYTE,
            wal_bytes_max: 256 * MEBIBYTE,
            reader_threads: 2,
        }
    }
}

/// The rules of a verification where a request does not set them.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// How long a step waits for a check before the next one begins.
    pub step_wait: Duration,
    /// How long a code can be checked.
    pub lifetime: Duration,
    /// How long after its start a verification cannot be cancelled yet.
    pub cancel_after: Duration,
    /// How many checks a verification takes before it fails.
    pub checks_max: u8,
    /// How long the receipt of a message is waited for.
    pub message_lifetime: Duration,
    /// How long a receipt is waited for when nobody knows whether a carrier took an attempt.
    pub unconfirmed_wait: Duration,
    /// What follows then.
    pub unconfirmed_then: UnconfirmedThen,
}

impl EngineConfig {
    /// Returns what follows when nobody knows whether a carrier took an attempt, as the engine
    /// knows it.
    pub fn unconfirmed(&self) -> Option<Unconfirmed> {
        let then = match self.unconfirmed_then {
            UnconfirmedThen::Wait => return None,
            UnconfirmedThen::NextStep => Then::NextStep,
            UnconfirmedThen::NextLink => Then::NextLink,
        };
        Some(Unconfirmed { wait: self.unconfirmed_wait, then })
    }
}

/// What follows when no receipt has cleared an unconfirmed attempt up.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum UnconfirmedThen {
    /// The workflow goes on in its own time.
    Wait,
    /// The next step begins.
    NextStep,
    /// The attempt is sent once more, over another link if there is one.
    NextLink,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            step_wait: Duration::from_mins(1),
            lifetime: Duration::from_mins(5),
            cancel_after: Duration::from_secs(30),
            checks_max: 3,
            message_lifetime: Duration::from_hours(72),
            unconfirmed_wait: Duration::from_secs(30),
            unconfirmed_then: UnconfirmedThen::Wait,
        }
    }
}

/// How much is let in.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// Requests a second of one account.
    pub account_per_s: u32,
    /// Starts to one number within `number_window`.
    pub number_starts_max: u32,
    /// The time over which starts to one number are counted.
    pub number_window: Duration,
    /// Starts to one prefix within `prefix_window`.
    pub prefix_starts_max: u32,
    /// The time over which starts to one prefix are counted.
    pub prefix_window: Duration,
    /// How many last digits a number loses to become its prefix.
    pub prefix_drop_digits: u8,
    /// Failed authentications a minute from one address.
    pub failed_auth_per_minute: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            account_per_s: 30,
            number_starts_max: 10,
            number_window: Duration::from_hours(1),
            prefix_starts_max: 200,
            prefix_window: Duration::from_hours(1),
            prefix_drop_digits: 4,
            failed_auth_per_minute: 60,
        }
    }
}

/// Which countries are served, as ISO 3166-1 alpha-2 codes in capitals.
#[derive(Clone, Debug, Default)]
pub struct CountriesConfig {
    /// The only countries served; if empty, all but those denied.
    pub allow: BTreeSet<String>,
    /// The countries never served.
    pub deny: BTreeSet<String>,
}

/// The Vonage door.
#[derive(Clone, Debug)]
pub struct VonageConfig {
    /// Whether the door is open.
    pub enabled: bool,
    /// How far the timestamp of a signed request may be from ours.
    pub signature_tolerance: Duration,
    /// What a conversion is answered with.
    pub conversion_body: ConversionBody,
    /// The countries that short-code messages go to, as ISO 3166-1 alpha-2 codes in capitals.
    pub short_code_countries: BTreeSet<String>,
}

impl Default for VonageConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            signature_tolerance: Duration::from_mins(5),
            conversion_body: ConversionBody::Ok,
            short_code_countries: ["CA", "US"].map(str::to_owned).into(),
        }
    }
}

/// What a conversion is answered with, because clients in use expect either.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum ConversionBody {
    /// The text `OK`.
    Ok,
    /// A JSON object.
    Json,
}

/// The Textmagic door.
#[derive(Clone, Debug)]
pub struct TextmagicConfig {
    /// Whether the door is open.
    pub enabled: bool,
}

impl Default for TextmagicConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// How accounts are told.
#[derive(Clone, Debug)]
pub struct WebhooksConfig {
    /// How the waits between repetitions grow.
    pub schedule: WebhookSchedule,
    /// How long a webhook is repeated before it is given up.
    pub give_up: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the whole exchange may take.
    pub answer_timeout: Duration,
    /// How many webhooks are under way to one endpoint at a time.
    pub per_endpoint_max: usize,
    /// How many webhooks of one account are under way at a time.
    pub per_account_max: usize,
    /// How many webhooks are under way at a time.
    pub in_flight_max: usize,
    /// Whether webhooks may go to private, loopback and link-local addresses.
    pub allow_private: bool,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            schedule: WebhookSchedule::Exponential,
            give_up: Duration::from_hours(72),
            connect_timeout: Duration::from_secs(3),
            answer_timeout: Duration::from_secs(15),
            per_endpoint_max: 8,
            per_account_max: 64,
            in_flight_max: 256,
            allow_private: false,
        }
    }
}

/// How the waits between the repetitions of a webhook grow.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum WebhookSchedule {
    /// Each wait is longer than the one before.
    Exponential,
    /// All waits are the same.
    Fixed,
}

/// Invented handsets in place of carriers.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Whether messages go to invented handsets.
    pub enabled: bool,
    /// How long after a send its receipt comes.
    pub latency: Duration,
    /// How many messages a handset keeps; the oldest is dropped for a new one.
    pub inbox_per_handset_max: usize,
    /// How many messages all handsets keep together.
    pub messages_max: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            latency: Duration::from_millis(300),
            inbox_per_handset_max: 100,
            messages_max: 200_000,
        }
    }
}

/// The operator's door.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Whether the door is open.
    pub enabled: bool,
    /// The file with the operator's token, which is created if it is missing.
    pub token_file: PathBuf,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { enabled: true, token_file: default_token_file(Path::new(DATA_DIR)) }
    }
}

/// What is logged and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level logged.
    pub level: LogLevel,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LogLevel::Info }
    }
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How important a line of the log is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures that someone must look at.
    Error,
    /// What may become one.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What explains a single request.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Returns the name of the level as it is configured.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// What prices are in.
#[derive(Clone, Debug)]
pub struct CurrencyConfig {
    /// The ISO 4217 code of the currency, three capitals.
    pub code: String,
}

impl Default for CurrencyConfig {
    fn default() -> Self {
        Self { code: "EUR".to_owned() }
    }
}

pub(super) fn default_key_file(dir: &Path) -> PathBuf {
    dir.join("seal.key")
}

pub(super) fn default_token_file(dir: &Path) -> PathBuf {
    dir.join("admin.token")
}

const DATA_DIR: &str = "data";
pub(super) const MEBIBYTE: u64 = 1024 * 1024;
