//! An account with all its defaults filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::wording::{AppHash, AppendedLine, Host, Template};
use engine::{
    AccountId, CountryPolicy, Limit, Limits, Locale, Originator, OriginatorRule, Policy, Price,
    PriceList, Region, Timing, Workflow,
};

use crate::config::{Config, EngineConfig, LimitsConfig};
use crate::store::{
    AccountRecord, AccountSettings, DirectoryRows, NumberRecord, PriceRecord, TemplateRecord,
};

/// An account with all its defaults filled in.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name in the store.
    pub id: AccountId,
    /// Its name for people.
    pub name: String,
    /// Its own settings.
    pub settings: AccountSettings,
    /// The rates that its starts keep to.
    pub limits: Limits,
    /// The countries that it may send to.
    pub countries: CountryPolicy,
    /// What it pays.
    pub prices: PriceList,
    /// Whom it may send from.
    pub originators: Vec<OriginatorRule>,
    /// The short code that its 2FA messages are from.
    pub short_code: Option<ShortCode>,
    /// The texts that the 2FA API's `template` names.
    pub templates: BTreeMap<u32, Template>,
    /// Its own texts of verifications.
    pub texts: BTreeMap<Locale, Template>,
    /// What ends the text of every verification.
    pub last_line: Option<AppendedLine>,
    engine: EngineConfig,
}

/// A short code with its campaign.
#[derive(Clone, Debug)]
pub struct ShortCode {
    /// Its name in the store: the campaign that opt-outs are for.
    pub id: u32,
    /// The code.
    pub originator: Originator,
    /// The countries that it serves; all if empty.
    pub countries: BTreeSet<String>,
}

impl Account {
    /// Returns the rules of a verification with one of the preset workflows.
    pub fn policy(&self, workflow: u8, timing: Timing) -> Option<Policy> {
        let seconds = |own: Option<u32>, default: Duration| {
            own.map_or(default, |s| Duration::from_secs(u64::from(s)))
        };
        let wait = timing.step_wait_or(seconds(self.settings.step_wait_s, self.engine.step_wait));
        Some(Policy {
            workflow: Workflow::preset(workflow, wait)?,
            lifetime: timing.lifetime_or(seconds(self.settings.lifetime_s, self.engine.lifetime)),
            cancel_after: self.cancel_after(),
            checks_max: self.settings.checks_max.unwrap_or(self.engine.checks_max),
            unconfirmed: self.engine.unconfirmed(),
        })
    }

    /// Returns how long after its start a verification cannot be cancelled yet.
    pub fn cancel_after(&self) -> Duration {
        let own = self.settings.cancel_after_s;
        own.map_or(self.engine.cancel_after, |s| Duration::from_secs(u64::from(s)))
    }

    /// Returns the text of its verifications in a locale.
    pub fn text(&self, locale: Locale) -> Template {
        self.texts.get(&locale).cloned().unwrap_or_else(|| Template::built_in(locale))
    }

    pub(super) fn resolve(record: &AccountRecord, rows: &DirectoryRows, config: &Config) -> Self {
        let settings = record.settings.clone();
        let own = |number: &&NumberRecord| number.account == record.id;
        let numbers: Vec<&NumberRecord> = rows.numbers.iter().filter(own).collect();
        let templates = rows.templates.iter().filter(|template| template.account == record.id);
        let templates: Vec<&TemplateRecord> = templates.collect();
        Self {
            id: record.id,
            name: record.name.clone(),
            limits: limits(&settings, &config.limits),
            countries: countries(&settings, config),
            prices: prices(record.id, &rows.prices),
            originators: numbers.iter().filter_map(|number| rule(number, config)).collect(),
            short_code: numbers.iter().find_map(|number| short_code(number, config)),
            templates: templates.iter().filter_map(|t| Some((t.index?, text(t)?))).collect(),
            texts: templates.iter().filter_map(|t| Some((t.locale?, text(t)?))).collect(),
            last_line: last_line(&settings),
            engine: config.engine.clone(),
            settings,
        }
    }
}

fn limits(settings: &AccountSettings, config: &LimitsConfig) -> Limits {
    let account = settings.account_per_s.unwrap_or(config.account_per_s);
    let number = settings.number_starts_max.unwrap_or(config.number_starts_max);
    let prefix = settings.prefix_starts_max.unwrap_or(config.prefix_starts_max);
    Limits {
        account: Limit::new(account, Duration::from_secs(1)),
        number: Limit::new(number, config.number_window),
        prefix: Limit::new(prefix, config.prefix_window),
    }
}

/// An account may narrow what the operator serves, and never widen it.
fn countries(settings: &AccountSettings, config: &Config) -> CountryPolicy {
    let own: BTreeSet<String> = settings.countries_allow.iter().cloned().collect();
    let operators = &config.countries.allow;
    let (allow, nothing_left) = match (own.is_empty(), operators.is_empty()) {
        (true, _) => (operators.clone(), false),
        (false, true) => (own, false),
        (false, false) => {
            let both: BTreeSet<String> = own.intersection(operators).cloned().collect();
            let none = both.is_empty();
            (both, none)
        }
    };
    let mut deny = config.countries.deny.clone();
    deny.extend(settings.countries_deny.iter().cloned());
    // An empty list means every country, so one that became empty must name a country that is none.
    let allow = if nothing_left { BTreeSet::from(["-".to_owned()]) } else { allow };
    CountryPolicy { allow, deny }
}

/// An account's own lines hide the general ones for the same prefix.
fn prices(account: AccountId, records: &[PriceRecord]) -> PriceList {
    let own = records.iter().filter(|record| record.account == Some(account));
    let mut prices: Vec<Price> = own.map(|record| record.price.clone()).collect();
    let general = records.iter().filter(|record| record.account.is_none());
    for record in general {
        let hidden =
            prices.iter().any(|p| p.item == record.price.item && p.prefix == record.price.prefix);
        if !hidden {
            prices.push(record.price.clone());
        }
    }
    PriceList::new(prices)
}

fn rule(number: &NumberRecord, config: &Config) -> Option<OriginatorRule> {
    let originator = Originator::parse(&number.value).ok()?;
    let mut countries: Vec<&String> = number.countries.iter().collect();
    if countries.is_empty() && matches!(originator, Originator::ShortCode(_)) {
        countries.extend(&config.vonage.short_code_countries);
    }
    let regions = countries.into_iter().filter_map(|code| Region::parse(code)).collect();
    Some(OriginatorRule { originator, regions, fallback: number.fallback })
}

fn short_code(number: &NumberRecord, config: &Config) -> Option<ShortCode> {
    number.campaign.as_ref()?;
    let originator = Originator::parse(&number.value).ok()?;
    let countries = if number.countries.is_empty() {
        config.vonage.short_code_countries.clone()
    } else {
        number.countries.iter().cloned().collect()
    };
    Some(ShortCode { id: number.id, originator, countries })
}

fn text(template: &TemplateRecord) -> Option<Template> {
    Template::parse_for_code(&template.text).ok()
}

fn last_line(settings: &AccountSettings) -> Option<AppendedLine> {
    let web = settings.webotp_host.as_deref().and_then(|host| Host::parse(host).ok());
    if let Some(host) = web {
        return Some(AppendedLine::WebOtp { host });
    }
    let hash = settings.android_hash.as_deref().and_then(|hash| AppHash::parse(hash).ok());
    hash.map(AppendedLine::AndroidHash)
}
