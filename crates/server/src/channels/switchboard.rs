//! Changing the ways out while the server runs: links, what the operator lets them do, routes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Mutex;

use super::gate::{Control, Gate};
use super::routing::Routing;
use super::start::LinkError;
use super::{Link, Standing, Ways};
use crate::config::{self, Config, ConfigMistakes, LinkConfig, RouteConfig, RouteEntry};
use crate::directory::DirectoryError;
use crate::driver::Driver;
use crate::store::{ConfigChange, FigureQuery, FiguresBy, Period, StoreError};

/// Starts a link.
pub type StartLink =
    Box<dyn Fn(&str, &LinkConfig) -> Result<Arc<dyn Link>, LinkError> + Send + Sync>;

/// Reads the configuration again as it was read at the start.
pub type ReadConfig = Box<dyn Fn() -> Result<Config, ConfigMistakes> + Send + Sync>;

/// Where links are plugged in and out.
pub struct Switchboard {
    start: StartLink,
    read: OnceLock<ReadConfig>,
    /// What is in effect. Held while something is changed: one change at a time.
    config: Mutex<Arc<Config>>,
}

/// What a reload changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reloaded {
    /// Links that there are now.
    pub added: Vec<String>,
    /// Links that were started anew with other settings.
    pub changed: Vec<String>,
    /// Links that there are no more.
    pub removed: Vec<String>,
    /// Sections of the configuration that differ and take effect with the next start only.
    pub needs_restart: Vec<&'static str>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The configuration is wrong, and all of it stays as it was.
    #[error(transparent)]
    Mistakes(#[from] ConfigMistakes),
    /// A link cannot be started.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// What was set cannot be kept.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// There is no such link.
    #[error("there is no link {0}")]
    UnknownLink(String),
    /// The server was not started from a configuration that could be read again.
    #[error("the configuration of this server cannot be read again")]
    NoSource,
}

impl Switchboard {
    /// Begins with the links of a configuration, which are started already.
    pub fn new(config: Arc<Config>, start: StartLink) -> Self {
        Self { start, read: OnceLock::new(), config: Mutex::new(config) }
    }

    /// Tells where a reload reads the configuration; only the first call counts.
    pub fn read_with(&self, read: ReadConfig) {
        let _ = self.read.set(read);
    }

    /// Puts what was set by the admin API into effect again after a start, and counts what went
    /// over each link today.
    ///
    /// # Errors
    /// The store fails.
    pub async fn restore(&self, driver: &Driver) -> Result<(), StoreError> {
        let config = self.config.lock().await;
        let gates: Vec<Arc<Gate>> = driver.channels.ways().gates.iter().map(Arc::clone).collect();
        recall(driver, &gates).await?;
        for gate in gates.iter().filter(|gate| gate.control() == Control::Draining) {
            retire(Arc::clone(gate));
        }
        let routing = routing(driver, &config, &gates);
        driver.channels.replace(Ways { gates, routing, since: driver.clock.now() });
        Ok(())
    }

    /// Reads the configuration again and puts its links and routes into effect. Links whose
    /// settings are the same are left alone, unless their credentials are refused: those are read
    /// again from their files. A link that goes finishes what is under way first.
    ///
    /// # Errors
    /// See [`SwitchError`]; then everything stays as it was.
    pub async fn reload(&self, driver: &Driver) -> Result<Reloaded, SwitchError> {
        let read = self.read.get().ok_or(SwitchError::NoSource)?;
        let mut in_effect = self.config.lock().await;
        let fresh = Arc::new(read()?);
        let ways = driver.channels.ways();
        let Replugged { gates, started, added, changed } =
            self.replug(driver, &ways, &fresh.links)?;
        // What went over a link of that name before is counted as far as it has been kept.
        let is_added = |gate: &&Arc<Gate>| added.iter().any(|name| name == gate.link.name());
        let new: Vec<Arc<Gate>> = started.iter().filter(is_added).map(Arc::clone).collect();
        if let Err(error) = recall(driver, &new).await {
            started.into_iter().for_each(retire);
            return Err(SwitchError::Directory(error.into()));
        }
        let gone = |gate: &&Arc<Gate>| !gates.iter().any(|kept| Arc::ptr_eq(kept, gate));
        let gone: Vec<Arc<Gate>> = ways.gates.iter().filter(gone).map(Arc::clone).collect();
        let removed = gone.iter().map(|gate| gate.link.name());
        let removed = removed.filter(|name| !fresh.links.contains_key(*name));
        let removed = removed.map(str::to_owned).collect();
        let routing = routing(driver, &fresh, &gates);
        let is_same = started.is_empty() && gone.is_empty() && routing == ways.routing;
        let since = if is_same { ways.since } else { driver.clock.now() };
        driver.channels.replace(Ways { gates, routing, since });
        gone.into_iter().for_each(retire);
        for gate in started.into_iter().filter(|gate| gate.control() == Control::Draining) {
            retire(gate);
        }
        let needs_restart = other_sections(&in_effect, &fresh);
        *in_effect = fresh;
        Ok(Reloaded { added, changed, removed, needs_restart })
    }

