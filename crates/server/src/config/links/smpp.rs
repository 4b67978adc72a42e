//! The settings of SMPP links: `kind = "smpp"`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use engine::wording::Alphabet;
use serde::Deserialize;
use smpp::{MessageIdForm, SYSTEM_ID_CHARACTERS_MAX};
use toml::Table;

use super::Settings;

/// The settings of one link.
#[derive(Clone, Debug, PartialEq)]
pub struct SmppConfig {
    /// Where its SMSC is, the first to be tried first.
    pub hosts: Vec<SmscAddress>,
    /// How connections are encrypted; `None` if they are not.
    pub tls: Option<TlsConfig>,
    /// Who binds.
    pub system_id: String,
    /// The file with what proves it.
    pub password_file: PathBuf,
    /// The kind of system, mostly empty.
    pub system_type: String,
    /// Which binds there are.
    pub bind: BindMode,
    /// How many there are.
    pub binds: usize,
    /// Submits that may be unanswered at once, on each bind.
    pub window: usize,
    /// Submits a second at most, on each bind.
    pub pdus_per_s: NonZeroU32,
    /// How long the SMSC may say nothing before it is asked whether it is there.
    pub enquire_link: Duration,
    /// How long the SMSC may take to answer, and to be connected to.
    pub response_timeout: Duration,
    /// How the ids of responses and of receipts are written; `None` if they are worth nothing.
    pub ids: Option<MessageIdForm>,
    /// What the SMSC takes octets for when it is told no alphabet.
    pub alphabet: Alphabet,
    /// How long texts are sent.
    pub segmentation: Segmentation,
    /// Whether receipts are asked for.
    pub registered_delivery: bool,
    /// `service_type`, mostly empty.
    pub service_type: String,
    /// How addresses are marked.
    pub numbering: NumberingPlans,
}

/// Where an SMSC listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SmscAddress {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// How an SMSC is known to be the right one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsConfig {
    /// The certificates that are trusted; those of this machine if `None`.
    pub ca_file: Option<PathBuf>,
    /// The name on its certificate; that of the host if `None`.
    pub server_name: Option<String>,
}

/// Which binds a link has.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum BindMode {
    /// Each goes both ways.
    #[default]
    #[serde(rename = "transceiver")]
    Transceiver,
    /// One for each way.
    #[serde(rename = "transmitter+receiver")]
    TransmitterAndReceiver,
}

/// How texts that are too long for one short message are sent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Segmentation {
    /// In parts, each with a user data header.
    #[default]
    Udh,
    /// In parts, each with `sar_*` parameters.
    Sar,
    /// As a whole in `message_payload`, which the SMSC cuts.
    Payload,
}

/// Type of number and numbering plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TonNpi {
    /// Type of number (SMPP 3.4, section 5.2.5).
    pub ton: u8,
    /// Numbering plan indicator (section 5.2.6).
    pub npi: u8,
}

/// How a link marks each kind of address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NumberingPlans {
    /// Senders that are short codes.
    pub short_code: TonNpi,
    /// Senders that are numbers in international form.
    pub long_number: TonNpi,
    /// Senders that are names.
    pub alphanumeric: TonNpi,
    /// Whom messages are for.
    pub destination: TonNpi,
}

