//! Turns what was written into what the server uses, and checks each value and how they fit.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::links;
use super::mistakes::ConfigMistakes;
use super::network::Network;
use super::ranges;
use super::raw::{
    RawAdmin, RawConfig, RawCountries, RawCurrency, RawData, RawEngine, RawLimits, RawLog,
    RawSandbox, RawServer, RawStore, RawTextmagic, RawVonage, RawWebhooks,
};
use super::sections::{
    AdminConfig, Config, CountriesConfig, CurrencyConfig, DataConfig, EngineConfig, KeySource,
    LimitsConfig, LogConfig, SandboxConfig, ServerConfig, StoreConfig, TextmagicConfig,
    VonageConfig, WebhooksConfig, default_key_file, default_token_file,
};
use super::voice;
use crate::seal::KeyRing;

/// Resolves every section; where something is wrong the result holds its default and `mistakes`
/// says so.
pub(super) fn resolve(
    raw: RawConfig,
    seal_keys: Option<KeyRing>,
    mistakes: &mut ConfigMistakes,
) -> Config {
    let data = data(raw.data, seal_keys, mistakes);
    let mut links = links::resolve_links(raw.link, mistakes);
    let is_link = |name: &str| links.contains_key(name);
    let routes = links::routes::resolve_routes(raw.route, &is_link, mistakes);
    let server = server(raw.server, mistakes);
    links::tell_public_url(&mut links, server.public_url.as_ref(), mistakes);
    let limits = limits(raw.limits, mistakes);
    // After a start the rates are counted from what is kept.
    for (window, length) in [
        ("limits.number_window_s", limits.number_window),
        ("limits.prefix_window_s", limits.prefix_window),
    ] {
        at_most(window, "data.retention_days", length <= data.retention, mistakes);
    }
    Config {
        links,
        routes,
        server,
        store: store(raw.store, mistakes),
        engine: engine(raw.engine, mistakes),
        limits,
        countries: countries(raw.countries, mistakes),
        vonage: vonage(raw.vonage, mistakes),
        textmagic: textmagic(raw.textmagic),
        webhooks: webhooks(raw.webhooks, mistakes),
        voice: voice::resolve(raw.voice, mistakes),
        sandbox: sandbox(raw.sandbox, mistakes),
        admin: admin(raw.admin, &data),
        log: log(raw.log),
        currency: currency(raw.currency, mistakes),
        data,
    }
}

fn server(raw: RawServer, mistakes: &mut ConfigMistakes) -> ServerConfig {
    let ours = ServerConfig::default();
    let server = ServerConfig {
        listen: text(raw.listen, "server.listen", ADDRESS, mistakes, |text| text.parse().ok())
            .unwrap_or(ours.listen),
        public_url: text(
            raw.public_url.filter(|url| !url.is_empty()),
            "server.public_url",
            PUBLIC_URL,
            mistakes,
            public_url,
        ),
        trusted_proxies: networks(raw.trusted_proxies, "server.trusted_proxies", mistakes),
        body_bytes_max: ranges::SERVER_BODY_BYTES_MAX.number(
            raw.body_bytes_max,
            ours.body_bytes_max,
            mistakes,
        ),
        header_timeout: ranges::SERVER_HEADER_TIMEOUT_MS.duration(
            raw.header_timeout_ms,
            ours.header_timeout,
            mistakes,
        ),
        request_timeout: ranges::SERVER_REQUEST_TIMEOUT_MS.duration(
            raw.request_timeout_ms,
            ours.request_timeout,
            mistakes,
        ),
        connections_max: ranges::SERVER_CONNECTIONS_MAX.number(
            raw.connections_max,
            ours.connections_max,
            mistakes,
        ),
        shutdown_grace: ranges::SERVER_SHUTDOWN_GRACE_MS.duration(
            raw.shutdown_grace_ms,
            ours.shutdown_grace,
            mistakes,
        ),
    };
    let fits = server.header_timeout <= server.request_timeout;
    at_most("server.header_timeout_ms", "server.request_timeout_ms", fits, mistakes);
    server
}

/// Reads where this server is reached.
fn public_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let fits = matches!(url.scheme(), "http" | "https") && url.host_str().is_some() && plain;
    fits.then(|| text.trim_end_matches('/').to_owned())
}

