//! The ways to carriers, and which attempts go which way: `[link.NAME]` and `[route.NAME]`.

pub(super) mod http;
pub(super) mod routes;
pub(super) mod sip;
pub(super) mod smpp;

use std::collections::BTreeMap;

use engine::{Amount, Price, PriceItem};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::mistakes::ConfigMistakes;

/// One way to a carrier.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// The carrier's network as MCC and MNC, which accounts are told of messages that go this way.
    pub network: String,
    /// Hand-overs a second at most; as many as the link bears if `None`.
    pub per_s: Option<u32>,
    /// Hand-overs a day at most, from midnight UTC.
    pub daily_max: Option<u64>,
    /// What the carrier takes for a part or a call, by destination.
    pub costs: Vec<Price>,
    /// How far down the line its receipts come from; as is usual in each country if `None`.
    pub receipts: Option<Grade>,
    /// What kind of link it is, with the settings of that kind.
    pub kind: LinkKind,
}

/// What kind of link it is.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkKind {
    /// SMPP 3.4, with binds to a carrier's SMSC.
    Smpp(Box<smpp::SmppConfig>),
    /// The HTTP API of an aggregator.
    Http(Box<http::HttpConfig>),
    /// A SIP trunk.
    Sip(Box<sip::SipConfig>),
}

/// How much a carrier's receipt proves.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// The phone has confirmed the message.
    #[default]
    Handset,
    /// The next network has taken it, as is all that is told in the US.
    Carrier,
    /// There are no receipts.
    None,
}

impl Grade {
    /// Returns the grade's name in the configuration and the figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handset => "handset",
            Self::Carrier => "carrier",
            Self::None => "none",
        }
    }
}

/// What all kinds of links have.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawCommon {
    kind: String,
    network: Option<String>,
    per_s: Option<i64>,
    daily_max: Option<i64>,
    costs: Vec<String>,
    receipts: Option<Grade>,
}

/// The settings of one link on their way from the file.
pub(super) struct Settings<'a> {
    /// `link.NAME`.
    place: String,
    mistakes: &'a mut ConfigMistakes,
}

impl Settings<'_> {
    /// Tells that a key of the link is wrong.
    pub(super) fn wrong(&mut self, key: &str, problem: impl Into<String>) {
        self.mistakes.add(format!("{}.{key}", self.place), problem);
    }

    /// Checks that a number lies in its range; answers the default where it does not.
    pub(super) fn within<T: TryFrom<i64>>(
        &mut self,
        key: &str,
        written: Option<i64>,
        (min, max, unit): (i64, i64, &str),
        default: T,
    ) -> T {
        let Some(number) = written else { return default };
        let fitting = T::try_from(number).ok().filter(|_| (min..=max).contains(&number));
        fitting.unwrap_or_else(|| {
            self.wrong(key, format!("is {number}; must be {min} to {max} {unit}"));
            default
        })
    }

    /// Reads the keys that only this kind of link has.
    pub(super) fn read<T: for<'de> Deserialize<'de>>(&mut self, keys: Table) -> Option<T> {
        keys.try_into()
            .map_err(|error: toml::de::Error| {
                let told = error.message().replace("unknown field", "unknown key");
                let told = told.replace("missing field", "there is no key");
                self.mistakes.add(self.place.clone(), told.lines().collect::<Vec<_>>().join(", "));
            })
            .ok()
    }
}

/// Resolves all links; one that is wrong is told of and left out.
pub(super) fn resolve_links(
    raw: BTreeMap<String, Table>,
    mistakes: &mut ConfigMistakes,
) -> BTreeMap<String, LinkConfig> {
    let mut links = BTreeMap::new();
    for (name, keys) in raw {
        let mut settings = Settings { place: format!("link.{name}"), mistakes };
        if !is_name(&name) {
            settings.mistakes.add(format!("link.{name}"), NAME);
            continue;
        }
        if name == SANDBOX {
            settings.mistakes.add(format!("link.{name}"), "is the name of the sandbox's own link");
            continue;
        }
        if let Some(link) = resolve_link(keys, &mut settings) {
            links.insert(name, link);
        }
    }
    if links.len() > LINKS_MAX {
        mistakes.add("link", format!("there are {}; must be {LINKS_MAX} at most", links.len()));
    }
    links
}