    /// Starts the links that are new or other than before, and keeps those that are the same.
    fn replug(
        &self,
        driver: &Driver,
        ways: &Ways,
        links: &BTreeMap<String, LinkConfig>,
    ) -> Result<Replugged, LinkError> {
        let own = ways.gates.iter().filter(|gate| gate.config().is_none());
        let mut plugged =
            Replugged { gates: own.map(Arc::clone).collect(), ..Replugged::default() };
        for (name, link) in links {
            let old = ways.gate(name).filter(|gate| gate.config().is_some());
            // What was refused may have another password in its file by now.
            let is_same = |gate: &&Arc<Gate>| {
                gate.config() == Some(link) && gate.link.state().standing != Standing::Refused
            };
            if let Some(same) = old.as_ref().filter(is_same) {
                plugged.gates.push(Arc::clone(same));
                continue;
            }
            let gate = match (self.start)(name, link) {
                Ok(started) => Arc::new(Gate::new(started, link)),
                Err(error) => {
                    plugged.started.into_iter().for_each(retire);
                    return Err(error);
                }
            };
            match old {
                Some(old) => {
                    take_over(driver, &gate, &old);
                    plugged.changed.push(name.clone());
                }
                None => plugged.added.push(name.clone()),
            }
            plugged.started.push(Arc::clone(&gate));
            plugged.gates.push(gate);
        }
        Ok(plugged)
    }

    /// Lets a link be used, pauses it, or drains it; the next start of the server knows of it.
    ///
    /// # Errors
    /// See [`SwitchError`].
    pub async fn control(
        &self,
        driver: &Driver,
        name: &str,
        control: Control,
    ) -> Result<Arc<Gate>, SwitchError> {
        let _one_at_a_time = self.config.lock().await;
        let ways = driver.channels.ways();
        let gate = ways.gate(name).ok_or_else(|| SwitchError::UnknownLink(name.to_owned()))?;
        let was = gate.control();
        if was == control {
            return Ok(gate);
        }
        // What was drained has ended its connections for good.
        let anew = gate.config().filter(|_| was == Control::Draining);
        let anew = anew
            .map(|config| (self.start)(name, config).map(|link| Arc::new(Gate::new(link, config))));
        let anew = anew.transpose()?;
        let setting = setting_of(name);
        let change = match control {
            Control::Running => ConfigChange::DropSetting(setting),
            Control::Paused | Control::Draining => {
                ConfigChange::PutSetting { name: setting, value: control.as_str().to_owned() }
            }
        };
        let kept = driver.directories.change(|_| Ok::<_, DirectoryError>((vec![change], ())));
        if let Err(error) = kept.await {
            anew.into_iter().for_each(retire);
            return Err(error.into());
        }
        let gate = match anew {
            None => gate,
            Some(anew) => {
                take_over(driver, &anew, &gate);
                let swap =
                    |old: &Arc<Gate>| Arc::clone(if Arc::ptr_eq(old, &gate) { &anew } else { old });
                let gates = ways.gates.iter().map(swap).collect();
                let routing = ways.routing.clone();
                driver.channels.replace(Ways { gates, routing, since: ways.since });
                anew
            }
        };
        gate.set_control(control);
        if control == Control::Draining {
            retire(Arc::clone(&gate));
        }
        Ok(gate)
    }

    /// Replaces all routes by others until they are set back to those of the configuration, which
    /// `None` does.
    ///
    /// # Errors
    /// See [`SwitchError`]; then the routes stay as they were.
    pub async fn set_routes(
        &self,
        driver: &Driver,
        entries: Option<&[RouteEntry]>,
    ) -> Result<(), SwitchError> {
        let config = self.config.lock().await;
        let ways = driver.channels.ways();
        let change = match entries {
            None => ConfigChange::DropSetting(ROUTES.to_owned()),
            Some(entries) => {
                config::resolve_entries(entries, &|name| ways.gate(name).is_some())?;
                let value = serde_json::to_string(entries).unwrap_or_default();
                ConfigChange::PutSetting { name: ROUTES.to_owned(), value }
            }
        };
        let kept = driver.directories.change(|_| Ok::<_, DirectoryError>((vec![change], ())));
        kept.await?;
        let gates: Vec<Arc<Gate>> = ways.gates.iter().map(Arc::clone).collect();
        let routing = routing(driver, &config, &gates);
        let since = if routing == ways.routing { ways.since } else { driver.clock.now() };
        driver.channels.replace(Ways { gates, routing, since });
        Ok(())
    }
}

/// Links as another configuration has them.
#[derive(Default)]
struct Replugged {
    gates: Vec<Arc<Gate>>,
    /// Those of them that were started for it.
    started: Vec<Arc<Gate>>,
    added: Vec<String>,
    changed: Vec<String>,
}

/// Whether the routes were set by the admin API.
pub fn has_own_routes(driver: &Driver) -> bool {
    driver.directories.current().rows.settings.iter().any(|(name, _)| name == ROUTES)
}

