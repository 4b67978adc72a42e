//! The settings of SIP trunks: `kind = "sip"`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use engine::Amount;
use serde::Deserialize;
use toml::Table;
use voice::trunk::POST_DIAL_WAIT;

use super::Settings;

/// The settings of one trunk.
#[derive(Clone, Debug, PartialEq)]
pub struct SipConfig {
    /// The name or address that packets go to.
    pub host: String,
    /// The port that packets go to.
    pub port: u16,
    /// How signalling goes there.
    pub transport: SipTransport,
    /// The certificates that the trunk's one must descend from; the system's if `None`.
    pub ca_file: Option<PathBuf>,
    /// The name in the trunk's certificate; the host if `None`.
    pub server_name: Option<String>,
    /// The domain in our URIs.
    pub domain: String,
    /// Who we are, and the file that proves it; `None` if the trunk knows us by our address.
    pub login: Option<(String, PathBuf)>,
    /// How long a registration is asked for; `None` if the trunk wants none.
    pub register: Option<Duration>,
    /// The address that sockets are bound to; the one that routes to the trunk if `None`.
    pub bind: Option<IpAddr>,
    /// The address that the trunk is told; the bound one if `None`.
    pub public_address: Option<IpAddr>,
    /// The UDP port of signalling; 0 takes any.
    pub sip_port: u16,
    /// The UDP ports of audio.
    pub rtp_ports: RangeInclusive<u16>,
    /// Whether audio goes to where the trunk's comes from.
    pub symmetric_rtp: bool,
    /// How many calls there may be at once.
    pub channels_max: usize,
    /// How many calls may begin in a second.
    pub calls_per_s: u32,
    /// How long the trunk may take from the call to the first ring.
    pub post_dial_wait: Duration,
    /// How long a phone may ring.
    pub ring_timeout: Duration,
    /// How long a call may last once it is answered.
    pub call_length_max: Duration,
    /// How often the trunk is asked whether it is well; never if `None`.
    pub ping: Option<Duration>,
    /// What stands before the digits of the number that is called.
    pub dial_prefix: String,
    /// What phones show.
    pub caller: String,
    /// What phones of a country show instead, by ISO 3166-1 alpha-2 code.
    pub callers: BTreeMap<String, String>,
    /// Whether an account's own long number is shown instead of those.
    pub account_caller: bool,
    /// Whether the caller id is told in P-Asserted-Identity as well.
    pub asserted_identity: bool,
    /// The only countries that are called.
    pub countries: BTreeSet<String>,
    /// The caps on where calls go.
    pub caps: CallCaps,
    /// How the trunk bills.
    pub billing: Billing,
}

/// How signalling goes to a trunk.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum SipTransport {
    /// Datagrams.
    #[default]
    Udp,
    /// A stream.
    Tcp,
    /// An encrypted stream.
    Tls,
}

/// What may be called within an hour, so that nobody can turn codes into money.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallCaps {
    /// Calls to one number.
    pub per_number: u32,
    /// Calls to neighbouring numbers, as `limits.prefix_drop_digits` tells them.
    pub per_prefix: u32,
    /// What calls to neighbouring numbers may cost together; `None` is no cap.
    pub cost_per_prefix: Option<Amount>,
}

/// How a trunk bills calls that were answered.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Billing {
    /// So much a call.
    Call,
    /// So much for each minute begun.
    #[default]
    Minute,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSip {
    host: String,
    port: Option<i64>,
    #[serde(default)]
    transport: SipTransport,
    ca_file: Option<PathBuf>,
    server_name: Option<String>,
    domain: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    register: Option<Register>,
    bind: Option<IpAddr>,
    public_address: Option<IpAddr>,
    sip_port: Option<i64>,
    rtp_ports: Option<[i64; 2]>,
    symmetric_rtp: Option<bool>,
    channels_max: Option<i64>,
    calls_per_s: Option<i64>,
    post_dial_wait_s: Option<i64>,
    ring_timeout_s: Option<i64>,
    call_length_max_s: Option<i64>,
    ping_s: Option<i64>,
    dial_prefix: Option<String>,
    caller: String,
    #[serde(default)]
    callers: BTreeMap<String, String>,
    #[serde(default)]
    account_caller: bool,
    asserted_identity: Option<bool>,
    countries: Vec<String>,
    calls_per_number_hour: Option<i64>,
    calls_per_prefix_hour: Option<i64>,
    cost_per_prefix_hour: Option<String>,
    #[serde(default)]
    billing: Billing,
}

