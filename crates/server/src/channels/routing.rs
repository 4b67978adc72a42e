//! Which links an attempt may go over, and in which order. Pure: chance comes in as a number.

use std::collections::BTreeMap;

use engine::{AccountId, Channel, Originator};

use crate::config::{RouteConfig, SenderKind, Tier};

/// What a route can tell attempts apart by.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The channel.
    pub channel: Channel,
    /// The number's digits.
    pub digits: u64,
    /// The number's country, as an ISO 3166-1 alpha-2 code.
    pub country: &'a str,
    /// What the attempt is from.
    pub sender: Option<SenderKind>,
    /// Whose it is.
    pub account: AccountId,
}

/// The order in which links are to be tried.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// The route that was found, `None` if there are no routes or none fits.
    pub route: Option<String>,
    /// The names of the links, the first to be tried first.
    pub links: Vec<String>,
}

/// All routes, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Routing {
    routes: Vec<RouteConfig>,
}

impl Routing {
    /// Takes routes in the order in which they are to be looked at.
    pub fn new(routes: Vec<RouteConfig>) -> Self {
        Self { routes }
    }

    /// The routes, in order.
    pub fn routes(&self) -> &[RouteConfig] {
        &self.routes
    }

    /// Whether there are no routes, so that all links are tried in order of their names.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Finds the first route that fits and puts its links in order: tier by tier, within a tier by
    /// weight. `chance` is drawn anew for each attempt and used up digit by digit, so that the same
    /// number gives the same order.
    pub fn plan(&self, destination: &Destination<'_>, chance: u64) -> Plan {
        let Some(route) = self.routes.iter().find(|route| fits(route, destination)) else {
            return Plan::default();
        };
        let mut chance = chance;
        let links = route.tiers.iter().flat_map(|tier| shuffled(tier, &mut chance)).collect();
        Plan { route: Some(route.name.clone()), links }
    }
}

/// Tells what an originator is, as far as routes tell them apart.
pub fn sender_kind(originator: &str) -> Option<SenderKind> {
    Originator::parse(originator).ok().map(|originator| match originator {
        Originator::ShortCode(_) => SenderKind::ShortCode,
        Originator::LongNumber(_) => SenderKind::LongNumber,
        Originator::Alphanumeric(_) => SenderKind::Alphanumeric,
    })
}

fn fits(route: &RouteConfig, to: &Destination<'_>) -> bool {
    let digits = to.digits.to_string();
    let prefixed = route.prefixes.iter().any(|prefix| digits.starts_with(prefix.as_str()));
    let from = |sender: SenderKind| route.senders.contains(&sender);
    route.channel.is_none_or(|channel| channel == to.channel)
        && (route.countries.is_empty() || route.countries.contains(to.country))
        && (route.prefixes.is_empty() || prefixed)
        && (route.senders.is_empty() || to.sender.is_some_and(from))
        && (route.accounts.is_empty() || route.accounts.contains(&to.account))
}

/// Draws the links of a tier one after the other, each with a chance by its weight.
fn shuffled(tier: &Tier, chance: &mut u64) -> Vec<String> {
    let mut left: BTreeMap<usize, (&str, u64)> = tier
        .iter()
        .enumerate()
        .map(|(index, (name, weight))| (index, (name.as_str(), u64::from(*weight))))
        .collect();
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let total: u64 = left.values().map(|(_, weight)| weight).sum::<u64>().max(1);
        let mut point = *chance % total;
        *chance /= total;
        let hit = left.iter().find(|(_, (_, weight))| {
            let inside = point < *weight;
            point = point.saturating_sub(*weight);
            inside
        });
        let Some(index) = hit.map(|(index, _)| *index).or(left.keys().next().copied()) else {
            break;
        };
        if let Some((name, _)) = left.remove(&index) {
            order.push(name.to_owned());
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_route_that_fits_is_followed() {
        let us = RouteConfig { countries: ["US".to_owned()].into(), ..route("us", "a") };
        let rest = route("rest", "b");
        let routing = Routing::new(vec![us, rest]);
        assert_eq!(routing.plan(&to("US"), 0), plan("us", &["a"]));
        assert_eq!(routing.plan(&to("GB"), 0), plan("rest", &["b"]));
    }

    #[test]
    fn where_no_route_fits_there_is_no_link() {
        let voice = RouteConfig { channel: Some(Channel::Voice), ..route("voice", "a") };
        assert_eq!(Routing::new(vec![voice]).plan(&to("US"), 0), Plan::default());
    }

    #[test]
    fn a_route_can_be_for_prefixes_senders_and_accounts() {
        let fits = |route| Routing::new(vec![route]).plan(&to("US"), 0).route.is_some();
        let prefixes = |prefix: &str| vec![prefix.to_owned()];
        assert!(fits(RouteConfig { prefixes: prefixes("1201"), ..route("r", "a") }));
        assert!(!fits(RouteConfig { prefixes: prefixes("1202"), ..route("r", "a") }));
        let senders = |kind| [kind].into();
        assert!(fits(RouteConfig { senders: senders(SenderKind::ShortCode), ..route("r", "a") }));
        let name = senders(SenderKind::Alphanumeric);
        assert!(!fits(RouteConfig { senders: name, ..route("r", "a") }));
        assert!(fits(RouteConfig { accounts: [AccountId(7)].into(), ..route("r", "a") }));
        assert!(!fits(RouteConfig { accounts: [AccountId(8)].into(), ..route("r", "a") }));
    }

    #[test]
    fn links_of_a_tier_share_by_weight_and_those_of_the_next_come_after() {
        let tiers =
            vec![vec![("a".to_owned(), 70), ("b".to_owned(), 30)], vec![("c".to_owned(), 1)]];
        let routing = Routing::new(vec![RouteConfig { tiers, ..route("r", "x") }]);
        let mut first = BTreeMap::new();
        for chance in 0..1000 {
            let links = routing.plan(&to("US"), chance).links;
            assert_eq!(links.len(), 3);
            assert_eq!(links[2], "c");
            *first.entry(links[0].clone()).or_insert(0) += 1;
        }
        assert_eq!((first["a"], first["b"]), (700, 300));
    }

    fn to(country: &str) -> Destination<'_> {
        Destination {
            channel: Channel::Sms,
            digits: 12_015_550_123,
            country,
            sender: Some(SenderKind::ShortCode),
            account: AccountId(7),
        }
    }

    fn route(name: &str, link: &str) -> RouteConfig {
        RouteConfig {
            name: name.to_owned(),
            order: 0,
            channel: None,
            countries: [].into(),
            prefixes: Vec::new(),
            senders: [].into(),
            accounts: [].into(),
            tiers: vec![vec![(link.to_owned(), 1)]],
        }
    }

    fn plan(route: &str, links: &[&str]) -> Plan {
        let links = links.iter().map(|&link| link.to_owned()).collect();
        Plan { route: Some(route.to_owned()), links }
    }
}