fn data(raw: RawData, seal_keys: Option<KeyRing>, mistakes: &mut ConfigMistakes) -> DataConfig {
    let ours = DataConfig::default();
    let dir = raw.dir.unwrap_or(ours.dir);
    if dir.as_os_str().is_empty() {
        mistakes.add("data.dir", "is empty; must name a folder");
    }
    let key_file = given(raw.key_file);
    if key_file.as_ref().is_some_and(|path| holds_keys(path)) {
        mistakes.add("data.key_file", "holds a key; must be a path to the file with the key");
    } else if key_file.is_some() && seal_keys.is_some() {
        mistakes.add(
            "data.key_file",
            "is given beside COUNTERSIGN_SEAL_KEYS; must be only one of the two",
        );
    }
    let keys = match seal_keys {
        Some(ring) => KeySource::Environment(ring),
        None => KeySource::File(key_file.unwrap_or_else(|| default_key_file(&dir))),
    };
    DataConfig {
        dir,
        keys,
        retention: ranges::DATA_RETENTION_DAYS.duration(
            raw.retention_days,
            ours.retention,
            mistakes,
        ),
        idempotency: ranges::DATA_IDEMPOTENCY_HOURS.duration(
            raw.idempotency_hours,
            ours.idempotency,
            mistakes,
        ),
    }
}

fn store(raw: RawStore, mistakes: &mut ConfigMistakes) -> StoreConfig {
    let ours = StoreConfig::default();
    let store = StoreConfig {
        queue_max: ranges::STORE_QUEUE_MAX.number(raw.queue_max, ours.queue_max, mistakes),
        batch_max: ranges::STORE_BATCH_MAX.number(raw.batch_max, ours.batch_max, mistakes),
        wal_checkpoint_bytes: ranges::STORE_WAL_CHECKPOINT_MB.bytes(
            raw.wal_checkpoint_mb,
            ours.wal_checkpoint_bytes,
            mistakes,
        ),
        wal_bytes_max: ranges::STORE_WAL_LIMIT_MB.bytes(
            raw.wal_limit_mb,
            ours.wal_bytes_max,
            mistakes,
        ),
        reader_threads: ranges::STORE_READER_THREADS.number(
            raw.reader_threads,
            ours.reader_threads,
            mistakes,
        ),
    };
    at_most("store.batch_max", "store.queue_max", store.batch_max <= store.queue_max, mistakes);
    let fits = store.wal_checkpoint_bytes <= store.wal_bytes_max;
    at_most("store.wal_checkpoint_mb", "store.wal_limit_mb", fits, mistakes);
    store
}

fn engine(raw: RawEngine, mistakes: &mut ConfigMistakes) -> EngineConfig {
    let ours = EngineConfig::default();
    let engine = EngineConfig {
        step_wait: ranges::ENGINE_STEP_WAIT_S.duration(raw.step_wait_s, ours.step_wait, mistakes),
        lifetime: ranges::ENGINE_LIFETIME_S.duration(raw.lifetime_s, ours.lifetime, mistakes),
        cancel_after: ranges::ENGINE_CANCEL_AFTER_S.duration(
            raw.cancel_after_s,
            ours.cancel_after,
            mistakes,
        ),
        checks_max: ranges::ENGINE_CHECKS_MAX.number(raw.checks_max, ours.checks_max, mistakes),
        message_lifetime: ranges::ENGINE_MESSAGE_LIFETIME_H.duration(
            raw.message_lifetime_h,
            ours.message_lifetime,
            mistakes,
        ),
        unconfirmed_wait: ranges::ENGINE_UNCONFIRMED_WAIT_S.duration(
            raw.unconfirmed_wait_s,
            ours.unconfirmed_wait,
            mistakes,
        ),
        unconfirmed_then: raw.unconfirmed_then.unwrap_or(ours.unconfirmed_then),
    };
    let fits = engine.cancel_after < engine.lifetime;
    relate(["engine.cancel_after_s", "engine.lifetime_s"], "less than", fits, mistakes);
    engine
}