/// The routes that were set by the admin API, else those of the configuration.
fn routing(driver: &Driver, config: &Config, gates: &[Arc<Gate>]) -> Routing {
    let directory = driver.directories.current();
    let stored = directory.rows.settings.iter().find(|(name, _)| name == ROUTES);
    let Some((_, json)) = stored else { return Routing::new(config.routes.clone()) };
    let entries: Result<Vec<RouteEntry>, _> = serde_json::from_str(json);
    // A link that is gone since is no mistake: it is passed over.
    let routes = entries.ok().and_then(|entries| config::resolve_entries(&entries, &|_| true).ok());
    let Some(routes) = routes else {
        tracing::error!("cannot read the routes that were set; those of the configuration hold");
        return Routing::new(config.routes.clone());
    };
    warn_of_missing_links(gates, &routes);
    Routing::new(routes)
}

fn warn_of_missing_links(gates: &[Arc<Gate>], routes: &[RouteConfig]) {
    for route in routes {
        for (link, _) in route.tiers.iter().flatten() {
            if !gates.iter().any(|gate| gate.link.name() == link) {
                tracing::warn!(route.name = route.name, link.name = link, "there is no such link");
            }
        }
    }
}

fn stored_control(driver: &Driver, link: &str) -> Control {
    let directory = driver.directories.current();
    let name = setting_of(link);
    let stored = directory.rows.settings.iter().find(|(stored, _)| *stored == name);
    let all = [Control::Running, Control::Paused, Control::Draining];
    let named = |control: &Control| stored.is_some_and(|(_, value)| value == control.as_str());
    all.into_iter().find(named).unwrap_or_default()
}

/// Tells gates what the operator said of links of their names, and what went over them today.
async fn recall(driver: &Driver, gates: &[Arc<Gate>]) -> Result<(), StoreError> {
    if gates.is_empty() {
        return Ok(());
    }
    let now = driver.clock.now();
    driver.quality.flush(driver.store.as_ref()).await?;
    let today = FigureQuery {
        period: Period::Day,
        by: vec![FiguresBy::Link],
        each: false,
        since: Period::Day.begin(now),
        limit: LINKS_ASKED_FOR,
    };
    let sums = driver.store.figures(today).await?;
    for gate in gates {
        let name = gate.link.name();
        gate.set_control(stored_control(driver, name));
        for sum in sums.iter().filter(|sum| sum.name == name) {
            gate.count_earlier(now, sum.figures.attempts);
        }
    }
    Ok(())
}

/// Lets a link stand in another's place.
fn take_over(driver: &Driver, gate: &Gate, old: &Gate) {
    let now = driver.clock.now();
    gate.count_earlier(now, old.today(now).0);
    gate.set_control(old.control());
}

/// Hands nothing more to a link and ends it once nothing is under way. The sandbox's own, which
/// needs no connections, only rests.
fn retire(gate: Arc<Gate>) {
    gate.set_control(Control::Draining);
    if gate.config().is_none() {
        return;
    }
    tokio::spawn(async move {
        let name = gate.link.name().to_owned();
        let idle = async {
            while gate.link.state().in_flight > 0 {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if tokio::time::timeout(DRAIN_MAX, idle).await.is_err() {
            tracing::warn!(link.name = name, "the link did not come to rest; it is closed");
        }
        if tokio::time::timeout(CLOSE_MAX, gate.link.close()).await.is_err() {
            tracing::warn!(link.name = name, "the link did not close in time");
        }
        tracing::info!(link.name = name, "link closed");
    });
}

/// Names the sections that differ, apart from links and routes.
fn other_sections(a: &Config, b: &Config) -> Vec<&'static str> {
    let shown = |config: &Config| {
        [
            ("server", format!("{:?}", config.server)),
            ("data", format!("{:?}", config.data)),
            ("store", format!("{:?}", config.store)),
            ("engine", format!("{:?}", config.engine)),
            ("limits", format!("{:?}", config.limits)),
            ("countries", format!("{:?}", config.countries)),
            ("vonage", format!("{:?}", config.vonage)),
            ("textmagic", format!("{:?}", config.textmagic)),
            ("webhooks", format!("{:?}", config.webhooks)),
            ("voice", format!("{:?}", config.voice)),
            ("sandbox", format!("{:?}", config.sandbox)),
            ("admin", format!("{:?}", config.admin)),
            ("log", format!("{:?}", config.log)),
            ("currency", format!("{:?}", config.currency)),
        ]
    };
    let pairs = shown(a).into_iter().zip(shown(b));
    pairs.filter(|(a, b)| a != b).map(|((name, _), _)| name).collect()
}

fn setting_of(link: &str) -> String {
    format!("link.{link}")
}

/// The name under which routes are kept.
const ROUTES: &str = "routes";

/// More rows than links have grades and channels.
const LINKS_ASKED_FOR: usize = 1000;

const DRAIN_POLL: Duration = Duration::from_millis(50);

/// Carriers answer a hand-over within seconds; a call can last some minutes.
const DRAIN_MAX: Duration = Duration::from_mins(5);
const CLOSE_MAX: Duration = Duration::from_secs(30);
