//! Which attempts go which way: `[route.NAME]`, and the same by the admin API.

use std::collections::{BTreeMap, BTreeSet};

use engine::{AccountId, Channel};
use serde::{Deserialize, Serialize};

use super::super::mistakes::ConfigMistakes;
use super::{SANDBOX, is_name};

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
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SenderKind {
    /// A national short code.
    ShortCode,
    /// A number in international form.
    LongNumber,
    /// A name.
    Alphanumeric,
}

impl SenderKind {
    /// Returns the kind's name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ShortCode => "short_code",
            Self::LongNumber => "long_number",
            Self::Alphanumeric => "alphanumeric",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::ShortCode, Self::LongNumber, Self::Alphanumeric];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A route as people write it. What is left out restricts nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// Its name, 1 to 32 letters, digits, `-` and `_`.
    pub name: String,
    /// The channel that it is for, `sms` or `voice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Destinations, as ISO 3166-1 alpha-2 codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
    /// Destinations, as leading digits without `+`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// What the attempt is from: `short_code`, `long_number`, `alphanumeric`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<u32>,
    /// The links, each with a weight if need be, like `one:70 two:30`: those of the first line
    /// share the attempts, those of the next take what they cannot.
    pub links: Vec<String>,
}

impl From<&RouteConfig> for RouteEntry {
    fn from(route: &RouteConfig) -> Self {
        let member = |(name, weight): &(String, u32)| match weight {
            1 => name.clone(),
            weight => format!("{name}:{weight}"),
        };
        let tier = |tier: &Tier| tier.iter().map(member).collect::<Vec<_>>().join(" ");
        Self {
            name: route.name.clone(),
            channel: route.channel.map(|channel| channel.as_str().to_owned()),
            countries: route.countries.iter().cloned().collect(),
            prefixes: route.prefixes.clone(),
            senders: route.senders.iter().map(|kind| kind.as_str().to_owned()).collect(),
            accounts: route.accounts.iter().map(|account| account.0).collect(),
            links: route.tiers.iter().map(tier).collect(),
        }
    }
}