/// Whether to register, or for how many seconds at a time.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "expected true, false or a number of seconds")]
enum Register {
    Wanted(bool),
    Seconds(i64),
}

pub(super) fn resolve(keys: Table, settings: &mut Settings<'_>) -> Option<SipConfig> {
    let raw: RawSip = settings.read(keys)?;
    let tls = raw.transport == SipTransport::Tls;
    if raw.host.is_empty() || raw.host.contains(['/', ':', ' ']) {
        settings.wrong("host", format!("is `{}`; must be a name or an IPv4 address", raw.host));
    }
    for (key, given) in
        [("ca_file", raw.ca_file.is_some()), ("server_name", raw.server_name.is_some())]
    {
        if given && !tls {
            settings.wrong(key, "is given and transport is not `tls`, which alone checks it");
        }
    }
    let port = if tls { TLS_PORT } else { PORT };
    let seconds = |seconds: u64| Duration::from_secs(seconds);
    let login = login(raw.user, raw.password_file, settings);
    let register = register(raw.register, login.is_some(), settings);
    let post_dial_s = settings.within(
        "post_dial_wait_s",
        raw.post_dial_wait_s,
        POST_DIAL_S,
        POST_DIAL_WAIT.as_secs(),
    );
    let ring_timeout_s = settings.within("ring_timeout_s", raw.ring_timeout_s, RING_S, 30);
    let length_s = settings.within("call_length_max_s", raw.call_length_max_s, LENGTH_S, 120);
    let ping_s = settings.within("ping_s", raw.ping_s, PING_S, 30);
    Some(SipConfig {
        port: settings.within("port", raw.port, PORTS, port),
        transport: raw.transport,
        ca_file: raw.ca_file,
        server_name: raw.server_name,
        domain: raw.domain.unwrap_or_else(|| raw.host.clone()),
        login,
        register,
        bind: raw.bind,
        public_address: raw.public_address,
        sip_port: settings.within("sip_port", raw.sip_port, ANY_PORT, 0),
        rtp_ports: rtp_ports(raw.rtp_ports, settings),
        symmetric_rtp: raw.symmetric_rtp.unwrap_or(true),
        channels_max: settings.within("channels_max", raw.channels_max, CHANNELS, 30),
        calls_per_s: settings.within("calls_per_s", raw.calls_per_s, CALLS_PER_S, 5),
        post_dial_wait: seconds(post_dial_s),
        ring_timeout: seconds(ring_timeout_s),
        call_length_max: seconds(length_s),
        ping: Some(seconds(ping_s)).filter(|every| !every.is_zero()),
        dial_prefix: dial_prefix(raw.dial_prefix, settings),
        caller: caller("caller", raw.caller, settings),
        callers: callers(raw.callers, settings),
        account_caller: raw.account_caller,
        asserted_identity: raw.asserted_identity.unwrap_or(true),
        countries: countries(raw.countries, settings),
        caps: CallCaps {
            per_number: settings.within(
                "calls_per_number_hour",
                raw.calls_per_number_hour,
                CALLS_PER_HOUR,
                PER_NUMBER,
            ),
            per_prefix: settings.within(
                "calls_per_prefix_hour",
                raw.calls_per_prefix_hour,
                CALLS_PER_HOUR,
                PER_PREFIX,
            ),
            cost_per_prefix: cost_cap(raw.cost_per_prefix_hour, settings),
        },
        billing: raw.billing,
        host: raw.host,
    })
}

fn login(
    user: Option<String>,
    password_file: Option<PathBuf>,
    settings: &mut Settings<'_>,
) -> Option<(String, PathBuf)> {
    match (user, password_file) {
        (Some(user), Some(file)) => Some((user, file)),
        (None, None) => None,
        (Some(_), None) => {
            settings
                .wrong("password_file", "is missing; must be the file with the user's password");
            None
        }
        (None, Some(_)) => {
            settings.wrong("user", "is missing; must be whose password the file holds");
            None
        }
    }
}