fn limits(raw: RawLimits, mistakes: &mut ConfigMistakes) -> LimitsConfig {
    let ours = LimitsConfig::default();
    let limits = LimitsConfig {
        account_per_s: ranges::LIMITS_ACCOUNT_PER_S.number(
            raw.account_per_s,
            ours.account_per_s,
            mistakes,
        ),
        number_starts_max: ranges::LIMITS_NUMBER_STARTS_MAX.number(
            raw.number_starts_max,
            ours.number_starts_max,
            mistakes,
        ),
        number_window: ranges::LIMITS_NUMBER_WINDOW_S.duration(
            raw.number_window_s,
            ours.number_window,
            mistakes,
        ),
        prefix_starts_max: ranges::LIMITS_PREFIX_STARTS_MAX.number(
            raw.prefix_starts_max,
            ours.prefix_starts_max,
            mistakes,
        ),
        prefix_window: ranges::LIMITS_PREFIX_WINDOW_S.duration(
            raw.prefix_window_s,
            ours.prefix_window,
            mistakes,
        ),
        prefix_drop_digits: ranges::LIMITS_PREFIX_DROP_DIGITS.number(
            raw.prefix_drop_digits,
            ours.prefix_drop_digits,
            mistakes,
        ),
        failed_auth_per_minute: ranges::LIMITS_FAILED_AUTH_PER_MINUTE.number(
            raw.failed_auth_per_minute,
            ours.failed_auth_per_minute,
            mistakes,
        ),
    };
    // Over windows of different length a number may well be allowed more than its prefix.
    let fits = limits.number_starts_max <= limits.prefix_starts_max
        || limits.number_window != limits.prefix_window;
    at_most("limits.number_starts_max", "limits.prefix_starts_max", fits, mistakes);
    limits
}

fn countries(raw: RawCountries, mistakes: &mut ConfigMistakes) -> CountriesConfig {
    let allow = country_codes(raw.allow, "countries.allow", mistakes).unwrap_or_default();
    let deny = country_codes(raw.deny, "countries.deny", mistakes).unwrap_or_default();
    for code in allow.intersection(&deny) {
        let problem = format!("names {code}, which countries.allow names too; must be in one");
        mistakes.add("countries.deny", problem);
    }
    CountriesConfig { allow, deny }
}

fn vonage(raw: RawVonage, mistakes: &mut ConfigMistakes) -> VonageConfig {
    let ours = VonageConfig::default();
    let key = "vonage.short_code_countries";
    VonageConfig {
        enabled: raw.enabled.unwrap_or(ours.enabled),
        signature_tolerance: ranges::VONAGE_SIGNATURE_TOLERANCE_S.duration(
            raw.signature_tolerance_s,
            ours.signature_tolerance,
            mistakes,
        ),
        conversion_body: raw.conversion_body.unwrap_or(ours.conversion_body),
        short_code_countries: country_codes(raw.short_code_countries, key, mistakes)
            .unwrap_or(ours.short_code_countries),
    }
}

fn textmagic(raw: RawTextmagic) -> TextmagicConfig {
    let ours = TextmagicConfig::default();
    TextmagicConfig { enabled: raw.enabled.unwrap_or(ours.enabled) }
}

fn webhooks(raw: RawWebhooks, mistakes: &mut ConfigMistakes) -> WebhooksConfig {
    let ours = WebhooksConfig::default();
    let in_flight_max =
        ranges::WEBHOOKS_IN_FLIGHT_MAX.number(raw.in_flight_max, ours.in_flight_max, mistakes);
    let per_account_max = ranges::WEBHOOKS_PER_ACCOUNT_MAX.number(
        raw.per_account_max,
        // A default must fit the limit that was chosen.
        ours.per_account_max.min(in_flight_max),
        mistakes,
    );
    let webhooks = WebhooksConfig {
        schedule: raw.schedule.unwrap_or(ours.schedule),
        give_up: ranges::WEBHOOKS_GIVE_UP_H.duration(raw.give_up_h, ours.give_up, mistakes),
        connect_timeout: ranges::WEBHOOKS_CONNECT_TIMEOUT_MS.duration(
            raw.connect_timeout_ms,
            ours.connect_timeout,
            mistakes,
        ),
        answer_timeout: ranges::WEBHOOKS_ANSWER_TIMEOUT_MS.duration(
            raw.answer_timeout_ms,
            ours.answer_timeout,
            mistakes,
        ),
        per_endpoint_max: ranges::WEBHOOKS_PER_ENDPOINT_MAX.number(
            raw.per_endpoint_max,
            ours.per_endpoint_max,
            mistakes,
        ),
        per_account_max,
        in_flight_max,
        allow_private: raw.allow_private.unwrap_or(ours.allow_private),
    };
    let fits = webhooks.connect_timeout <= webhooks.answer_timeout;
    at_most("webhooks.connect_timeout_ms", "webhooks.answer_timeout_ms", fits, mistakes);
    let fits = webhooks.per_endpoint_max <= webhooks.in_flight_max;
    at_most("webhooks.per_endpoint_max", "webhooks.in_flight_max", fits, mistakes);
    let fits = webhooks.per_account_max <= webhooks.in_flight_max;
    at_most("webhooks.per_account_max", "webhooks.in_flight_max", fits, mistakes);
    webhooks
}