fn resolve_link(mut keys: Table, settings: &mut Settings<'_>) -> Option<LinkConfig> {
    let common: Table = COMMON_KEYS.iter().filter_map(|key| keys.remove_entry(*key)).collect();
    let common: RawCommon = settings.read(common)?;
    let kind = match common.kind.as_str() {
        "smpp" => smpp::resolve(keys, settings).map(Box::new).map(LinkKind::Smpp),
        "http" => http::resolve(keys, settings).map(Box::new).map(LinkKind::Http),
        "sip" => sip::resolve(keys, settings).map(Box::new).map(LinkKind::Sip),
        "" => {
            settings.wrong("kind", format!("is missing; must be one of {KINDS}"));
            None
        }
        other => {
            settings.wrong("kind", format!("is `{other}`; must be one of {KINDS}"));
            None
        }
    };
    let per_s = common.per_s.map(|_| settings.within("per_s", common.per_s, PER_S, 1));
    let daily_max =
        common.daily_max.map(|_| settings.within("daily_max", common.daily_max, DAILY_MAX, 0));
    let costs = costs(&common.costs, settings);
    let network = common.network.unwrap_or_else(|| NO_NETWORK.to_owned());
    if !matches!(network.len(), 5 | 6) || !network.bytes().all(|b| b.is_ascii_digit()) {
        settings.wrong("network", format!("is `{network}`; must be MCC and MNC, like `310004`"));
    }
    Some(LinkConfig { network, per_s, daily_max, costs, receipts: common.receipts, kind: kind? })
}

/// Tells the links where carriers reach this server, which some cannot do without.
pub(super) fn tell_public_url(
    links: &mut BTreeMap<String, LinkConfig>,
    public_url: Option<&String>,
    mistakes: &mut ConfigMistakes,
) {
    for (name, link) in links {
        let LinkKind::Http(http) = &mut link.kind else { continue };
        if public_url.is_none() && http.tells_dlr_url() && !mistakes.has("server.public_url") {
            let problem = format!("is empty; [link.{name}] tells its carrier where to report to");
            mistakes.add("server.public_url", problem);
        }
        http.public_url = public_url.cloned();
    }
}

/// Reads lines such as `44=0.031`, `sms:1=0.0075` and `=0.05`.
fn costs(written: &[String], settings: &mut Settings<'_>) -> Vec<Price> {
    let read = |line: &String| {
        let (destination, amount) = line.split_once('=')?;
        let (item, prefix) = destination.split_once(':').unwrap_or(("", destination));
        let items = match item.trim() {
            "" => vec![PriceItem::Sms, PriceItem::Voice],
            "sms" => vec![PriceItem::Sms],
            "voice" => vec![PriceItem::Voice],
            _ => return None,
        };
        let prefix = prefix.trim().to_owned();
        let amount = Amount::parse(amount.trim()).filter(|amount| *amount >= Amount::ZERO)?;
        let price = |item| Price { item, prefix: prefix.clone(), amount };
        prefix.bytes().all(|b| b.is_ascii_digit()).then(|| items.into_iter().map(price).collect())
    };
    let mut prices: Vec<Price> = Vec::new();
    for line in written {
        match read(line) {
            Some(lines) => {
                let lines: Vec<Price> = lines;
                prices.extend(lines);
            }
            None => settings.wrong("costs", format!("names `{line}`; must be {COST}")),
        }
    }
    prices
}

/// Names become labels and words of the command line.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=NAME_CHARACTERS_MAX).contains(&name.len()) && name.chars().all(fits)
}

/// The link to the virtual handsets, which has no section of its own.
pub(super) const SANDBOX: &str = "sandbox";

const COMMON_KEYS: [&str; 6] = ["kind", "network", "per_s", "daily_max", "costs", "receipts"];
const KINDS: &str = "`smpp`, `http`, `sip`";
const NAME: &str = "must be a name of 1 to 32 letters, digits, `-` and `_`";
const NAME_CHARACTERS_MAX: usize = 32;
const COST: &str = "an amount by leading digits, like `44=0.031`, `sms:1=0.0075` or `=0.05`";

/// Far more than anyone has carriers; each holds connections and a thread's attention.
const LINKS_MAX: usize = 64;

