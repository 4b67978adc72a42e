//! The ways to carriers, and which attempts go which way: `[link.NAME]` and `[route.NAME]`.

pub(super) mod http;
pub(super) mod sip;
pub(super) mod smpp;

use std::collections::{BTreeMap, BTreeSet};

use engine::{AccountId, Amount, Channel, Price, PriceItem};
use serde::Deserialize;
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
    /// How far down the line its receipts come from.
    pub receipts: Grade,
    /// What kind of link it is, with the settings of that kind.
    pub kind: LinkKind,
}

/// What kind of link it is.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkKind {
    /// SMPP 3.4, with binds to a carrier's SMSC.
    Smpp(smpp::SmppConfig),
    /// The HTTP API of an aggregator.
    Http(Box<http::HttpConfig>),
    /// A SIP trunk.
    Sip(sip::SipConfig),
}

/// How much a carrier's receipt proves.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
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

/// Which attempts go which way. What is empty restricts nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteConfig {
    /// Its name.
    pub name: String,
    /// Routes are looked at from the lowest order on; those of the same order by name.
    pub order: i64,
    /// The channel that it is for.
    pub channel: Option<Channel>,
    /// Destinations, as ISO 3166-1 alpha-2 codes in capitals.
    pub countries: BTreeSet<String>,
    /// Destinations, as leading digits without `+`.
    pub prefixes: Vec<String>,
    /// What the attempt is from.
    pub senders: BTreeSet<SenderKind>,
    /// Whose it is.
    pub accounts: BTreeSet<AccountId>,
    /// The links: those of the first tier share the attempts by weight, those of the next are for
    /// what they cannot take.
    pub tiers: Vec<Tier>,
}

/// Links that share attempts, each with its weight.
pub type Tier = Vec<(String, u32)>;

/// What a message is from, as far as routes tell them apart.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum SenderKind {
    /// A national short code.
    ShortCode,
    /// A number in international form.
    LongNumber,
    /// A name.
    Alphanumeric,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    order: Option<i64>,
    channel: Option<String>,
    #[serde(default)]
    countries: Vec<String>,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    senders: BTreeSet<SenderKind>,
    #[serde(default)]
    accounts: BTreeSet<u32>,
    links: Vec<String>,
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
        "smpp" => smpp::resolve(keys, settings).map(LinkKind::Smpp),
        "http" => http::resolve(keys, settings).map(Box::new).map(LinkKind::Http),
        "sip" => sip::resolve(keys, settings).map(LinkKind::Sip),
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
    Some(LinkConfig {
        network,
        per_s,
        daily_max,
        costs,
        receipts: common.receipts.unwrap_or_default(),
        kind: kind?,
    })
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

/// Resolves all routes, in the order in which they are looked at.
pub(super) fn resolve_routes(
    raw: BTreeMap<String, RawRoute>,
    links: &BTreeMap<String, LinkConfig>,
    mistakes: &mut ConfigMistakes,
) -> Vec<RouteConfig> {
    let mut routes: Vec<RouteConfig> = raw
        .into_iter()
        .filter_map(|(name, raw)| {
            let place = format!("route.{name}");
            let mut wrong = |key: &str, problem: String| {
                mistakes.add(format!("{place}.{key}"), problem);
            };
            resolve_route(name, raw, links, &mut wrong)
        })
        .collect();
    routes.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
    routes
}

fn resolve_route(
    name: String,
    raw: RawRoute,
    links: &BTreeMap<String, LinkConfig>,
    wrong: &mut impl FnMut(&str, String),
) -> Option<RouteConfig> {
    let channel = match raw.channel.as_deref() {
        None => None,
        Some("sms") => Some(Channel::Sms),
        Some("voice") => Some(Channel::Voice),
        Some(other) => {
            wrong("channel", format!("is `{other}`; must be `sms` or `voice`"));
            None
        }
    };
    for code in &raw.countries {
        if code.len() != 2 || !code.bytes().all(|b| b.is_ascii_uppercase()) {
            wrong("countries", format!("names `{code}`; must be ISO 3166-1 codes, like `DE`"));
        }
    }
    for prefix in &raw.prefixes {
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            wrong("prefixes", format!("names `{prefix}`; must be leading digits without `+`"));
        }
    }
    let mut tiers = Vec::new();
    for text in &raw.links {
        match tier(text) {
            Some(tier) => {
                for (link, _) in tier.iter().filter(|(link, _)| !links.contains_key(link)) {
                    if link != SANDBOX {
                        wrong("links", format!("names `{link}`, and there is no [link.{link}]"));
                    }
                }
                tiers.push(tier);
            }
            None => wrong("links", format!("names `{text}`; must be {TIER}")),
        }
    }
    if tiers.is_empty() {
        wrong("links", format!("is empty; must be {TIER}"));
        return None;
    }
    Some(RouteConfig {
        name,
        order: raw.order.unwrap_or(ORDER),
        channel,
        countries: raw.countries.into_iter().collect(),
        prefixes: raw.prefixes,
        senders: raw.senders,
        accounts: raw.accounts.into_iter().map(AccountId).collect(),
        tiers,
    })
}

/// Reads `one`, `one two` or `one:70 two:30`.
fn tier(text: &str) -> Option<Tier> {
    let member = |word: &str| {
        let (name, weight) = word.split_once(':').unwrap_or((word, "1"));
        let weight = weight.parse().ok().filter(|weight| (1..=WEIGHT_MAX).contains(weight))?;
        is_name(name).then(|| (name.to_owned(), weight))
    };
    let tier: Option<Tier> = text.split_whitespace().map(member).collect();
    tier.filter(|tier| !tier.is_empty())
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
const TIER: &str = "names of links, each with a weight if need be, like `one:70 two:30`";
const COST: &str = "an amount by leading digits, like `44=0.031`, `sms:1=0.0075` or `=0.05`";

/// Far more than anyone has carriers; each holds connections and a thread's attention.
const LINKS_MAX: usize = 64;

const WEIGHT_MAX: u32 = 1000;
const PER_S: (i64, i64, &str) = (1, 100_000, "hand-overs a second");
const DAILY_MAX: (i64, i64, &str) = (0, 1_000_000_000, "hand-overs a day");

/// MCC 001 is for tests (ITU-T E.212): no network is known.
const NO_NETWORK: &str = "00101";

/// The order of a route that tells none.
const ORDER: i64 = 100;
