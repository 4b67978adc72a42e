//! Configuration: one file and the environment, checked as a whole before anything starts.

mod links;
mod mistakes;
mod network;
mod ranges;
mod raw;
mod resolve;
mod sections;
mod voice;
mod written;

use std::ffi::OsString;
use std::path::Path;

pub use self::voice::VoiceConfig;
pub use links::http::{
    AnswerRules, BodyKind, Field, Found, HttpConfig, InboundRules, Pattern, ReportRules, Slot,
    Template,
};
pub use links::routes::{RouteConfig, RouteEntry, SenderKind, Tier, resolve_entries};
pub use links::sip::{Billing, CallCaps, SipConfig, SipTransport};
pub use links::smpp::{
    BindMode, NumberingPlans, Segmentation, SmppConfig, SmscAddress, TlsConfig, TonNpi,
};
pub use links::{Grade, LinkConfig, LinkKind};
pub use mistakes::{ConfigMistakes, Mistake};
pub use network::Network;
pub use sections::{
    AdminConfig, Config, ConversionBody, CountriesConfig, CurrencyConfig, DataConfig, EngineConfig,
    KeySource, LimitsConfig, LogConfig, LogFormat, LogLevel, SandboxConfig, ServerConfig,
    StoreConfig, TextmagicConfig, UnconfirmedThen, VonageConfig, WebhookSchedule, WebhooksConfig,
};

impl Config {
    /// Reads the file at `path`, if one is given, lays the variables of `environment` over it, and
    /// checks the whole; without a file every key has its default.
    ///
    /// `COUNTERSIGN_<SECTION>__<KEY>` replaces a key of the file; its value is written as in the
    /// file, except that a text needs no quotes and a list of texts may be separated by commas.
    /// `COUNTERSIGN_SEAL_KEYS` holds a whole key ring in place of `data.key_file`.
    ///
    /// Fails with every mistake there is, but a file that is not TOML hides its other mistakes.
    pub fn load<N, V>(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigMistakes>
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let mut mistakes = ConfigMistakes::default();
        let mut written = written::Written::default();
        if let Some(path) = path {
            written.read_file(path, &mut mistakes);
        }
        for (name, value) in environment {
            written.take_variable(name.into(), value.into(), &mut mistakes);
        }
        let (raw, seal_keys) = written.finish(&mut mistakes);
        let config = resolve::resolve(raw, seal_keys, &mut mistakes);
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }
}