fn register(
    written: Option<Register>,
    has_login: bool,
    settings: &mut Settings<'_>,
) -> Option<Duration> {
    let time = match written? {
        Register::Wanted(false) => return None,
        Register::Wanted(true) => REGISTER,
        Register::Seconds(seconds) => {
            let default = REGISTER.as_secs();
            let seconds = settings.within("register", Some(seconds), REGISTER_S, default);
            Duration::from_secs(seconds)
        }
    };
    if !has_login {
        settings.wrong("register", "is given without user and password_file; must be with them");
    }
    Some(time)
}

fn rtp_ports(written: Option<[i64; 2]>, settings: &mut Settings<'_>) -> RangeInclusive<u16> {
    let Some([first, last]) = written else { return RTP_PORTS };
    let port = |port| u16::try_from(port).ok().filter(|port| *port >= RTP_PORT_MIN);
    match (port(first), port(last)) {
        // Each call takes an even port and leaves the odd one after it free (RFC 3550 section 11).
        (Some(first), Some(last)) if last > first => first..=last,
        _ => {
            settings.wrong(
                "rtp_ports",
                format!("is [{first}, {last}]; must be first and last, 1024 to 65535"),
            );
            RTP_PORTS
        }
    }
}

fn dial_prefix(written: Option<String>, settings: &mut Settings<'_>) -> String {
    let prefix = written.unwrap_or_else(|| DIAL_PREFIX.to_owned());
    let rest = prefix.strip_prefix('+').unwrap_or(&prefix);
    let fits = rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*');
    if !fits || prefix.len() > DIAL_PREFIX_CHARACTERS_MAX {
        let right = format!("must be `+`, digits and `*`, {DIAL_PREFIX_CHARACTERS_MAX} at most");
        settings.wrong("dial_prefix", format!("is `{prefix}`; {right}"));
    }
    prefix
}

/// A caller id is part of a URI.
fn caller(key: &str, written: String, settings: &mut Settings<'_>) -> String {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    let length = (1..=CALLER_CHARACTERS_MAX).contains(&written.len());
    if !length || !written.bytes().all(fits) {
        settings.wrong(key, format!("is `{written}`; must be {CALLER}"));
    }
    written
}

fn callers(
    written: BTreeMap<String, String>,
    settings: &mut Settings<'_>,
) -> BTreeMap<String, String> {
    for country in written.keys().filter(|country| !is_country(country)) {
        settings.wrong("callers", format!("names `{country}`; must be {COUNTRIES}"));
    }
    let read = |(country, id)| (country, caller("callers", id, settings));
    written.into_iter().map(read).collect()
}

fn countries(written: Vec<String>, settings: &mut Settings<'_>) -> BTreeSet<String> {
    if written.is_empty() {
        settings.wrong("countries", format!("is empty; must be {COUNTRIES}"));
    }
    for country in written.iter().filter(|country| !is_country(country)) {
        settings.wrong("countries", format!("names `{country}`; must be {COUNTRIES}"));
    }
    written.into_iter().collect()
}

fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn cost_cap(written: Option<String>, settings: &mut Settings<'_>) -> Option<Amount> {
    let written = written?;
    let cap = Amount::parse(&written).filter(|amount| *amount > Amount::ZERO);
    if cap.is_none() {
        settings.wrong("cost_per_prefix_hour", format!("is `{written}`; must be {COST_CAP}"));
    }
    cap
}

/// RFC 3261 section 19.1.2.
const PORT: u16 = 5060;
const TLS_PORT: u16 = 5061;

const PORTS: (i64, i64, &str) = (1, 65_535, "as a port");
const ANY_PORT: (i64, i64, &str) = (0, 65_535, "as a port");

/// Below the ports that systems hand out themselves.
const RTP_PORTS: RangeInclusive<u16> = 20_000..=29_999;

/// Below it are the ports of other services.
const RTP_PORT_MIN: u16 = 1024;

/// What registrars grant in general; it is renewed at half of it.
const REGISTER: Duration = Duration::from_mins(10);
const REGISTER_S: (i64, i64, &str) = (60, 86_400, "seconds");

