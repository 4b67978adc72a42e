//! The settings of an account: what a request may make of them.

use engine::wording::{AppHash, AppendedLine, Host, LintError, Template, lint};
use engine::{AccountId, Locale};
use serde_json::{Map, Value};

use super::answer::countries;
use super::problem::{Fault, Problem};
use crate::directory::Directory;
use crate::http::App;
use crate::store::AccountSettings;
use crate::webhooks::destination;

/// Lays the fields of a request over an account's settings. `null` takes one back to its default.
///
/// Only what the request gives is checked: what is stored is taken as it is.
pub(super) fn merge(
    app: &App,
    directory: &Directory,
    account: AccountId,
    current: &AccountSettings,
    given: &Map<String, Value>,
) -> Result<AccountSettings, Problem> {
    let defaults = fields(&AccountSettings::default());
    let mut merged = fields(current);
    let mut faults = Vec::new();
    for (name, value) in given {
        let Some(default) = defaults.get(name) else {
            faults.push(Fault::new(name, unknown(&defaults)));
            continue;
        };
        let value = if value.is_null() { default } else { value };
        match type_fault(name, value) {
            Some(detail) => faults.push(Fault::new(name, detail)),
            None => drop(merged.insert(name.clone(), value.clone())),
        }
    }
    let settings = serde_json::from_value(Value::Object(merged));
    let mut settings: AccountSettings = settings.map_err(|_| Problem::internal())?;
    let mut found = range_faults(&settings);
    found.extend(url_faults(app, &settings));
    found.extend(last_line_faults(directory, account, &settings));
    for list in [&mut settings.countries_allow, &mut settings.countries_deny] {
        // One that is wrong stays as it is, and is told below.
        *list = countries(list).unwrap_or_else(|_| list.clone());
    }
    for (name, list) in [
        ("countries_allow", &settings.countries_allow),
        ("countries_deny", &settings.countries_deny),
    ] {
        found.extend(countries(list).err().map(|detail| Fault::new(name, detail)));
    }
    found.extend(times_fault(app, &settings, given));
    faults.extend(found.into_iter().filter(|fault| given.contains_key(&fault.field)));
    if faults.is_empty() { Ok(settings) } else { Err(Problem::fields(faults)) }
}

/// Reads the line that ends an account's texts, if it has one.
pub(super) fn last_line(settings: &AccountSettings) -> Result<Option<AppendedLine>, LintError> {
    let host = settings.webotp_host.as_deref().map(Host::parse).transpose()?;
    let hash = settings.android_hash.as_deref().map(AppHash::parse).transpose()?;
    match (host, hash) {
        (Some(_), Some(_)) => Err(LintError::TwoLastLines),
        (Some(host), None) => Ok(Some(AppendedLine::WebOtp { host })),
        (None, Some(hash)) => Ok(Some(AppendedLine::AndroidHash(hash))),
        (None, None) => Ok(None),
    }
}

fn fields(settings: &AccountSettings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    }
}

fn unknown(defaults: &Map<String, Value>) -> String {
    let names: Vec<&str> = defaults.keys().map(String::as_str).collect();
    format!("this is no setting; there are name, {}", names.join(", "))
}

/// Reads the field alone, so that what is wrong is told with its name.
fn type_fault(name: &str, value: &Value) -> Option<String> {
    let alone = Map::from_iter([(name.to_owned(), value.clone())]);
    let read = serde_json::from_value::<AccountSettings>(Value::Object(alone));
    read.err().map(|error| error.to_string())
}

fn range_faults(settings: &AccountSettings) -> Vec<Fault> {
    let numbers = [
        ("account_per_s", settings.account_per_s, 0, 100_000, "starts a second"),
        ("number_starts_max", settings.number_starts_max, 1, 10_000, "starts"),
        ("prefix_starts_max", settings.prefix_starts_max, 1, 1_000_000, "starts"),
        ("step_wait_s", settings.step_wait_s, 15, 900, "seconds"),
        ("lifetime_s", settings.lifetime_s, 60, 3600, "seconds"),
        ("cancel_after_s", settings.cancel_after_s, 0, 300, "seconds"),
        ("checks_max", settings.checks_max.map(u32::from), 1, 10, "checks"),
        ("voice_repeats_max", settings.voice_repeats_max.map(u32::from), 0, 3, "repeats"),
    ];
    let wrong = |value: Option<u32>, min, max| value.filter(|v| !(min..=max).contains(v));
    numbers
        .into_iter()
        .filter_map(|(name, value, min, max, unit)| {
            let value = wrong(value, min, max)?;
            Some(Fault::new(name, format!("is {value}; must be {min} to {max} {unit}")))
        })
        .collect()
}

fn url_faults(app: &App, settings: &AccountSettings) -> Vec<Fault> {
    let allow_private = app.config.webhooks.allow_private;
    let urls = [
        ("dlr_url", &settings.dlr_url),
        ("inbound_url", &settings.inbound_url),
        ("webhook_url", &settings.webhook_url),
    ];
    urls.into_iter()
        .filter_map(|(name, url)| {
            let problem = destination::check_url(url.as_deref()?, allow_private).err()?;
            Some(Fault::new(name, format!("cannot {problem}")))
        })
        .collect()
}

/// A cancel that is refused for longer than the code lives could never succeed.
fn times_fault(app: &App, settings: &AccountSettings, given: &Map<String, Value>) -> Option<Fault> {
    let seconds =
        |own: Option<u32>, default: std::time::Duration| own.map_or(default.as_secs(), u64::from);
    let lifetime = seconds(settings.lifetime_s, app.config.engine.lifetime);
    let cancel_after = seconds(settings.cancel_after_s, app.config.engine.cancel_after);
    let name = if given.contains_key("lifetime_s") { "lifetime_s" } else { "cancel_after_s" };
    (cancel_after >= lifetime).then(|| {
        let detail =
            format!("cancel_after_s ({cancel_after}) must be below lifetime_s ({lifetime})");
        Fault::new(name, detail)
    })
}

/// Whatever ends a text must end every text that the account's verifications can have.
fn last_line_faults(
    directory: &Directory,
    account: AccountId,
    settings: &AccountSettings,
) -> Vec<Fault> {
    let name = if settings.webotp_host.is_some() { "webotp_host" } else { "android_hash" };
    let line = match last_line(settings) {
        Ok(Some(line)) => [line],
        Ok(None) => return Vec::new(),
        Err(error) => {
            // Either field may be the one that was given.
            let fields = match error {
                LintError::IllegalHost => vec!["webotp_host"],
                LintError::IllegalHash => vec!["android_hash"],
                LintError::TwoLastLines
                | LintError::WebOtpInText
                | LintError::MissingPin
                | LintError::UnknownLength(_)
                | LintError::TooLong { .. } => vec!["webotp_host", "android_hash"],
            };
            return fields.into_iter().map(|field| Fault::new(field, error.to_string())).collect();
        }
    };
    let rows = directory.rows.templates.iter().filter(|row| row.account == account);
    let own: Vec<(Locale, Template)> = rows
        .filter_map(|row| Some((row.locale?, Template::parse_for_code(&row.text).ok()?)))
        .collect();
    let text_of = |locale: Locale| {
        let own = own.iter().find(|(of, _)| *of == locale).map(|(_, text)| text.clone());
        own.unwrap_or_else(|| Template::built_in(locale))
    };
    Locale::ALL
        .into_iter()
        .filter_map(|locale| {
            let error = lint(&text_of(locale), &line).err()?;
            Some(Fault::new(name, format!("the text of {}: {error}", locale.as_str())))
        })
        .collect()
}
