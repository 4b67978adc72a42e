//! Starts links from their configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gate::Gate;
use super::http::HttpLink;
use super::routing::Routing;
use super::seen::SeenByLink;
use super::sip::SipLink;
use super::smpp::{SmppLink, SmppThread};
use super::{Link, Reports, Ways};
use crate::clock::Clock;
use crate::config::{Config, LinkConfig, LinkKind};
use crate::speech::Voices;
use crate::telemetry::Metrics;

/// What every link works with.
#[derive(Clone)]
pub struct LinkContext {
    /// The time.
    pub clock: Clock,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// Where to report what carriers tell.
    pub reports: Reports,
    /// Where SMPP links live.
    pub smpp: SmppThread,
    /// What speaks codes.
    pub voices: Arc<Voices>,
    /// How many last digits neighbouring numbers may differ in.
    pub prefix_drop_digits: u32,
    /// What links' carriers were given and have told.
    pub(crate) seen: SeenByLink,
}

/// Why a link cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("start the link {name}: {problem}")]
pub struct LinkError {
    /// The link.
    pub name: String,
    /// What is wrong, and what would help.
    pub problem: String,
}

/// Starts a link; it connects in the background, so that a carrier that is down stops nobody.
///
/// # Errors
/// What the link needs on this machine is missing: a file with a password or a certificate.
pub fn start_link(
    name: &str,
    config: &LinkConfig,
    context: &LinkContext,
) -> Result<Arc<dyn Link>, LinkError> {
    match &config.kind {
        LinkKind::Smpp(smpp) => Ok(Arc::new(SmppLink::start(name, config, smpp, context)?)),
        LinkKind::Http(http) => {
            HttpLink::start(name, &config.network, http.as_ref().clone(), context.clone())
                .map(|link| Arc::new(link) as Arc<dyn Link>)
                .map_err(|problem| LinkError { name: name.to_owned(), problem })
        }
        LinkKind::Sip(sip) => Ok(Arc::new(SipLink::start(name, config, sip, context)?)),
    }
}

/// Starts all links of a configuration and puts them behind its limits, the sandbox's first.
///
/// # Errors
/// The first link that cannot be started.
pub fn start_ways(
    config: &Config,
    sandbox: Option<Arc<dyn Link>>,
    context: &LinkContext,
) -> Result<Ways, LinkError> {
    let mut gates: Vec<Arc<Gate>> =
        sandbox.into_iter().map(|link| Arc::new(Gate::open(link))).collect();
    let links: &BTreeMap<String, LinkConfig> = &config.links;
    for (name, link) in links {
        gates.push(Arc::new(Gate::new(start_link(name, link, context)?, link)));
    }
    let routing = Routing::new(config.routes.clone());
    Ok(Ways { gates, routing, since: context.clock.now() })
}