const CHANNELS: (i64, i64, &str) = (1, 10_000, "calls");
const CALLS_PER_S: (i64, i64, &str) = (1, 1_000, "calls a second");

/// From the time that a trunk has for its first answer, to what no caller would wait.
const POST_DIAL_S: (i64, i64, &str) = (4, 60, "seconds");

/// Networks give up after two minutes at the latest.
const RING_S: (i64, i64, &str) = (5, 120, "seconds");
const LENGTH_S: (i64, i64, &str) = (10, 600, "seconds");
const PING_S: (i64, i64, &str) = (0, 3600, "seconds, 0 for never");

const CALLS_PER_HOUR: (i64, i64, &str) = (1, 100_000, "calls an hour");

/// Workflow 7 makes three calls; a second try of it is still let through.
const PER_NUMBER: u32 = 6;

/// As many as starts to neighbouring numbers would make in the default limits, by three calls each
/// of every tenth that goes so far as to call.
const PER_PREFIX: u32 = 60;

const DIAL_PREFIX: &str = "+";
const DIAL_PREFIX_CHARACTERS_MAX: usize = 10;
const CALLER: &str = "1 to 30 letters, digits and `+-._`, like `+442071838750`";
const CALLER_CHARACTERS_MAX: usize = 30;
const COUNTRIES: &str = "ISO 3166-1 alpha-2 codes in capitals, like `DE`";
const COST_CAP: &str = "an amount above nothing, like `5.00`";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::resolve_links;
    use super::*;
    use crate::config::{ConfigMistakes, LinkKind};

    const LEAST: &str = "
        kind = 'sip'
        host = 'trunk.example'
        caller = '+442071838750'
        countries = ['GB']";

    fn read(keys: &str) -> (Option<SipConfig>, Vec<String>) {
        let table: Table = keys.parse().unwrap();
        let mut mistakes = ConfigMistakes::default();
        let links = resolve_links(BTreeMap::from([("trunk".to_owned(), table)]), &mut mistakes);
        let config = links.into_values().next().and_then(|link| match link.kind {
            LinkKind::Sip(config) => Some(*config),
            LinkKind::Smpp(_) | LinkKind::Http(_) => None,
        });
        (config, mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_trunk_needs_a_host_a_caller_and_the_countries_that_are_called() {
        let (config, told) = read(LEAST);
        assert_eq!(told, [""; 0]);
        let config = config.unwrap();
        assert_eq!((config.port, config.ring_timeout), (5060, Duration::from_secs(30)));
        assert_eq!(config.domain, "trunk.example");
        for key in ["host", "caller", "countries"] {
            let lines: Vec<_> = LEAST.lines().filter(|line| !line.contains(key)).collect();
            let (_, told) = read(&lines.join("\n"));
            assert!(told[0].contains("there is no key") && told[0].contains(key), "{told:?}");
        }
    }

    #[test]
    fn the_example_tells_every_key_with_its_default() {
        let example = EXAMPLE.split_once("#[link.sip-example]\n").unwrap().1;
        let lines: Vec<&str> = example.lines().take_while(|line| line.starts_with('#')).collect();
        let keys: Vec<&str> = lines
            .iter()
            // What goes with another key only is a step further in.
            .map(|line| if of_tls(line) { &line[2..] } else { &line[1..] })
            .filter(|line| !line.starts_with(' '))
            .collect();
        for pair in lines.windows(2).filter(|pair| !pair[1].starts_with("# ")) {
            assert!(pair[0].starts_with("# "), "nothing explains {}", pair[1]);
        }
        // What has no default, or none that could be shown.
        let bare = ["kind", "host", "caller", "countries"];
        let shown = [
            "ca_file",
            "server_name",
            "user",
            "password_file",
            "bind",
            "public_address",
            "cost_per_prefix_hour",
        ];
        let of = |line: &&&str, names: &[&str]| names.contains(&line.split(' ').next().unwrap());
        let least: Vec<&str> = keys.iter().filter(|line| of(line, &bare)).copied().collect();
        let told: Vec<&str> = keys.iter().filter(|line| !of(line, &shown)).copied().collect();
        let (least, told) = (read(&least.join("\n")), read(&told.join("\n")));
        assert_eq!((&least.1, &told.1), (&Vec::new(), &Vec::new()));
        assert_eq!(least.0, told.0);
        let all = read(&keys.join("\n").replace("\"udp\"", "\"tls\""));
        assert_eq!(all.1, [""; 0]);
        for key in KEYS {
            let (written, left_out) = (format!("#{key} = "), format!("# {key} = "));
            let is_told = |line: &&str| line.starts_with(&written) || line.starts_with(&left_out);
            assert!(lines.iter().any(is_told), "no {key}");
        }
    }

    fn of_tls(line: &str) -> bool {
        ["# ca_file = ", "# server_name = "].iter().any(|key| line.starts_with(key))
    }

    const EXAMPLE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../countersign.example.toml"));

    const KEYS: [&str; 30] = [
        "host",
        "port",
        "transport",
        "ca_file",
        "server_name",
        "domain",
        "user",
        "password_file",
        "register",
        "bind",
        "public_address",
        "sip_port",
        "rtp_ports",
        "symmetric_rtp",
        "channels_max",
        "calls_per_s",
        "post_dial_wait_s",
        "ring_timeout_s",
        "call_length_max_s",
        "ping_s",
        "dial_prefix",
        "caller",
        "callers",
        "account_caller",
        "asserted_identity",
        "countries",
        "calls_per_number_hour",
        "calls_per_prefix_hour",
        "cost_per_prefix_hour",
        "billing",
    ];

    #[test]
    fn every_mistake_of_a_trunk_is_told_with_its_key() {
        for (line, key, right) in [
            ("port = 0", "port", "1 to 65535"),
            ("transport = 'sctp'", "link.trunk", "`udp`, `tcp`"),
            ("ca_file = 'ca.pem'", "ca_file", "`tls`"),
            ("user = 'u'", "password_file", "missing"),
            ("password_file = 'p'", "user", "missing"),
            ("register = true", "register", "password_file"),
            ("register = 5", "register", "60 to 86400"),
            ("register = 'yes'", "link.trunk", "number of seconds"),
            ("rtp_ports = [30000, 20000]", "rtp_ports", "first and last"),
            ("channels_max = 0", "channels_max", "1 to 10000"),
            ("post_dial_wait_s = 1", "post_dial_wait_s", "4 to 60"),
            ("ring_timeout_s = 1000", "ring_timeout_s", "5 to 120"),
            ("dial_prefix = '+49x'", "dial_prefix", "digits"),
            ("callers = { gb = '+44' }", "callers", "`DE`"),
            ("callers = { GB = 'a b' }", "callers", "letters"),
            ("calls_per_number_hour = 0", "calls_per_number_hour", "1 to"),
            ("cost_per_prefix_hour = 'much'", "cost_per_prefix_hour", "`5.00`"),
            ("billing = 'second'", "link.trunk", "`minute`"),
            ("pasword_file = 'p'", "link.trunk", "pasword_file"),
        ] {
            let (_, told) = read(&format!("{LEAST}\n{line}"));
            let hit = told.iter().any(|told| told.contains(key) && told.contains(right));
            assert!(hit, "{line}: {told:?}");
        }
        let (_, told) = read(&LEAST.replace("['GB']", "[]"));
        assert!(told[0].contains("countries: is empty"), "{told:?}");
        let (_, told) = read(&LEAST.replace("+442071838750", "me@home"));
        assert!(told[0].contains("caller"), "{told:?}");
    }

    #[test]
    fn a_trunk_can_be_told_everything() {
        let (config, told) = read(&format!(
            "{LEAST}\n{}",
            "transport = 'tls'
            ca_file = 'ca.pem'
            server_name = 'sip.example'
            domain = 'voice.example'
            user = 'u'
            password_file = 'p'
            register = 120
            callers = { US = '+12025550100' }
            cost_per_prefix_hour = '5.00'
            billing = 'call'
            ping_s = 0"
        ));
        assert_eq!(told, [""; 0]);
        let config = config.unwrap();
        assert_eq!((config.port, config.ping), (5061, None));
        assert_eq!(config.register, Some(Duration::from_mins(2)));
        assert_eq!(config.billing, Billing::Call);
    }
}
