//! The settings of HTTP links: `kind = "http"`.

mod profiles;
mod template;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use engine::{ErrorCode, ReceiptStatus};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::Settings;
pub use template::{Found, Pattern, Slot, Template};

/// The settings of one link.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// Whether messages are posted.
    pub post: bool,
    /// Where to; what fills its slots is escaped.
    pub url: Template,
    /// Headers beyond those that every request has.
    pub headers: Vec<(String, Template)>,
    /// How the fields are written.
    pub body: BodyKind,
    /// What is sent.
    pub fields: Vec<(String, Field)>,
    /// Our name with the aggregator.
    pub user: String,
    /// The file with our password there.
    pub password_file: Option<PathBuf>,
    /// Files with further secrets, by the names of their slots.
    pub secret_files: BTreeMap<String, PathBuf>,
    /// Whether user and password are sent as Basic authentication (RFC 7617).
    pub basic_auth: bool,
    /// The word for the GSM alphabet, and that for Unicode.
    pub coding: (String, String),
    /// The fewest and the most seconds that the aggregator lets a message be tried for.
    pub validity_s: (u64, u64),
    /// What answers mean.
    pub answers: AnswerRules,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long an answer may take, the connection included.
    pub timeout: Duration,
    /// How many messages wait for their answers at a time.
    pub connections: usize,
    /// How many failures in a row open the breaker.
    pub breaker_failures: u32,
    /// How long it stays open.
    pub breaker_open: Duration,
    /// The file with the authorities to trust, in place of this host's.
    pub ca_file: Option<PathBuf>,
    /// How reports are read.
    pub reports: ReportRules,
    /// How messages from handsets are read; `None` if there are none.
    pub inbound: Option<InboundRules>,
    /// `server.public_url`.
    pub public_url: Option<String>,
}

/// How fields are written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum BodyKind {
    /// In the URL.
    Query,
    /// As `application/x-www-form-urlencoded`.
    Form,
    /// As JSON.
    Json,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// A text; the field is left out where it renders to nothing.
    Text(Template),
    /// A number or a truth, as written.
    Fixed(Json),
    /// A list, in JSON only.
    List(Vec<Field>),
    /// An object, in JSON only.
    Object(Vec<(String, Field)>),
}

/// What answers mean.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerRules {
    /// The HTTP statuses of a message that was taken.
    pub accepted_status: Vec<(u16, u16)>,
    /// Those of a message that was not, and may be later.
    pub temporary_status: Vec<(u16, u16)>,
    /// Those after which nobody knows.
    pub unknown_status: Vec<(u16, u16)>,
    /// What plain text looks like; the first pattern that fits counts. Empty for JSON.
    pub patterns: Vec<Pattern>,
    /// JSON pointers (RFC 6901) to the state, where `*` is every entry of a list; the first that
    /// leads anywhere counts.
    pub states: Vec<String>,
    /// A JSON pointer to the aggregator's name of the message.
    pub id: Option<String>,
    /// The states of a message that was taken.
    pub accepted: Vec<String>,
    /// Those of a message that was not, and may be later.
    pub temporary: Vec<String>,
    /// Those of a message that nobody will take, and why.
    pub rejected: BTreeMap<String, ErrorCode>,
}

/// How reports are read: names of fields, or JSON pointers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportRules {
    /// A JSON pointer to the list of reports, where one request brings several.
    pub each: Option<String>,
    /// The aggregator's name of the message.
    pub id: Option<String>,
    /// Our own name of it, where it is brought back.
    pub own_id: Option<String>,
    /// The number, for reports without a name.
    pub to: Option<String>,
    /// The state.
    pub state: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// What states mean.
    pub states: BTreeMap<String, ReceiptStatus>,
    /// What all other states mean.
    pub otherwise: Option<ReceiptStatus>,
    /// What errors mean; those that are not listed and are numbers of the 2FA API's list stay.
    pub errors: BTreeMap<String, ErrorCode>,
    /// What a report is answered with.
    pub answer: String,
}

/// How messages from handsets are read: names of fields, or JSON pointers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct InboundRules {
    /// The list of messages, where one request brings several.
    pub each: Option<String>,
    /// The sender's number.
    pub from: String,
    /// Our number.
    pub to: String,
    /// What it says.
    pub text: String,
    /// The aggregator's name of it, by which a repeat is known.
    pub id: Option<String>,
    /// What it is answered with once it is stored.
    #[serde(default)]
    pub answer: String,
}