/// Resolves routes that are looked at in the order in which they stand.
///
/// # Errors
/// Everything that is wrong with them; `is_link` tells whether there is a link of a name.
pub fn resolve_entries(
    entries: &[RouteEntry],
    is_link: &dyn Fn(&str) -> bool,
) -> Result<Vec<RouteConfig>, ConfigMistakes> {
    let mut mistakes = ConfigMistakes::default();
    if entries.len() > ROUTES_MAX {
        mistakes.add("routes", too_many(entries.len()));
    }
    let mut names = BTreeSet::new();
    let mut routes = Vec::new();
    for (order, entry) in (0..).zip(entries) {
        if !names.insert(&entry.name) {
            mistakes.add(format!("route.{}", entry.name), "is there twice");
        }
        routes.extend(resolve_route(entry, order, is_link, &mut mistakes));
    }
    if mistakes.is_empty() { Ok(routes) } else { Err(mistakes) }
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawRoute {
    order: Option<i64>,
    channel: Option<String>,
    #[serde(default)]
    countries: Vec<String>,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    senders: Vec<String>,
    #[serde(default)]
    accounts: Vec<u32>,
    links: Vec<String>,
}

/// Resolves the routes of a file, in the order in which they are looked at.
pub(in super::super) fn resolve_routes(
    raw: BTreeMap<String, RawRoute>,
    is_link: &dyn Fn(&str) -> bool,
    mistakes: &mut ConfigMistakes,
) -> Vec<RouteConfig> {
    if raw.len() > ROUTES_MAX {
        mistakes.add("route", too_many(raw.len()));
    }
    let mut routes = Vec::new();
    for (name, raw) in raw {
        let RawRoute { order, channel, countries, prefixes, senders, accounts, links } = raw;
        let order = order.unwrap_or(ORDER);
        if !(0..=ORDER_MAX).contains(&order) {
            let problem = format!("is {order}; must be 0 to {ORDER_MAX}");
            mistakes.add(format!("route.{name}.order"), problem);
        }
        let entry = RouteEntry { name, channel, countries, prefixes, senders, accounts, links };
        routes.extend(resolve_route(&entry, order, is_link, mistakes));
    }
    routes.sort_by(|a: &RouteConfig, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
    routes
}

fn resolve_route(
    entry: &RouteEntry,
    order: i64,
    is_link: &dyn Fn(&str) -> bool,
    mistakes: &mut ConfigMistakes,
) -> Option<RouteConfig> {
    let place = format!("route.{}", entry.name);
    if !is_name(&entry.name) {
        mistakes.add(place, super::NAME);
        return None;
    }
    let mut wrong = |key: &str, problem: String| mistakes.add(format!("{place}.{key}"), problem);
    let channel = match entry.channel.as_deref() {
        None => None,
        Some("sms") => Some(Channel::Sms),
        Some("voice") => Some(Channel::Voice),
        Some(other) => {
            wrong("channel", format!("is `{other}`; must be `sms` or `voice`"));
            None
        }
    };
    for code in &entry.countries {
        let region = engine::Region::parse(code).filter(|region| region.as_str() == code);
        if !region.is_some_and(engine::Region::has_numbers) {
            wrong("countries", format!("names `{code}`; must be ISO 3166-1 codes, like `DE`"));
        }
    }
    for prefix in &entry.prefixes {
        let fits = (1..=engine::E164_DIGITS_MAX).contains(&prefix.len());
        if !fits || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            wrong("prefixes", format!("names `{prefix}`; must be leading digits without `+`"));
        }
    }
    for sender in entry.senders.iter().filter(|sender| SenderKind::parse(sender).is_none()) {
        wrong("senders", format!("names `{sender}`; must be {SENDERS}"));
    }
    let tiers = tiers(&entry.links, is_link, &mut wrong);
    Some(RouteConfig {
        name: entry.name.clone(),
        order,
        channel,
        countries: entry.countries.iter().cloned().collect(),
        prefixes: entry.prefixes.clone(),
        senders: entry.senders.iter().filter_map(|sender| SenderKind::parse(sender)).collect(),
        accounts: entry.accounts.iter().copied().map(AccountId).collect(),
        tiers: tiers?,
    })
}

fn tiers(
    written: &[String],
    is_link: &dyn Fn(&str) -> bool,
    wrong: &mut impl FnMut(&str, String),
) -> Option<Vec<Tier>> {
    let mut tiers: Vec<Tier> = Vec::new();
    let mut named = BTreeSet::new();
    for text in written {
        let Some(tier) = tier(text) else {
            wrong("links", format!("names `{text}`; must be {TIER}"));
            continue;
        };
        for (link, _) in &tier {
            if link != SANDBOX && !is_link(link) {
                wrong("links", format!("names `{link}`, and there is no [link.{link}]"));
            }
            if !named.insert(link.clone()) {
                wrong("links", format!("names `{link}` twice"));
            }
        }
        tiers.push(tier);
    }
    if written.is_empty() {
        wrong("links", format!("is empty; must be {TIER}"));
    }
    (!tiers.is_empty()).then_some(tiers)
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

fn too_many(count: usize) -> String {
    format!("there are {count}; must be {ROUTES_MAX} at most")
}

const SENDERS: &str = "`short_code`, `long_number` or `alphanumeric`";
const TIER: &str =
    "names of links, each with a weight if need be (1 to 1000), like `one:70 two:30`";
const WEIGHT_MAX: u32 = 1000;

/// Every attempt looks at them one after the other; more than there are countries.
const ROUTES_MAX: usize = 500;

/// The order of a route that tells none.
const ORDER: i64 = 100;
const ORDER_MAX: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_of_a_route_is_told() {
        let bad = RouteEntry {
            name: "bad".to_owned(),
            channel: Some("fax".to_owned()),
            countries: words(&["us", "XX", "DE"]),
            prefixes: words(&["+44", "", "447"]),
            senders: words(&["pigeon", "short_code"]),
            accounts: vec![7],
            links: words(&["a:0 b", "c", "a a", ""]),
        };
        let unnamed = RouteEntry { name: "n n".to_owned(), ..RouteEntry::default() };
        let empty = RouteEntry { name: "empty".to_owned(), ..RouteEntry::default() };
        let told = resolve_entries(&[bad, unnamed, empty.clone(), empty], &is_link).unwrap_err();
        insta::assert_snapshot!(told, @r"
        the configuration has 14 mistakes
          route.bad.channel: is `fax`; must be `sms` or `voice`
          route.bad.countries: names `us`; must be ISO 3166-1 codes, like `DE`
          route.bad.countries: names `XX`; must be ISO 3166-1 codes, like `DE`
          route.bad.prefixes: names `+44`; must be leading digits without `+`
          route.bad.prefixes: names ``; must be leading digits without `+`
          route.bad.senders: names `pigeon`; must be `short_code`, `long_number` or `alphanumeric`
          route.bad.links: names `a:0 b`; must be names of links, each with a weight if need be (1 to 1000), like `one:70 two:30`
          route.bad.links: names `c`, and there is no [link.c]
          route.bad.links: names `a` twice
          route.bad.links: names ``; must be names of links, each with a weight if need be (1 to 1000), like `one:70 two:30`
          route.n n: must be a name of 1 to 32 letters, digits, `-` and `_`
          route.empty.links: is empty; must be names of links, each with a weight if need be (1 to 1000), like `one:70 two:30`
          route.empty: is there twice
          route.empty.links: is empty; must be names of links, each with a weight if need be (1 to 1000), like `one:70 two:30`
        ");
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let entry = RouteEntry {
            name: "us".to_owned(),
            channel: Some("sms".to_owned()),
            countries: words(&["CA", "US"]),
            prefixes: words(&["1"]),
            senders: words(&["short_code", "long_number"]),
            accounts: vec![1, 2],
            links: words(&["a:70 b:30", "sandbox"]),
        };
        let routes = resolve_entries(std::slice::from_ref(&entry), &is_link).unwrap();
        assert_eq!(RouteEntry::from(&routes[0]), entry);
        assert_eq!(routes[0].tiers[0], [("a".to_owned(), 70), ("b".to_owned(), 30)]);
    }

    #[test]
    fn routes_of_a_file_are_sorted_by_order_and_name() {
        let raw = |order| RawRoute {
            order,
            channel: None,
            countries: Vec::new(),
            prefixes: Vec::new(),
            senders: Vec::new(),
            accounts: Vec::new(),
            links: words(&["a"]),
        };
        let file = [("x", None), ("b", Some(100)), ("last", Some(101)), ("first", Some(0))];
        let file = file.into_iter().map(|(name, order)| (name.to_owned(), raw(order)));
        let mut mistakes = ConfigMistakes::default();
        let routes = resolve_routes(file.collect(), &is_link, &mut mistakes);
        let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
        assert_eq!(names, ["first", "b", "x", "last"]);
        assert!(mistakes.is_empty());
        let file = [("far".to_owned(), raw(Some(-1)))];
        resolve_routes(file.into(), &is_link, &mut mistakes);
        assert!(mistakes.to_string().contains("route.far.order: is -1; must be 0 to 1000"));
    }

    #[test]
    fn the_example_of_a_route_is_right() {
        let example =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../countersign.example.toml"));
        let (_, block) = example.split_once("#[route.america]\n").unwrap();
        let lines = block.lines().filter_map(|line| line.strip_prefix('#'));
        let lines = lines.filter(|line| !line.starts_with(' '));
        let raw: RawRoute = toml::from_str(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        let (mut mistakes, file) = (ConfigMistakes::default(), [("america".to_owned(), raw)]);
        let routes = resolve_routes(file.into(), &|_| true, &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes}");
        assert_eq!((routes[0].order, routes[0].tiers.len()), (ORDER, 2));
    }

    #[test]
    fn a_table_without_end_is_refused() {
        let entry = |index: usize| RouteEntry {
            name: index.to_string(),
            links: words(&["a"]),
            ..RouteEntry::default()
        };
        let entries: Vec<RouteEntry> = (0..=ROUTES_MAX).map(entry).collect();
        let told = resolve_entries(&entries, &is_link).unwrap_err().to_string();
        assert!(told.contains("500 at most"), "{told}");
    }

    fn is_link(name: &str) -> bool {
        ["a", "b"].contains(&name)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }
}