const PER_S: (i64, i64, &str) = (1, 100_000, "hand-overs a second");
const DAILY_MAX: (i64, i64, &str) = (0, 1_000_000_000, "hand-overs a day");

/// MCC 001 is for tests (ITU-T E.212): no network is known.
const NO_NETWORK: &str = "00101";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_of_a_link_is_told() {
        let file = "
            ['n n']
            kind = 'sip'
            [sandbox]
            kind = 'sip'
            [unkind]
            per_s = 5
            [fax]
            kind = 'fax'
            network = '1'
            [limits]
            kind = 'smpp'
            hosts = ['smsc.example:2775']
            system_id = 'us'
            password_file = 'none'
            per_s = 0
            daily_max = -1
            costs = ['44=0.03', '44', 'fax:1=2', '+44=1', '=-1', '=x']
            [grade]
            kind = 'sip'
            receipts = 'platinum'";
        let mut mistakes = ConfigMistakes::default();
        let links = resolve_links(toml::from_str(file).unwrap(), &mut mistakes);
        assert_eq!(links.keys().collect::<Vec<_>>(), ["limits"], "only it is of a kind");
        insta::assert_snapshot!(mistakes, @r"
        the configuration has 13 mistakes
          link.fax.kind: is `fax`; must be one of `smpp`, `http`, `sip`
          link.fax.network: is `1`; must be MCC and MNC, like `310004`
          link.grade: unknown variant `platinum`, expected one of `handset`, `carrier`, `none`
          link.limits.per_s: is 0; must be 1 to 100000 hand-overs a second
          link.limits.daily_max: is -1; must be 0 to 1000000000 hand-overs a day
          link.limits.costs: names `44`; must be an amount by leading digits, like `44=0.031`, `sms:1=0.0075` or `=0.05`
          link.limits.costs: names `fax:1=2`; must be an amount by leading digits, like `44=0.031`, `sms:1=0.0075` or `=0.05`
          link.limits.costs: names `+44=1`; must be an amount by leading digits, like `44=0.031`, `sms:1=0.0075` or `=0.05`
          link.limits.costs: names `=-1`; must be an amount by leading digits, like `44=0.031`, `sms:1=0.0075` or `=0.05`
          link.limits.costs: names `=x`; must be an amount by leading digits, like `44=0.031`, `sms:1=0.0075` or `=0.05`
          link.n n: must be a name of 1 to 32 letters, digits, `-` and `_`
          link.sandbox: is the name of the sandbox's own link
          link.unkind.kind: is missing; must be one of `smpp`, `http`, `sip`
        ");
    }

    #[test]
    fn no_slot_decides_which_host_a_message_goes_to() {
        let told = |url: &str| {
            let mut mistakes = ConfigMistakes::default();
            let file = format!("[a]\nkind = 'http'\nurl = '{url}'");
            resolve_links(toml::from_str(&file).unwrap(), &mut mistakes);
            mistakes.to_string()
        };
        for url in ["https://{to}.example/", "https://sms.example:9{to}/", "https://{from}/x"] {
            assert!(told(url).contains("link.a.url: "), "{url}: {}", told(url));
        }
        let fine = told("https://sms.example/{to}?from={from}");
        assert!(!fine.contains("link.a.url: "), "{fine}");
    }

    #[test]
    fn the_times_that_a_carrier_allows_must_be_in_order() {
        let mut mistakes = ConfigMistakes::default();
        let file = "[a]\nkind = 'http'\nurl = 'https://sms.example/'\n\
            validity = { min_s = 30, max_s = 20 }";
        resolve_links(toml::from_str(file).unwrap(), &mut mistakes);
        assert!(mistakes.to_string().contains("link.a.validity.min_s"), "{mistakes}");
    }

    #[test]
    fn the_network_is_mcc_and_mnc() {
        for (network, fits) in [("00101", true), ("310004", true), ("3100045", false), ("", false)]
        {
            let mut mistakes = ConfigMistakes::default();
            let file = format!(
                "[a]\nkind = 'smpp'\nhosts = ['smsc.example:2775']\nsystem_id = 'us'\n\
                 password_file = 'none'\nnetwork = '{network}'"
            );
            resolve_links(toml::from_str(&file).unwrap(), &mut mistakes);
            assert_eq!(mistakes.is_empty(), fits, "{network}: {mistakes}");
        }
    }
}