impl Default for NumberingPlans {
    fn default() -> Self {
        Self {
            short_code: TonNpi { ton: 3, npi: 0 },
            long_number: TonNpi { ton: 1, npi: 1 },
            alphanumeric: TonNpi { ton: 5, npi: 0 },
            destination: TonNpi { ton: 1, npi: 1 },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSmpp {
    hosts: Vec<String>,
    #[serde(default)]
    tls: bool,
    ca_file: Option<PathBuf>,
    server_name: Option<String>,
    system_id: String,
    password_file: PathBuf,
    #[serde(default)]
    system_type: String,
    #[serde(default)]
    bind: BindMode,
    binds: Option<i64>,
    window: Option<i64>,
    pdus_per_s: Option<i64>,
    enquire_link_s: Option<i64>,
    response_timeout_s: Option<i64>,
    #[serde(default)]
    ids: RawIds,
    #[serde(default)]
    alphabet: RawAlphabet,
    #[serde(default)]
    segmentation: Segmentation,
    registered_delivery: Option<bool>,
    #[serde(default)]
    service_type: String,
    short_code_ton_npi: Option<[i64; 2]>,
    long_number_ton_npi: Option<[i64; 2]>,
    alphanumeric_ton_npi: Option<[i64; 2]>,
    destination_ton_npi: Option<[i64; 2]>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawIds {
    #[default]
    Same,
    RespHexReceiptDec,
    RespDecReceiptHex,
    None,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawAlphabet {
    #[default]
    Gsm,
    Ascii,
    Latin1,
}

pub(super) fn resolve(keys: Table, settings: &mut Settings<'_>) -> Option<SmppConfig> {
    let raw: RawSmpp = settings.read(keys)?;
    let usual = NumberingPlans::default();
    let mut ton_npi = |key, written, usual| ton_npi(key, written, usual, settings);
    let numbering = NumberingPlans {
        short_code: ton_npi("short_code_ton_npi", raw.short_code_ton_npi, usual.short_code),
        long_number: ton_npi("long_number_ton_npi", raw.long_number_ton_npi, usual.long_number),
        alphanumeric: ton_npi("alphanumeric_ton_npi", raw.alphanumeric_ton_npi, usual.alphanumeric),
        destination: ton_npi("destination_ton_npi", raw.destination_ton_npi, usual.destination),
    };
    let hosts = hosts(&raw.hosts, settings);
    let tls = tls(raw.tls, raw.ca_file, raw.server_name, settings);
    characters("system_id", &raw.system_id, (1, SYSTEM_ID_CHARACTERS_MAX), settings);
    characters("system_type", &raw.system_type, (0, SYSTEM_TYPE_CHARACTERS_MAX), settings);
    characters("service_type", &raw.service_type, (0, SERVICE_TYPE_CHARACTERS_MAX), settings);
    let seconds = |key, written, range, usual: u64, settings: &mut Settings<'_>| {
        Duration::from_secs(settings.within(key, written, range, usual))
    };
    let enquire_link = seconds("enquire_link_s", raw.enquire_link_s, ENQUIRE_LINK_S, 20, settings);
    let response_timeout =
        seconds("response_timeout_s", raw.response_timeout_s, RESPONSE_TIMEOUT_S, 10, settings);
    Some(SmppConfig {
        hosts,
        tls,
        system_id: raw.system_id,
        password_file: raw.password_file,
        system_type: raw.system_type,
        bind: raw.bind,
        binds: settings.within("binds", raw.binds, BINDS, 1),
        window: settings.within("window", raw.window, WINDOW, 10),
        pdus_per_s: NonZeroU32::new(settings.within("pdus_per_s", raw.pdus_per_s, PDUS_PER_S, 50))?,
        enquire_link,
        response_timeout,
        ids: match raw.ids {
            RawIds::Same => Some(MessageIdForm::Same),
            RawIds::RespHexReceiptDec => Some(MessageIdForm::RespHexReceiptDec),
            RawIds::RespDecReceiptHex => Some(MessageIdForm::RespDecReceiptHex),
            RawIds::None => None,
        },
        alphabet: match raw.alphabet {
            RawAlphabet::Gsm => Alphabet::Gsm,
            RawAlphabet::Ascii => Alphabet::Ascii,
            RawAlphabet::Latin1 => Alphabet::Latin1,
        },
        segmentation: raw.segmentation,
        registered_delivery: raw.registered_delivery.unwrap_or(true),
        service_type: raw.service_type,
        numbering,
    })
}

fn hosts(written: &[String], settings: &mut Settings<'_>) -> Vec<SmscAddress> {
    if !(1..=HOSTS_MAX).contains(&written.len()) {
        let problem = format!("names {} hosts; must name 1 to {HOSTS_MAX}", written.len());
        settings.wrong("hosts", problem);
    }
    let read = |text: &String| {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let fits = !host.is_empty() && !host.contains(['/', ' ', '@']);
        fits.then(|| SmscAddress { host: host.to_owned(), port })
    };
    let mut found = Vec::new();
    for text in written {
        match read(text) {
            Some(address) => found.push(address),
            None => settings.wrong("hosts", format!("names `{text}`; must be {HOST}")),
        }
    }
    found
}

fn tls(
    enabled: bool,
    ca_file: Option<PathBuf>,
    server_name: Option<String>,
    settings: &mut Settings<'_>,
) -> Option<TlsConfig> {
    let without = [("ca_file", ca_file.is_some()), ("server_name", server_name.is_some())];
    for (key, _) in without.into_iter().filter(|(_, written)| *written && !enabled) {
        settings.wrong(key, "is for TLS only; must go with tls = true");
    }
    if let Some(name) = &server_name
        && rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
    {
        settings.wrong("server_name", format!("is `{name}`; must be the name of a host"));
    }
    enabled.then_some(TlsConfig { ca_file, server_name })
}

fn characters(key: &str, text: &str, (min, max): (usize, usize), settings: &mut Settings<'_>) {
    let fits = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if !fits || !(min..=max).contains(&text.len()) {
        settings.wrong(key, format!("must be {min} to {max} characters of ASCII"));
    }
}

fn ton_npi(
    key: &str,
    written: Option<[i64; 2]>,
    usual: TonNpi,
    settings: &mut Settings<'_>,
) -> TonNpi {
    let Some([ton, npi]) = written else { return usual };
    if let (Ok(ton @ 0..=TON_MAX), Ok(npi @ 0..=NPI_MAX)) = (u8::try_from(ton), u8::try_from(npi)) {
        return TonNpi { ton, npi };
    }
    let right = format!("must be a TON of 0 to {TON_MAX} and an NPI of 0 to {NPI_MAX}");
    settings.wrong(key, format!("is [{ton}, {npi}]; {right}"));
    usual
}

const HOST: &str = "a host and its port, like `smsc.example.com:2775`";

/// Nobody runs more sites; each is connected to in turn before the next pause.
const HOSTS_MAX: usize = 8;

/// Sections 5.2.3 and 5.2.11, without the NUL.
const SYSTEM_TYPE_CHARACTERS_MAX: usize = 12;
const SERVICE_TYPE_CHARACTERS_MAX: usize = 5;

/// The highest numbers that sections 5.2.5 and 5.2.6 give a meaning.
const TON_MAX: u8 = 6;
const NPI_MAX: u8 = 18;

// The ranges are our choice: from the least that works to the most that was ever of use.
const BINDS: (i64, i64, &str) = (1, 32, "binds");
const WINDOW: (i64, i64, &str) = (1, 1000, "submits");
const PDUS_PER_S: (i64, i64, &str) = (1, 100_000, "submits a second");
const ENQUIRE_LINK_S: (i64, i64, &str) = (5, 300, "s");
const RESPONSE_TIMEOUT_S: (i64, i64, &str) = (1, 60, "s");

#[cfg(test)]
mod tests {
    use super::super::super::mistakes::ConfigMistakes;
    use super::*;

    #[test]
    fn three_keys_are_enough_and_the_rest_has_its_default() {
        let config = read(REQUIRED).unwrap();
        assert_eq!(config.hosts, [SmscAddress { host: "smsc.example.com".into(), port: 2775 }]);
        assert_eq!((config.tls, config.bind, config.binds), (None, BindMode::Transceiver, 1));
        assert_eq!((config.window, config.pdus_per_s.get()), (10, 50));
        assert_eq!((config.enquire_link.as_secs(), config.response_timeout.as_secs()), (20, 10));
        assert_eq!((config.ids, config.registered_delivery), (Some(MessageIdForm::Same), true));
        assert_eq!(config.numbering, NumberingPlans::default());
    }

    #[test]
    fn every_key_is_read() {
        let config = read(
            r#"
            hosts = ["one.example.com:3550", "[2001:db8::1]:3550"]
            tls = true
            ca_file = "ca.pem"
            server_name = "smpp.example.com"
            system_id = "me"
            password_file = "password"
            system_type = "VMA"
            bind = "transmitter+receiver"
            binds = 2
            window = 20
            pdus_per_s = 100
            enquire_link_s = 30
            response_timeout_s = 5
            ids = "resp_hex_receipt_dec"
            alphabet = "latin1"
            segmentation = "payload"
            registered_delivery = false
            service_type = "OTP"
            short_code_ton_npi = [0, 1]
            long_number_ton_npi = [2, 8]
            alphanumeric_ton_npi = [5, 1]
            destination_ton_npi = [0, 0]
            "#,
        )
        .unwrap();
        assert_eq!(config.hosts[1], SmscAddress { host: "2001:db8::1".into(), port: 3550 });
        let tls = config.tls.unwrap();
        assert_eq!(tls.ca_file.unwrap(), PathBuf::from("ca.pem"));
        assert_eq!(tls.server_name.unwrap(), "smpp.example.com");
        assert_eq!(config.bind, BindMode::TransmitterAndReceiver);
        assert_eq!((config.binds, config.window, config.pdus_per_s.get()), (2, 20, 100));
        assert_eq!(config.ids, Some(MessageIdForm::RespHexReceiptDec));
        assert_eq!(config.alphabet, Alphabet::Latin1);
        assert_eq!(config.segmentation, Segmentation::Payload);
        assert!(!config.registered_delivery);
        assert_eq!(config.numbering.short_code, TonNpi { ton: 0, npi: 1 });
        assert_eq!(config.numbering.destination, TonNpi { ton: 0, npi: 0 });
    }

    #[test]
    fn every_mistake_is_told_with_what_would_be_right() {
        for (keys, key, right) in [
            ("hosts = []", "hosts", "1 to 8"),
            ("hosts = [\"smsc.example.com\"]", "hosts", "host and its port"),
            ("hosts = [\"smsc.example.com:0\"]", "hosts", "host and its port"),
            ("hosts = [\"smpp://smsc.example.com:2775\"]", "hosts", "host and its port"),
            ("system_id = \"more than 15 characters\"", "system_id", "1 to 15"),
            ("system_id = \"\"", "system_id", "1 to 15"),
            ("service_type = \"longer\"", "service_type", "0 to 5"),
            ("binds = 0", "binds", "1 to 32"),
            ("window = 1001", "window", "1 to 1000"),
            ("pdus_per_s = 0", "pdus_per_s", "1 to 100000"),
            ("enquire_link_s = 4", "enquire_link_s", "5 to 300"),
            ("response_timeout_s = 61", "response_timeout_s", "1 to 60"),
            ("ca_file = \"ca.pem\"", "ca_file", "tls = true"),
            ("tls = true\nserver_name = \"a b\"", "server_name", "name of a host"),
            ("destination_ton_npi = [7, 1]", "destination_ton_npi", "TON of 0 to 6"),
            ("segmentation = \"none\"", "link.north", "udh"),
            ("ids = \"hex\"", "link.north", "resp_hex_receipt_dec"),
            ("password = \"secret8\"", "link.north", "unknown key"),
        ] {
            let required = REQUIRED.lines().filter(|line| {
                let name = keys.split(" = ").next().unwrap();
                !line.starts_with(name) || name == "password"
            });
            let file = required.chain([keys]).collect::<Vec<_>>().join("\n");
            let told = read(&file).unwrap_err();
            assert!(told.contains(key) && told.contains(right), "{keys}: {told}");
        }
    }

    const REQUIRED: &str = "hosts = [\"smsc.example.com:2775\"]\nsystem_id = \"me\"\n\
                            password_file = \"password\"";

    fn read(keys: &str) -> Result<SmppConfig, String> {
        let mut mistakes = ConfigMistakes::default();
        let mut settings = Settings { place: "link.north".to_owned(), mistakes: &mut mistakes };
        let keys = keys.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let config = resolve(keys, &mut settings);
        config.filter(|_| mistakes.is_empty()).ok_or_else(|| mistakes.to_string())
    }
}
