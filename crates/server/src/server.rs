//! Puts the server together, runs it, and takes it apart.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::channels::sandbox::{InboxError, Sandbox};
use crate::channels::seen::SeenByLink;
use crate::channels::smpp::SmppThread;
use crate::channels::start::{LinkContext, LinkError, start_link, start_ways};
use crate::channels::switchboard::Switchboard;
use crate::channels::{Channels, Link, Reports};
use crate::clock::Clock;
use crate::config::{Config, KeySource, LinkConfig};
use crate::demo;
use crate::directory::{Directories, DirectoryError};
use crate::driver::Driver;
use crate::http::auth::{Logins, draw_token};
use crate::http::{self, App};
use crate::quality::{self, Quality};
use crate::seal::{KeyRing, KeyRingError, PrivateFileError, Sealer, read_or_create_private};
use crate::speech::Voices;
use crate::store::sqlite::{DATABASE_FILE, LockedDir, SqliteOptions, SqliteStore};
use crate::store::{Retention, Store, StoreError};
use crate::telemetry::Metrics;
use crate::webhooks::sender::SenderError;
use crate::webhooks::{Inlet, Worker};

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made.
    #[error("create the data directory {}: {source}", dir.display())]
    Dir {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is a database and no key to open its secrets with.
    #[error("find the sealing key {}: restore it beside the database that it sealed", path.display())]
    KeyLost {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The sealing keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// The admin token cannot be read.
    #[error(transparent)]
    Token(#[from] PrivateFileError),
    /// The store cannot be opened.
    #[error("open the store: {0}")]
    Store(#[from] StoreError),
    /// What operators set up cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The sandbox cannot be opened.
    #[error("open the sandbox: {0}")]
    Sandbox(#[from] InboxError),
    /// A link cannot be started.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Webhooks cannot be sent.
    #[error(transparent)]
    Webhooks(#[from] SenderError),
    /// The address is taken, or is not this machine's.
    #[error("listen on {address}: {source}; choose another with --listen or server.listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The demo account's file cannot be written.
    #[error("write {}: {source}", path.display())]
    Demo {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The demo account cannot be set up.
    #[error("set up the demo account: {0}")]
    DemoAccount(String),
}

/// A server that listens.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    webhooks: Worker,
}

impl Server {
    /// Opens everything and starts to listen.
    ///
    /// # Errors
    /// See [`StartError`]; each says what to do.
    pub async fn start(config: Config, demo_account: bool) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new());
        Self::start_with(config, demo_account, metrics).await
    }

    /// Like [`Server::start`], with metrics that others write to as well.
    ///
    /// # Errors
    /// See [`StartError`]; each says what to do.
    pub async fn start_with(
        config: Config,
        demo_account: bool,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let dir = config.data.dir.clone();
        create_private_dir(&dir)?;
        // First of all: whatever else is in there belongs to the server that has it.
        let locked = LockedDir::lock(&dir)?;
        let ring = match &config.data.keys {
            // A fresh key could open nothing of what is there.
            KeySource::File(path) if !path.exists() && dir.join(DATABASE_FILE).exists() => {
                return Err(StartError::KeyLost { path: path.clone() });
            }
            KeySource::File(path) => KeyRing::load_or_create(path)?,
            KeySource::Environment(ring) => ring.clone(),
        };
        let clock = Clock::system();
        let sandbox = if config.sandbox.enabled {
            let voices = Arc::new(Voices::new(&config.voice));
            let sealer = Sealer::new(&ring);
            let sandbox = Sandbox::open(&dir, sealer, clock.clone(), &config.sandbox, voices)?;
            Some(Arc::new(sandbox))
        } else {
            None
        };
        let store = open_store(locked, &config, &ring, &clock, &metrics)?;
        Self::assemble(config, clock, ring, store, sandbox, metrics, demo_account).await
    }

    /// Puts a server together around a store.
    ///
    /// # Errors
    /// See [`StartError`]; each says what to do.
    pub async fn assemble(
        config: Config,
        clock: Clock,
        ring: KeyRing,
        store: Arc<dyn Store>,
        sandbox: Option<Arc<Sandbox>>,
        metrics: Arc<Metrics>,
        demo_account: bool,
    ) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let directories = Directories::open(
            Arc::clone(&store),
            Sealer::new(&ring),
            clock.clone(),
            Arc::clone(&config),
        )
        .await?;
        let own = || Arc::new(Voices::new(&config.voice));
        let voices = sandbox.as_ref().map_or_else(own, |sandbox| Arc::clone(sandbox.voices()));
        let context = LinkContext {
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
            reports: Reports::default(),
            smpp: SmppThread::default(),
            voices: Arc::clone(&voices),
            prefix_drop_digits: u32::from(config.limits.prefix_drop_digits),
            seen: SeenByLink::default(),
        };
        let handsets = sandbox.clone().map(|sandbox| sandbox as Arc<dyn Link>);
        let ways = start_ways(&config, handsets, &context)?;
        let (inlet, arrivals) = Inlet::new(&config.webhooks);
        let driver = Arc::new(Driver {
            store,
            clock,
            directories,
            channels: Channels::new(ways),
            metrics,
            quality: Quality::default(),
            webhooks: inlet,
            ticking: Mutex::default(),
            message_lifetime: config.engine.message_lifetime,
            unconfirmed: config.engine.unconfirmed(),
        });
        context.reports.connect(&driver);
        let start = Box::new(move |name: &str, link: &LinkConfig| start_link(name, link, &context));
        let switchboard = Switchboard::new(Arc::clone(&config), start);
        switchboard.restore(&driver).await?;
        let webhooks = Worker::new(Arc::clone(&driver), arrivals, &config)?;
        let address = config.server.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address, source })?;
        let address = listener.local_addr().unwrap_or(address);
        read_or_create_private(&config.admin.token_file, draw_token)?;
        if demo_account {
            demo::set_up(&driver, &config, address).await?;
        }
        let app = App {
            driver,
            config,
            sandbox,
            voices,
            switchboard,
            logins: Logins::default(),
            ready: AtomicBool::new(true),
        };
        Ok(Self { app: Arc::new(app), listener, webhooks })
    }

    /// Returns what the doors work with, for programs that embed the server.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Returns the address that the server listens on.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Works until `stop` is true, then finishes what is under way.
    /// What was acknowledged is on disk either way.
    pub async fn run(self, stop: watch::Receiver<bool>) -> End {
        let driver = &self.app.driver;
        let mut driving = tokio::spawn(Arc::clone(driver).run());
        let voices = Arc::clone(&self.app.voices);
        let warming = tokio::spawn(async move { voices.warm().await });
        let mut retaining = tokio::spawn(retain(Arc::clone(&self.app)));
        let mut counting = tokio::spawn(quality::keep(Arc::clone(driver), stop.clone()));
        let sandbox = self.app.sandbox.clone().zip(Some(Arc::downgrade(driver)));
        let mut sandbox = tokio::spawn(async move {
            if let Some((sandbox, driver)) = sandbox {
                sandbox.run(driver).await;
            }
        });
        let mut webhooks = tokio::spawn(self.webhooks.run(stop.clone()));
        let app = Arc::clone(&self.app);
        let mut stopping = stop.clone();
        let unready = tokio::spawn(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
            app.ready.store(false, Ordering::Release);
        });
        tokio::select! {
            () = http::serve(self.listener, Arc::clone(&self.app), stop) => {}
            _ = &mut driving => return End::StoreStopped,
            () = failure(&mut webhooks) => return End::TaskFailed("the worker of webhooks"),
            () = failure(&mut retaining) => return End::TaskFailed("the deletion of what is old"),
            () = failure(&mut sandbox) => return End::TaskFailed("the sandbox"),
            () = failure(&mut counting) => return End::TaskFailed("the keeping of figures"),
        }
        let grace = self.app.config.server.shutdown_grace;
        let drained = async {
            while self.app.driver.channels.in_flight() > 0 {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if tokio::time::timeout(grace, drained).await.is_err() {
            tracing::warn!("some attempts were still being sent; they go out at the next start");
        }
        close_links(&self.app.driver, grace).await;
        // It has its own grace.
        finish(webhooks).await;
        finish(counting).await;
        for task in [driving, retaining, sandbox, warming, unready] {
            task.abort();
            finish(task).await;
        }
        if let Err(error) = self.app.driver.quality.flush(self.app.driver.store.as_ref()).await {
            tracing::warn!(%error, "cannot keep the figures of the last seconds");
        }
        End::Asked
    }
}

/// Why a server has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// It was asked to.
    Asked,
    /// Its store has failed for good; a new process starts from what is on disk.
    StoreStopped,
    /// A task without which it only seems to work, named here, has panicked; a new process starts
    /// from what is on disk.
    TaskFailed(&'static str),
}

/// Waits until a task panics; one that just ends had nothing left to do.
async fn failure(task: &mut JoinHandle<()>) {
    match task.await {
        Err(error) if error.is_panic() => {}
        Ok(()) | Err(_) => std::future::pending().await,
    }
}

/// Waits until a task has ended, if anyone may still ask it.
async fn finish(task: JoinHandle<()>) {
    if !task.is_finished() {
        let _ = task.await;
    }
}

/// Ends the links' connections in an orderly way; receipts are still taken meanwhile.
async fn close_links(driver: &Driver, grace: Duration) {
    let mut closing = JoinSet::new();
    for gate in driver.channels.gates_in_use() {
        closing.spawn(async move { gate.link.close().await });
    }
    if tokio::time::timeout(grace, closing.join_all()).await.is_err() {
        tracing::warn!("some links did not end their connections in time");
    }
}

fn open_store(
    dir: LockedDir,
    config: &Config,
    ring: &KeyRing,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Store>, StoreError> {
    let options = SqliteOptions {
        queue_max: config.store.queue_max,
        batch_max: config.store.batch_max,
        wal_checkpoint_bytes: config.store.wal_checkpoint_bytes,
        wal_limit_bytes: config.store.wal_bytes_max,
        readers_max: config.store.reader_threads,
        rate_history: config.limits.number_window.max(config.limits.prefix_window),
    };
    let metrics = Arc::clone(metrics);
    let observer = Box::new(move |figures: crate::store::sqlite::CommitFigures| {
        let operations = u32::try_from(figures.operations).unwrap_or(u32::MAX);
        metrics.commit(operations, figures.duration);
    });
    let now = clock.now();
    let store = SqliteStore::open_locked(dir, options, Sealer::new(ring), now, observer)?;
    Ok(Arc::new(store))
}

fn create_private_dir(dir: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| StartError::Dir { dir: dir.to_owned(), source })
}

/// Deletes what is too old, a little at a time.
async fn retain(app: Arc<App>) {
    loop {
        let now = app.driver.clock.now();
        let retention = Retention {
            ended_before: now.before(app.config.data.retention),
            answered_before: now.before(app.config.data.idempotency),
            receipts_before: now.before(app.config.engine.message_lifetime + RECEIPTS_LATE_MAX),
            early_before: now.before(EARLY_RECEIPTS_KEPT),
            figures_before: FIGURES_KEPT.map(|kept| now.before(kept)),
        };
        let pause = match app.driver.store.purge(retention, PURGE_ROWS).await {
            Ok(0) => PURGE_IDLE,
            Ok(_) => PURGE_BUSY,
            Err(error) => {
                tracing::warn!(%error, "cannot delete what is too old");
                PURGE_IDLE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// A receipt that comes so long after the message was given up changes nothing any more.
const RECEIPTS_LATE_MAX: Duration = Duration::from_hours(24);

/// A receipt overtakes the answer to its submit by seconds, and by minutes where a node that died
/// in between has to report the hand-over first.
const EARLY_RECEIPTS_KEPT: Duration = Duration::from_mins(10);

/// Figures of minutes, hours and days are kept so long: for what is going on, for the last two
/// weeks, and for comparing a month with that of the year before.
const FIGURES_KEPT: [Duration; 3] =
    [Duration::from_hours(2), Duration::from_hours(14 * 24), Duration::from_hours(400 * 24)];

const DRAIN_POLL: Duration = Duration::from_millis(10);

/// How many rows of each kind are looked for at once; the store deletes them little by little.
const PURGE_ROWS: usize = 1000;
const PURGE_BUSY: Duration = Duration::from_millis(200);
const PURGE_IDLE: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_failure(task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut task = tokio::spawn(task);
        let failed = failure(&mut task);
        let failed = tokio::time::timeout(Duration::from_millis(100), failed).await.is_ok();
        tokio::time::timeout(Duration::from_millis(100), finish(task)).await.unwrap_or_default();
        failed
    }

    #[tokio::test]
    async fn a_directory_that_another_server_uses_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let _other = LockedDir::lock(dir.path()).unwrap();
        let own = [
            ("COUNTERSIGN_DATA__DIR", dir.path().as_os_str()),
            ("COUNTERSIGN_SANDBOX__ENABLED", "true".as_ref()),
        ];
        let config = Config::load(None, own).unwrap();
        let refused = Server::start(config, true).await.err().unwrap();
        assert!(matches!(refused, StartError::Store(_)), "{refused}");
        let files = std::fs::read_dir(dir.path()).unwrap();
        let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names, ["lock"], "no keys, no sandbox, no database");
    }

    #[tokio::test]
    async fn a_task_that_panics_is_a_failure_and_one_that_ends_is_none() {
        assert!(is_failure(async { panic!("it is meant to") }).await);
        assert!(!is_failure(async {}).await);
        assert!(!is_failure(std::future::pending()).await);
    }
}