impl HttpConfig {
    /// Whether messages tell where to report to.
    pub fn tells_dlr_url(&self) -> bool {
        fn has(field: &Field) -> bool {
            match field {
                Field::Text(template) => template.has(&Slot::DlrUrl),
                Field::Fixed(_) => false,
                Field::List(fields) => fields.iter().any(has),
                Field::Object(fields) => fields.iter().any(|(_, field)| has(field)),
            }
        }
        self.fields.iter().any(|(_, field)| has(field))
            || self.headers.iter().any(|(_, template)| template.has(&Slot::DlrUrl))
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawHttp {
    method: Option<String>,
    url: String,
    headers: BTreeMap<String, String>,
    body: Option<BodyKind>,
    fields: Table,
    user: String,
    password_file: Option<PathBuf>,
    secret_files: BTreeMap<String, PathBuf>,
    basic_auth: bool,
    coding: RawCoding,
    validity: RawValidity,
    accepted_status: Option<Vec<String>>,
    temporary_status: Option<Vec<String>>,
    unknown_status: Option<Vec<String>>,
    answer_patterns: Vec<String>,
    answer_states: Vec<String>,
    answer_id: Option<String>,
    accepted_states: Vec<String>,
    temporary_states: Vec<String>,
    rejected_states: BTreeMap<String, i64>,
    connect_timeout_ms: Option<i64>,
    timeout_ms: Option<i64>,
    connections: Option<i64>,
    breaker_failures: Option<i64>,
    breaker_open_s: Option<i64>,
    ca_file: Option<PathBuf>,
    reports: RawReports,
    inbound: Option<InboundRules>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawCoding {
    gsm: String,
    unicode: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawValidity {
    min_s: Option<i64>,
    max_s: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawReports {
    each: Option<String>,
    id: Option<String>,
    own_id: Option<String>,
    to: Option<String>,
    state: Option<String>,
    error: Option<String>,
    states: BTreeMap<String, ReceiptStatus>,
    otherwise: Option<ReceiptStatus>,
    errors: BTreeMap<String, i64>,
    answer: String,
}

pub(super) fn resolve(mut keys: Table, settings: &mut Settings<'_>) -> Option<HttpConfig> {
    if let Some(name) = keys.remove("profile") {
        let name = name.as_str().unwrap_or_default();
        let Some(profile) = profiles::profile(name).and_then(|text| text.parse().ok()) else {
            let names = profiles::NAMES;
            settings.wrong("profile", format!("is `{name}`; must be one of {names}"));
            return None;
        };
        keys = laid_over(profile, keys);
    }
    let raw: RawHttp = settings.read(keys)?;
    let names = raw.secret_files.keys();
    let mut template = |key: &str, text: &str| match Template::parse(text, names.clone()) {
        Ok(template) => template,
        Err(problem) => {
            settings.wrong(key, problem);
            Template::default()
        }
    };
    let url = template("url", &raw.url);
    let headers = raw.headers.iter();
    let headers: Vec<(String, Template)> =
        headers.map(|(name, text)| (name.clone(), template("headers", text))).collect();
    let body = raw.body.unwrap_or(BodyKind::Form);
    let fields = object(&raw.fields, "fields", &mut template);
    check_url(&url, settings);
    check_headers(&headers, settings);
    if body != BodyKind::Json && fields.iter().any(|(_, field)| field.is_nested()) {
        settings.wrong("fields", "has a list or a table; only `body = \"json\"` can hold one");
    }
    let post = match raw.method.as_deref() {
        None | Some("POST") => true,
        Some("GET") if body == BodyKind::Query => false,
        Some("GET") => {
            settings.wrong("method", "is `GET`, which has no body; must be `POST`");
            false
        }
        Some(other) => {
            settings.wrong("method", format!("is `{other}`; must be `GET` or `POST`"));
            true
        }
    };
    let given = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
    Some(HttpConfig {
        post,
        url,
        headers,
        body,
        fields,
        basic_auth: raw.basic_auth,
        coding: (raw.coding.gsm.clone(), raw.coding.unicode.clone()),
        validity_s: validity(&raw.validity, settings),
        answers: answers(&raw, settings),
        connect_timeout: milliseconds("connect_timeout_ms", raw.connect_timeout_ms, settings),
        timeout: milliseconds("timeout_ms", raw.timeout_ms, settings),
        connections: settings.within("connections", raw.connections, CONNECTIONS, 32),
        breaker_failures: settings.within("breaker_failures", raw.breaker_failures, FAILURES, 5),
        breaker_open: Duration::from_secs(settings.within(
            "breaker_open_s",
            raw.breaker_open_s,
            OPEN_S,
            10,
        )),
        reports: reports(raw.reports, settings),
        inbound: raw.inbound,
        user: raw.user,
        password_file: given(raw.password_file),
        secret_files: raw.secret_files,
        ca_file: given(raw.ca_file),
        public_url: None,
    })
}

/// Lays what an operator wrote over a profile, key by key, tables as well.
fn laid_over(mut profile: Table, keys: Table) -> Table {
    for (key, value) in keys {
        let value = match (profile.remove(&key), value) {
            (Some(Value::Table(theirs)), Value::Table(ours)) => {
                Value::Table(laid_over(theirs, ours))
            }
            (_, ours) => ours,
        };
        profile.insert(key, value);
    }
    profile
}

/// Reads a table of fields; one that is an empty text is not sent.
fn object(
    table: &Table,
    key: &str,
    template: &mut impl FnMut(&str, &str) -> Template,
) -> Vec<(String, Field)> {
    let read = |(name, value): (&String, &Value)| {
        let key = format!("{key}.{name}");
        (name.clone(), field(value, &key, template))
    };
    let fields: Vec<(String, Field)> = table.iter().map(read).collect();
    let is_sent = |field: &Field| !matches!(field, Field::Text(text) if text.is_empty());
    fields.into_iter().filter(|(_, field)| is_sent(field)).collect()
}

fn field(value: &Value, key: &str, template: &mut impl FnMut(&str, &str) -> Template) -> Field {
    match value {
        Value::String(text) => Field::Text(template(key, text)),
        Value::Integer(number) => Field::Fixed(Json::from(*number)),
        Value::Float(number) => Field::Fixed(Json::from(*number)),
        Value::Boolean(truth) => Field::Fixed(Json::from(*truth)),
        Value::Datetime(date) => Field::Fixed(Json::from(date.to_string())),
        Value::Array(items) => {
            Field::List(items.iter().map(|item| field(item, key, template)).collect())
        }
        Value::Table(table) => Field::Object(object(table, key, template)),
    }
}

impl Field {
    const fn is_nested(&self) -> bool {
        match self {
            Self::Text(_) | Self::Fixed(_) => false,
            Self::List(_) | Self::Object(_) => true,
        }
    }
}

fn check_url(url: &Template, settings: &mut Settings<'_>) {
    let filled_with = |text: &str| Url::parse(&url.render(|_| text.to_owned())).ok();
    let origin = |text: &str| filled_with(text).map(|url| url.origin().ascii_serialization());
    let fits = filled_with("x").is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
    });
    if !fits {
        settings.wrong("url", "must be an http or https URL without a user and a password in it");
    } else if origin("x") != origin("y") || origin("1") != origin("2") {
        // A number would be told to whoever resolves names, and a sender could choose the host.
        settings.wrong("url", "has a slot in its host or port; slots may stand in its path only");
    }
}

fn check_headers(headers: &[(String, Template)], settings: &mut Settings<'_>) {
    for (name, _) in headers {
        if hyper::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
            settings.wrong("headers", format!("names `{name}`, which no header can be called"));
        }
    }
}

fn validity(raw: &RawValidity, settings: &mut Settings<'_>) -> (u64, u64) {
    let shortest = settings.within("validity.min_s", raw.min_s, VALIDITY_S, 1);
    let longest = settings.within("validity.max_s", raw.max_s, VALIDITY_S, VALIDITY_S_MAX);
    if shortest > longest {
        settings.wrong("validity.min_s", "must be `validity.max_s` at most");
        return (longest, longest);
    }
    (shortest, longest)
}

fn milliseconds(key: &str, written: Option<i64>, settings: &mut Settings<'_>) -> Duration {
    let default = if key == "timeout_ms" { TIMEOUT_MS } else { CONNECT_TIMEOUT_MS };
    Duration::from_millis(settings.within(key, written, MILLISECONDS, default))
}

fn answers(raw: &RawHttp, settings: &mut Settings<'_>) -> AnswerRules {
    if !raw.answer_patterns.is_empty() && !raw.answer_states.is_empty() {
        settings.wrong("answer_patterns", "is for plain text, and `answer_states` for JSON");
    }
    let mut patterns = Vec::new();
    for text in &raw.answer_patterns {
        match Pattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(problem) => settings.wrong("answer_patterns", problem),
        }
    }
    let pointers = raw.answer_states.iter().chain(&raw.answer_id);
    for pointer in pointers.filter(|pointer| !pointer.starts_with('/')) {
        let told = format!("holds `{pointer}`; must be a JSON pointer, like `/messages/*/status`");
        settings.wrong("answer_states", told);
    }
    AnswerRules {
        accepted_status: statuses("accepted_status", raw.accepted_status.as_ref(), settings),
        temporary_status: statuses("temporary_status", raw.temporary_status.as_ref(), settings),
        unknown_status: statuses("unknown_status", raw.unknown_status.as_ref(), settings),
        patterns,
        states: raw.answer_states.clone(),
        id: raw.answer_id.clone(),
        accepted: raw.accepted_states.clone(),
        temporary: raw.temporary_states.clone(),
        rejected: error_codes("rejected_states", &raw.rejected_states, settings),
    }
}

/// Reads `202` and `200-299`.
fn statuses(
    key: &str,
    written: Option<&Vec<String>>,
    settings: &mut Settings<'_>,
) -> Vec<(u16, u16)> {
    let read = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let status = |text: &str| text.trim().parse().ok().filter(|s| (100..=599).contains(s));
        let range: (u16, u16) = (status(first)?, status(last)?);
        (range.0 <= range.1).then_some(range)
    };
    let Some(written) = written else {
        let ours = DEFAULT_STATUSES.iter().find(|(name, _)| *name == key);
        return ours.map(|(_, ranges)| ranges.to_vec()).unwrap_or_default();
    };
    let mut ranges = Vec::new();
    for text in written {
        match read(text) {
            Some(range) => ranges.push(range),
            None => settings.wrong(
                key,
                format!("names `{text}`; must be HTTP statuses, like `202` or `200-299`"),
            ),
        }
    }
    ranges
}

