//! The settings of SIP trunks: `kind = "sip"`.

use serde::Deserialize;
use toml::Table;

use super::Settings;

/// The settings of one link.
#[derive(Clone, Debug, PartialEq)]
pub struct SipConfig {
    /// Where it leads.
    pub host: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSip {
    host: String,
}

pub(super) fn resolve(keys: Table, settings: &mut Settings<'_>) -> Option<SipConfig> {
    let raw: RawSip = settings.read(keys)?;
    Some(SipConfig { host: raw.host })
}
