//! The settings of HTTP links: `kind = "http"`.

use serde::Deserialize;
use toml::Table;

use super::Settings;

/// The settings of one link.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// Where it leads.
    pub host: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    host: String,
}

pub(super) fn resolve(keys: Table, settings: &mut Settings<'_>) -> Option<HttpConfig> {
    let raw: RawHttp = settings.read(keys)?;
    Some(HttpConfig { host: raw.host })
}