fn error_codes(
    key: &str,
    written: &BTreeMap<String, i64>,
    settings: &mut Settings<'_>,
) -> BTreeMap<String, ErrorCode> {
    let mut codes = BTreeMap::new();
    for (state, code) in written {
        match u8::try_from(*code).ok().filter(|code| *code <= ERROR_CODE_MAX) {
            Some(code) => {
                codes.insert(state.clone(), ErrorCode(code));
            }
            None => settings.wrong(
                key,
                format!("maps `{state}` to {code}; must be an err-code, 0 to {ERROR_CODE_MAX}"),
            ),
        }
    }
    codes
}

fn reports(raw: RawReports, settings: &mut Settings<'_>) -> ReportRules {
    let named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty());
    let is_found = named(&raw.id) || named(&raw.own_id) || named(&raw.to);
    if named(&raw.state) && !is_found {
        settings.wrong("reports", "has a `state` and neither `id`, `own_id` nor `to`");
    }
    let given = |name: Option<String>| name.filter(|name| !name.is_empty());
    ReportRules {
        errors: error_codes("reports.errors", &raw.errors, settings),
        each: given(raw.each),
        id: given(raw.id),
        own_id: given(raw.own_id),
        to: given(raw.to),
        state: given(raw.state),
        error: given(raw.error),
        states: raw.states,
        otherwise: raw.otherwise,
        answer: raw.answer,
    }
}

/// Beyond `unknown_status`, a 5xx tells that something broke on the way, and not what was done.
const DEFAULT_STATUSES: [(&str, &[(u16, u16)]); 3] = [
    ("accepted_status", &[(200, 299)]),
    ("temporary_status", &[(429, 429), (503, 503)]),
    ("unknown_status", &[(408, 408), (500, 502), (504, 599)]),
];

/// The 2FA API's `err-code` list ends there.
const ERROR_CODE_MAX: u8 = 99;

/// The longest is what a code's user would wait for at most.
const MILLISECONDS: (i64, i64, &str) = (100, 60_000, "ms");
const TIMEOUT_MS: u64 = 10_000;
const CONNECT_TIMEOUT_MS: u64 = 3_000;

/// A week, which is the most that messages are kept for.
const VALIDITY_S_MAX: u64 = 604_800;
const VALIDITY_S: (i64, i64, &str) = (1, 604_800, "seconds");

/// Each is a socket.
const CONNECTIONS: (i64, i64, &str) = (1, 1_000, "connections");
const FAILURES: (i64, i64, &str) = (1, 1_000, "failures in a row");
const OPEN_S: (i64, i64, &str) = (1, 3_600, "seconds");
