//! The server with the limit of a store in it: everything else is the real thing.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use countersign::channels::sandbox::Sandbox;
use countersign::clock::{self, Clock};
use countersign::config::{Config, KeySource};
use countersign::seal::{KeyRing, Sealer};
use countersign::server::Server;
use countersign::speech::Voices;
use countersign::telemetry::{self, LogFormat, Metrics};
use tokio::sync::watch;

use crate::journal::Journal;
use crate::log_store::LogStore;

/// Serves until the process is ended.
///
/// # Errors
/// It cannot be started.
pub(crate) fn serve(dir: &Path, listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let listen = listen.to_string();
    let variables = [
        ("COUNTERSIGN_DATA__DIR", dir.as_os_str()),
        ("COUNTERSIGN_SERVER__LISTEN", listen.as_ref()),
        ("COUNTERSIGN_SANDBOX__ENABLED", "true".as_ref()),
    ];
    let config = Config::load(None, variables).map_err(|mistakes| mistakes.to_string())?;
    let metrics = Arc::new(Metrics::new());
    let _log = telemetry::start_log(
        config.log.level.as_str(),
        LogFormat::Text,
        clock::log_time,
        std::io::stdout(),
        metrics.log_lines_dropped(),
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(config, metrics))
}

async fn run(config: Config, metrics: Arc<Metrics>) -> Result<(), Box<dyn Error>> {
    let dir = config.data.dir.clone();
    std::fs::create_dir_all(&dir)?;
    let ring = match &config.data.keys {
        KeySource::File(path) => KeyRing::load_or_create(path)?,
        KeySource::Environment(ring) => ring.clone(),
    };
    let clock = Clock::system();
    let voices = Arc::new(Voices::new(&config.voice));
    let sandbox = Sandbox::open(&dir, Sealer::new(&ring), clock.clone(), &config.sandbox, voices)?;
    let store = LogStore::new(Journal::create(&dir.join("journal"))?, Sealer::new(&ring));
    let server = Server::assemble(
        config,
        clock,
        ring,
        Arc::new(store),
        Some(Arc::new(sandbox)),
        metrics,
        true,
    )
    .await?;
    // Whoever started this process ends it.
    let (_stop, stopped) = watch::channel(false);
    server.run(stopped).await;
    Ok(())
}
