//! The settings of SMPP links: `kind = "smpp"`.

use serde::Deserialize;
use toml::Table;

use super::Settings;

/// The settings of one link.
#[derive(Clone, Debug, PartialEq)]
pub struct SmppConfig {
    /// Where it leads.
    pub host: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSmpp {
    host: String,
}

pub(super) fn resolve(keys: Table, settings: &mut Settings<'_>) -> Option<SmppConfig> {
    let raw: RawSmpp = settings.read(keys)?;
    Some(SmppConfig { host: raw.host })
}