fn sandbox(raw: RawSandbox, mistakes: &mut ConfigMistakes) -> SandboxConfig {
    let ours = SandboxConfig::default();
    let sandbox = SandboxConfig {
        enabled: raw.enabled.unwrap_or(ours.enabled),
        latency: ranges::SANDBOX_LATENCY_MS.duration(raw.latency_ms, ours.latency, mistakes),
        inbox_per_handset_max: ranges::SANDBOX_INBOX_PER_HANDSET_MAX.number(
            raw.inbox_per_handset_max,
            ours.inbox_per_handset_max,
            mistakes,
        ),
        messages_max: ranges::SANDBOX_MESSAGES_MAX.number(
            raw.messages_max,
            ours.messages_max,
            mistakes,
        ),
    };
    let fits = sandbox.inbox_per_handset_max <= sandbox.messages_max;
    at_most("sandbox.inbox_per_handset_max", "sandbox.messages_max", fits, mistakes);
    sandbox
}

fn admin(raw: RawAdmin, data: &DataConfig) -> AdminConfig {
    AdminConfig {
        enabled: raw.enabled.unwrap_or(AdminConfig::default().enabled),
        token_file: given(raw.token_file).unwrap_or_else(|| default_token_file(&data.dir)),
    }
}

fn log(raw: RawLog) -> LogConfig {
    let ours = LogConfig::default();
    LogConfig { format: raw.format.unwrap_or(ours.format), level: raw.level.unwrap_or(ours.level) }
}

fn currency(raw: RawCurrency, mistakes: &mut ConfigMistakes) -> CurrencyConfig {
    let code = text(raw.code, "currency.code", CURRENCY, mistakes, |code| {
        is_capitals(code, 3).then(|| code.to_owned())
    });
    code.map_or_else(CurrencyConfig::default, |code| CurrencyConfig { code })
}

/// Parses a text, or tells what it is and what it must be.
fn text<T>(
    written: Option<String>,
    key: &str,
    right: &str,
    mistakes: &mut ConfigMistakes,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let written = written?;
    let parsed = parse(&written);
    if parsed.is_none() {
        mistakes.add(key, format!("is `{written}`; must be {right}"));
    }
    parsed
}

/// An empty path stands for the default, so that the example can show every key.
fn given(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

/// A key in place of its path would end up in a message about a file that cannot be opened.
fn holds_keys(path: &Path) -> bool {
    path.to_str().is_some_and(|text| KeyRing::parse(text).is_ok())
}

fn networks(
    written: Option<Vec<String>>,
    key: &str,
    mistakes: &mut ConfigMistakes,
) -> Vec<Network> {
    let read = |text: String| {
        let network = Network::parse(&text);
        if network.is_none() {
            mistakes.add(key, format!("names `{text}`; must be {NETWORKS}"));
        }
        network
    };
    written.unwrap_or_default().into_iter().filter_map(read).collect()
}

fn country_codes(
    written: Option<Vec<String>>,
    key: &str,
    mistakes: &mut ConfigMistakes,
) -> Option<BTreeSet<String>> {
    let written = written?;
    for code in written.iter().filter(|code| !is_capitals(code, 2)) {
        mistakes.add(key, format!("names `{code}`; must be {COUNTRIES}"));
    }
    Some(written.into_iter().collect())
}

fn is_capitals(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn at_most(low: &str, high: &str, fits: bool, mistakes: &mut ConfigMistakes) {
    relate([low, high], "at most", fits, mistakes);
}

/// Tells that two keys contradict each other, unless one of them is wrong by itself and so stands
/// at its default here.
fn relate(keys: [&str; 2], relation: &str, fits: bool, mistakes: &mut ConfigMistakes) {
    let [low, high] = keys;
    if !fits && !mistakes.has(low) && !mistakes.has(high) {
        mistakes.add(low, format!("does not fit {high}; must be {relation} that"));
    }
}

const ADDRESS: &str = "an address and a port, like `127.0.0.1:8080` or `[::]:8080`";
const PUBLIC_URL: &str = "an http or https URL, like `https://sms.example.com`";
const NETWORKS: &str = "addresses or networks, like `10.0.0.5` or `10.0.0.0/8`";
const COUNTRIES: &str = "ISO 3166-1 alpha-2 codes in capitals, like `DE`";
const CURRENCY: &str = "an ISO 4217 code in capitals, like `EUR`";