/// Returns the environment of this process, for [`Config::load`]; nothing else reads it.
pub fn process_environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::raw::RawConfig;
    use super::*;

    const EXAMPLE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../countersign.example.toml"));
    const NO_VARIABLES: [(&str, &str); 0] = [];

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigMistakes> {
        let dir = write(file);
        Config::load(Some(&dir.path().join("countersign.toml")), variables.iter().copied())
    }

    fn write(file: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("countersign.toml"), file).unwrap();
        dir
    }

    fn mistakes(file: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let found = load(file, variables).unwrap_err();
        found.iter().map(ToString::to_string).collect()
    }

    /// The one mistake of a file, which must name `key` and say `right`.
    #[track_caller]
    fn refuses(file: &str, key: &str, right: &str) {
        let found = mistakes(file, &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(key) && found[0].contains(right), "{found:?}");
    }

    #[test]
    fn the_example_holds_every_default() {
        let example = load(EXAMPLE, &[]).unwrap();
        assert_eq!(format!("{example:#?}"), format!("{:#?}", Config::default()));
    }

    #[test]
    fn every_key_is_in_the_example() {
        let raw: RawConfig = toml::from_str(EXAMPLE).unwrap();
        let sections = serde_json::to_value(raw).unwrap();
        for (section, keys) in sections.as_object().unwrap() {
            for (key, value) in keys.as_object().unwrap() {
                assert!(!value.is_null(), "{section}.{key} is not in the example");
            }
        }
    }

    #[test]
    fn every_key_of_the_example_is_explained() {
        let lines: Vec<&str> = EXAMPLE.lines().collect();
        // Examples that are commented out have tests of their own.
        let keys = |pair: &&[&str]| pair[1].contains(" = ") && !pair[1].starts_with('#');
        for pair in lines.windows(2).filter(keys) {
            assert!(pair[0].starts_with("# "), "nothing explains `{}`", pair[1]);
        }
    }

    #[test]
    fn every_number_has_the_range_that_the_example_tells() {
        let example: toml::Table = toml::from_str(EXAMPLE).unwrap();
        let numbers = example.iter().flat_map(|(section, keys)| {
            let keys = keys.as_table().unwrap().iter().filter(|(_, value)| value.is_integer());
            keys.map(move |(key, _)| (section, key))
        });
        for (section, key) in numbers {
            let told = mistakes(&format!("{section}.{key} = -1"), &[]).remove(0);
            let range = told.split_once("must be ").unwrap().1;
            let (min, rest) = range.split_once(" to ").unwrap();
            let max = rest.split(' ').next().unwrap();

            let start = EXAMPLE.find(&format!("\n[{section}]\n")).unwrap();
            let end = start + EXAMPLE[start..].find(&format!("\n{key} = ")).unwrap();
            let comment = EXAMPLE[..end].rsplit(" = ").next().unwrap().replace("\n#", "");
            assert!(comment.contains(&format!("{min} to {max}")), "{section}.{key}: {range}");

            let problem = |value: i64| {
                let loaded = load(&format!("{section}.{key} = {value}"), &[]);
                loaded.map_err(|found| found.to_string()).err().unwrap_or_default()
            };
            let (min, max): (i64, i64) = (min.parse().unwrap(), max.parse().unwrap());
            assert!(problem(min - 1).contains(range) && problem(max + 1).contains(range));
            assert!(!problem(min).contains(range) && !problem(max).contains(range));
        }
    }

    #[test]
    fn a_variable_cannot_smuggle_in_a_second_key() {
        let smuggled = "600\n[admin]\nenabled = false";
        let told = mistakes("", &[("COUNTERSIGN_ENGINE__LIFETIME_S", smuggled)]);
        assert!(told[0].contains("engine.lifetime_s"), "{told:?}");
    }

    #[test]
    fn a_variable_of_ours_that_is_not_utf8_is_refused_and_others_are_ignored() {
        let garbled = || OsString::from_vec(vec![b'5', 0xff]);
        assert!(
            Config::load(None, [("PATH", garbled()), ("COUNTERSIGN_CONFIG", garbled())]).is_ok()
        );
        let error = Config::load(None, [("COUNTERSIGN_DATA__DIR", garbled())]).unwrap_err();
        assert!(error.to_string().contains("COUNTERSIGN_DATA__DIR: is not UTF-8"), "{error}");
    }

    #[test]
    fn without_a_file_every_key_has_its_default() {
        let config = Config::load(None, NO_VARIABLES).unwrap();
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_key_of_the_file_replaces_its_default_and_no_other() {
        let config = load("[engine]\nlifetime_s = 600", &[]).unwrap();
        assert_eq!(config.engine.lifetime.as_secs(), 600);
        assert_eq!(config.engine.step_wait, Config::default().engine.step_wait);
    }

    #[test]
    fn a_variable_replaces_a_key_of_the_file() {
        let variables = [
            ("COUNTERSIGN_ENGINE__LIFETIME_S", "900"),
            ("COUNTERSIGN_SANDBOX__ENABLED", "true"),
            ("COUNTERSIGN_CURRENCY__CODE", "USD"),
            ("COUNTERSIGN_DATA__DIR", "2026"),
            ("COUNTERSIGN_COUNTRIES__ALLOW", "DE, FR"),
            ("COUNTERSIGN_COUNTRIES__DENY", r#"["US"]"#),
            ("COUNTERSIGN_VONAGE__SHORT_CODE_COUNTRIES", ""),
            ("COUNTERSIGN_CONFIG", "is for the command line"),
            ("PATH", "/bin"),
        ];
        let config = load("[engine]\nlifetime_s = 600", &variables).unwrap();
        assert_eq!(config.engine.lifetime.as_secs(), 900);
        assert!(config.sandbox.enabled);
        assert_eq!(config.currency.code, "USD");
        assert_eq!(config.data.dir, Path::new("2026"));
        assert!(config.countries.allow.iter().eq(["DE", "FR"]));
        assert!(config.countries.deny.iter().eq(["US"]));
        assert!(config.vonage.short_code_countries.is_empty());
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let file = "
            [server]
            lisen = '0.0.0.0:80'
            body_bytes_max = 'big'
            [engine]
            checks_max = 11
            [sandbocks]
            enabled = true
            [webhooks]
            schedule = 'sometimes'";
        let variables = [
            ("COUNTERSIGN_ENGINE__STEP_WAIT_S", "5"),
            ("COUNTERSIGN_ENGINE__STEP_WEIGHT", "secret-looking"),
        ];
        insta::assert_snapshot!(load(file, &variables).unwrap_err(), @r#"
        the configuration has 7 mistakes
          sandbocks: unknown key `sandbocks`, expected one of `server`, `data`, `store`, `engine`, `limits`, `countries`, `vonage`, `textmagic`, `webhooks`, `voice`, `sandbox`, `admin`, `log`, `currency`, `link`, `route`
          server.body_bytes_max: invalid type: string "big", expected a whole number
          server.lisen: unknown key `lisen`, expected one of `listen`, `public_url`, `trusted_proxies`, `body_bytes_max`, `header_timeout_ms`, `request_timeout_ms`, `connections_max`, `shutdown_grace_ms`
          webhooks.schedule: unknown value `sometimes`, expected `exponential` or `fixed`
          engine.step_weight (COUNTERSIGN_ENGINE__STEP_WEIGHT): unknown key `step_weight`, expected one of `step_wait_s`, `lifetime_s`, `cancel_after_s`, `checks_max`, `message_lifetime_h`, `unconfirmed_wait_s`, `unconfirmed_then`
          engine.step_wait_s (COUNTERSIGN_ENGINE__STEP_WAIT_S): is 5; must be 15 to 900 seconds
          engine.checks_max: is 11; must be 1 to 10 checks
        "#);
    }

    #[test]
    fn a_file_that_is_not_toml_is_told_with_its_line() {
        refuses("[engine]\nlifetime_s = = 5", "countersign.toml", "line 2");
    }

    #[test]
    fn what_is_not_a_section_is_refused() {
        refuses("engine = 5", "engine", "`[engine]`");
        refuses("engine = []", "engine", "`[engine]`");
        refuses("[sandbocks]", "sandbocks", "`sandbox`");
        refuses("lifetime_s = 300", "lifetime_s", "expected one of `server`");
    }

    #[test]
    fn a_file_that_is_missing_is_told_by_its_name() {
        let error = Config::load(Some(Path::new("/nowhere/c.toml")), NO_VARIABLES).unwrap_err();
        assert!(error.to_string().contains("/nowhere/c.toml"), "{error}");
    }

    #[test]
    fn each_kind_of_text_is_checked() {
        refuses("server.listen = 'localhost:80'", "server.listen", "an address and a port");
        for network in ["10.0.0.0/33", "10.0.0.1/8", "proxy.example", "::/129", "10.0.0.0/-1"] {
            let file = format!("server.trusted_proxies = ['{network}']");
            refuses(&file, "server.trusted_proxies", "`10.0.0.0/8`");
        }
        refuses("currency.code = 'euro'", "currency.code", "ISO 4217");
        refuses("countries.deny = ['DE', 'usa']", "countries.deny", "ISO 3166");
        refuses("data.dir = ''", "data.dir", "folder");
        refuses("log.level = 'loud'", "log.level", "`info`");
    }

    #[test]
    fn keys_that_contradict_each_other_are_refused() {
        refuses(
            "engine = { lifetime_s = 60, cancel_after_s = 60 }",
            "cancel_after_s",
            "lifetime_s",
        );
        // A key that is wrong by itself is not also told to contradict another.
        refuses("engine = { lifetime_s = 9000, cancel_after_s = 300 }", "lifetime_s", "3600");
        refuses("store = { queue_max = 100, batch_max = 200 }", "batch_max", "queue_max");
        refuses("store.wal_limit_mb = 8", "wal_limit_mb", "wal_checkpoint_mb");
        refuses("server.request_timeout_ms = 1000", "header_timeout_ms", "request_timeout_ms");
        refuses("webhooks.answer_timeout_ms = 1000", "connect_timeout_ms", "answer_timeout_ms");
        refuses("webhooks.in_flight_max = 4", "per_endpoint_max", "in_flight_max");
        refuses("webhooks.per_account_max = 257", "per_account_max", "in_flight_max");
        refuses("limits.prefix_starts_max = 5", "number_starts_max", "prefix_starts_max");
        let day = "data.retention_days = 1\n";
        for window in ["number_window_s", "prefix_window_s"] {
            refuses(&format!("{day}limits.{window} = 86401"), window, "retention_days");
            assert!(load(&format!("{day}limits.{window} = 86400"), &[]).is_ok(), "{window}");
        }
        refuses("countries = { allow = ['DE'], deny = ['DE'] }", "countries.deny", "DE");
    }

    #[test]
    fn the_files_with_secrets_lie_in_the_data_folder_unless_told_otherwise() {
        let moved = load("data.dir = '/srv'", &[]).unwrap();
        assert!(
            matches!(moved.data.keys, KeySource::File(path) if path == Path::new("/srv/seal.key"))
        );
        assert_eq!(moved.admin.token_file, Path::new("/srv/admin.token"));
        let told = load("data.key_file = '/run/k'\nadmin.token_file = '/run/t'", &[]).unwrap();
        assert!(matches!(told.data.keys, KeySource::File(path) if path == Path::new("/run/k")));
        assert_eq!(told.admin.token_file, Path::new("/run/t"));
    }

    #[test]
    fn a_key_ring_in_the_environment_is_taken_and_never_shown() {
        let ring = format!("k1:{}=", "QUFB".repeat(10) + "QUE");
        let config = load("", &[("COUNTERSIGN_SEAL_KEYS", &ring)]).unwrap();
        assert!(matches!(&config.data.keys, KeySource::Environment(ring) if ring.ids().eq(["k1"])));
        assert!(!format!("{config:?}").contains("QUFB"));

        let both = mistakes("data.key_file = 'k'", &[("COUNTERSIGN_SEAL_KEYS", &ring)]);
        assert!(both[0].contains("data.key_file"), "{both:?}");
        let broken = mistakes("", &[("COUNTERSIGN_SEAL_KEYS", "k1:QUFB")]);
        assert!(broken[0].contains("openssl") && !broken[0].contains("QUFB"), "{broken:?}");
        let misplaced = mistakes("", &[("COUNTERSIGN_DATA__KEY_FILE", &ring)]);
        assert!(misplaced[0].contains("a path") && !misplaced[0].contains("QUFB"), "{misplaced:?}");
    }
}
