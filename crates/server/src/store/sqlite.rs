//! The embedded store: one SQLite file, one writer thread, group commit.
//!
//! All operations that wait are run in one transaction, which is flushed once, and only then is
//! anyone answered. Open slots, rates, balances and near timers are kept in memory as well, but
//! only as copies: they are rebuilt from the file at start and after any failure.

mod caches;
mod carriers;
mod checkpoint;
mod config;
mod figures;
mod inbound;
mod lanes;
mod load;
mod machines;
mod news;
mod outbox;
mod read;
mod repeats;
mod retention;
mod webhook_queue;
mod webhooks;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::{
    AccountId, Amount, Conversion, MessageId, Refusal, Subject, Timestamp, VerificationId,
};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::oneshot;

use super::{
    Balance, Busy, CancelVerification, CarrierReceipt, CheckCode, Checked, Claim, ConfigChange,
    Converted, Credit, DeadWebhook, DirectoryRows, Due, EarlierCall, Effects, FigureQuery,
    FigureRow, FigureSum, IdempotencyKey, Inbound, InboundTaken, MessageView, Postponement,
    ReceiptReport, Reply, Retention, SendJob, SettledTry, StartMessage, StartVerification, Started,
    Store, StoreError, SubmitReport, VerificationView, WebhookJob, Woken,
};
use crate::seal::Sealer;
use caches::Caches;
use checkpoint::Checkpointer;
use lanes::{Lane, Lanes, NoRoom};
use read::Readers;
use writer::{Operation, Tx, Writer};

/// How the store is run.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// How many operations may wait in each of the two lanes; further ones are refused.
    pub queue_max: usize,
    /// How many operations share one transaction at most.
    pub batch_max: usize,
    /// From how much write-ahead log on it is copied into the database, in bytes.
    pub wal_checkpoint_bytes: u64,
    /// At how much write-ahead log writing waits until it is copied, in bytes.
    pub wal_limit_bytes: u64,
    /// How many reads run at once.
    pub readers_max: usize,
    /// How far back the rates look.
    pub rate_history: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            queue_max: 10_000,
            batch_max: 512,
            wal_checkpoint_bytes: 16 << 20,
            wal_limit_bytes: 256 << 20,
            readers_max: 2,
            rate_history: Duration::from_hours(1),
        }
    }
}

/// What a commit cost, for whoever measures it.
#[derive(Clone, Copy, Debug)]
pub struct CommitFigures {
    /// How many operations it held.
    pub operations: usize,
    /// How long they and the flush took.
    pub duration: Duration,
}

/// Told of every commit.
pub type CommitObserver = Box<dyn Fn(CommitFigures) + Send>;

/// The embedded store.
pub struct SqliteStore {
    lanes: Arc<Lanes>,
    readers: Readers,
    writer: Option<std::thread::JoinHandle<()>>,
    _dir: LockedDir,
}

/// A data directory that no other server can use.
pub struct LockedDir {
    path: PathBuf,
    _lock: File,
}

impl LockedDir {
    /// Locks a directory, creating it if need be.
    ///
    /// # Errors
    /// Another server uses it, or it cannot be written to.
    pub fn lock(path: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(unavailable)?;
        let lock = File::create(path.join("lock")).map_err(unavailable)?;
        lock.try_lock().map_err(|_| {
            StoreError::Unavailable(format!("another server uses {}", path.display()))
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

impl SqliteStore {
    /// Opens the store in a directory, creating and migrating it if need be.
    ///
    /// # Errors
    /// Another server uses the directory, or the file cannot be opened, is of a newer version, or
    /// holds an illegal row.
    pub fn open(
        dir: &Path,
        options: SqliteOptions,
        sealer: Sealer,
        now: Timestamp,
        observer: CommitObserver,
    ) -> Result<Self, StoreError> {
        Self::open_locked(LockedDir::lock(dir)?, options, sealer, now, observer)
    }

    /// Like [`SqliteStore::open`], in a directory that is locked already.
    ///
    /// # Errors
    /// As for [`SqliteStore::open`].
    pub fn open_locked(
        dir: LockedDir,
        options: SqliteOptions,
        sealer: Sealer,
        now: Timestamp,
        observer: CommitObserver,
    ) -> Result<Self, StoreError> {
        let path = dir.path.join(DATABASE_FILE);
        let connection = connect(&path)?;
        migrate(&connection)?;
        outbox::release_leases(&connection)?;
        let caches = Caches::rebuild(&connection, now, options.rate_history)?;
        let lanes = Arc::new(Lanes::new(options.queue_max));
        let checkpointer = Checkpointer::start(&path, &options)?;
        let readers = Readers::new(path, options.readers_max);
        let writer = Writer {
            connection,
            caches,
            sealer,
            lanes: Arc::clone(&lanes),
            batch_max: options.batch_max,
            rate_history: options.rate_history,
            observer,
            checkpointer,
            now,
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(unavailable)?;
        Ok(Self { lanes, readers, writer: Some(writer), _dir: dir })
    }

    /// Queues an urgent operation and answers once its batch is durable. `now` is the time as the
    /// caller knows it, [`UNTIMED`] if it tells none: it becomes the time of all that follows.
    fn write<T: Send + 'static>(
        &self,
        now: Timestamp,
        call: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'_, T> {
        self.write_in(Lane::Urgent, now, call)
    }

    /// Queues an operation that others may pass. Whatever must come after an urgent one, or before
    /// it, waits for its answer first.
    fn write_later<T: Send + 'static>(
        &self,
        now: Timestamp,
        call: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'_, T> {
        self.write_in(Lane::Later, now, call)
    }

    fn write_in<T: Send + 'static>(
        &self,
        lane: Lane,
        now: Timestamp,
        call: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'_, T> {
        let (reply, answer) = oneshot::channel();
        let error = match self.lanes.push(lane, Box::new(Operation::new(now, call, reply))) {
            Ok(()) => {
                let answer =
                    async move { answer.await.unwrap_or_else(|_| Err(StoreError::Stopped)) };
                return Box::pin(answer);
            }
            Err(NoRoom::Full) => StoreError::Busy { retry_after: BUSY_RETRY },
            Err(NoRoom::Closed) => StoreError::Stopped,
        };
        Box::pin(async { Err(error) })
    }

    /// Deletes rows, so few in one operation that nobody has to wait for it.
    async fn delete(&self, rows: &[retention::Old]) -> Result<usize, StoreError> {
        let mut gone = 0;
        for few in rows.chunks(DELETED_MAX) {
            let few = few.to_vec();
            gone += self.write_later(UNTIMED, move |tx| retention::delete(tx, &few)).await?;
        }
        Ok(gone)
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer commits what waits and then ends.
        self.lanes.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Store for SqliteStore {
    fn start_verification(&self, start: StartVerification) -> Reply<'_, Result<Started, Refusal>> {
        self.write(start.now, move |tx| machines::start_verification(tx, &start))
    }

    fn start_message(&self, start: StartMessage) -> Reply<'_, Result<Started, Refusal>> {
        self.write(start.now, move |tx| machines::start_message(tx, &start))
    }

    fn first_answer(
        &self,
        account: AccountId,
        key: IdempotencyKey,
    ) -> Reply<'_, Option<Result<Started, Refusal>>> {
        self.readers.read(move |connection| repeats::first_answer(connection, account, &key))
    }

    fn check(&self, check: CheckCode) -> Reply<'_, Result<Checked, Refusal>> {
        self.write(check.now, move |tx| machines::check(tx, &check))
    }

    fn cancel(&self, cancel: CancelVerification) -> Reply<'_, Result<Effects, Refusal>> {
        self.write(cancel.now, move |tx| machines::cancel(tx, cancel))
    }

    fn submitted(&self, report: SubmitReport) -> Reply<'_, Effects> {
        self.write(report.now, move |tx| carriers::submitted(tx, &report))
    }

    fn postpone(&self, postponement: Postponement) -> Reply<'_, ()> {
        self.write(UNTIMED, move |tx| outbox::postpone(tx, &postponement))
    }

    fn receipt(&self, report: ReceiptReport) -> Reply<'_, Effects> {
        self.write_later(report.now, move |tx| carriers::receipt(tx, &report))
    }

    fn carrier_receipt(&self, receipt: CarrierReceipt) -> Reply<'_, Effects> {
        self.write_later(receipt.now, move |tx| carriers::carrier_receipt(tx, &receipt))
    }

    fn inbound(&self, inbound: Inbound) -> Reply<'_, InboundTaken> {
        self.write_later(inbound.now, move |tx| inbound::take(tx, &inbound))
    }

    fn convert(
        &self,
        account: AccountId,
        subject: Subject,
        conversion: Conversion,
    ) -> Reply<'_, Option<Converted>> {
        // What the account says happened at some time must not move the store's own time.
        self.write_later(UNTIMED, move |tx| machines::convert(tx, account, subject, conversion))
    }

    fn wake(&self, now: Timestamp, limit: usize) -> Reply<'_, Woken> {
        self.write(now, move |tx| machines::wake(tx, limit))
    }

    fn claim_sends(&self, claim: Claim) -> Reply<'_, Vec<SendJob>> {
        self.write(claim.now, move |tx| outbox::claim(tx, claim))
    }

    fn claim_webhooks(&self, claim: Claim, busy: Busy) -> Reply<'_, Vec<WebhookJob>> {
        self.write_later(claim.now, move |tx| webhooks::claim(tx, claim, &busy))
    }

    fn settle_webhooks(&self, settled: Arc<[SettledTry]>) -> Reply<'_, ()> {
        self.write_later(UNTIMED, move |tx| webhooks::settle(tx, &settled))
    }

    fn dead_webhooks(&self, limit: usize) -> Reply<'_, Vec<DeadWebhook>> {
        self.readers.read(move |connection| webhooks::dead(connection, limit))
    }

    fn replay_webhook(&self, id: i64, now: Timestamp) -> Reply<'_, bool> {
        self.write_later(now, move |tx| webhooks::replay(tx, id))
    }

    fn change(&self, change: ConfigChange, now: Timestamp) -> Reply<'_, ()> {
        self.write_later(now, move |tx| config::change(tx, &change))
    }

    fn directory(&self) -> Reply<'_, DirectoryRows> {
        self.readers.read(config::directory)
    }

    fn credit(&self, credit: Credit) -> Reply<'_, Option<Amount>> {
        self.write_later(credit.now, move |tx| config::credit(tx, &credit))
    }

    fn balance(&self, account: AccountId) -> Reply<'_, Option<Amount>> {
        self.readers.read(move |connection| config::balance(connection, account))
    }

    fn audit(&self, account: AccountId) -> Reply<'_, Option<Balance>> {
        self.readers.read(move |connection| config::audit(connection, account))
    }

    fn add_figures(&self, rows: Vec<FigureRow>) -> Reply<'_, ()> {
        self.write_later(UNTIMED, move |tx| figures::add(tx, &rows))
    }

    fn figures(&self, query: FigureQuery) -> Reply<'_, Vec<FigureSum>> {
        self.readers.read(move |connection| figures::sums(connection, &query))
    }

    fn verification(&self, id: VerificationId) -> Reply<'_, Option<VerificationView>> {
        self.readers.read(move |connection| read::verification(connection, id))
    }

    fn message(&self, id: MessageId) -> Reply<'_, Option<MessageView>> {
        self.readers.read(move |connection| read::message(connection, id))
    }

    fn verifications(
        &self,
        account: AccountId,
        before: Option<VerificationId>,
        limit: usize,
    ) -> Reply<'_, Vec<VerificationView>> {
        self.readers.read(move |connection| read::verifications(connection, account, before, limit))
    }

    fn calls_since(&self, link: String, since: Timestamp) -> Reply<'_, Vec<EarlierCall>> {
        self.readers.read(move |connection| read::calls_since(connection, &link, since))
    }

    fn purge(&self, retention: Retention, limit: usize) -> Reply<'_, usize> {
        Box::pin(async move {
            // As below; and what a webhook kept goes in the same call as the webhook.
            let webhooks =
                self.readers.read(move |c| retention::old_webhooks(c, retention, limit)).await?;
            let gone = self.delete(&webhooks).await?;
            let find =
                move |c: &Connection| retention::old_machines_and_answers(c, retention, limit);
            let others = self.readers.read(find).await?;
            Ok(gone + self.delete(&others).await?)
        })
    }

    fn erase(&self, number: u64, now: Timestamp) -> Reply<'_, usize> {
        Box::pin(async move {
            // Looking for the number takes long, so that is not the writer's work.
            let holders =
                self.readers.read(move |connection| retention::holders(connection, number));
            let holders = holders.await?;
            self.write_later(now, move |tx| retention::erase(tx, number, &holders)).await
        })
    }

    fn next_due(&self) -> Reply<'_, Due> {
        self.write(UNTIMED, |tx| Ok(tx.caches.timers.next_due()))
    }

    fn depth(&self) -> usize {
        self.lanes.depth()
    }
}

/// Opens a connection with the settings that every one of them needs.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // An acknowledged operation has survived a loss of power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Copying the log into the database is the checkpointer's work, never a commit's.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A plan may not depend on what a parameter holds: it would be made anew with each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // What is erased is overwritten in the pages that are written anyway.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done > MIGRATIONS.len() {
        return Err(StoreError::Unavailable(format!(
            "the database is of version {version}, newer than this server's {}; \
             run the server that wrote it",
            MIGRATIONS.len()
        )));
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        let version = index + 1;
        let script =
            format!("BEGIN IMMEDIATE; {migration}; PRAGMA user_version = {version}; COMMIT;");
        connection.execute_batch(&script)?;
    }
    Ok(())
}

fn unavailable(error: impl ToString) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// The database in the data directory.
pub const DATABASE_FILE: &str = "countersign.db";

/// Each takes the schema from one version to the next.
const MIGRATIONS: [&str; 5] = [
    include_str!("sqlite/schema.sql"),
    include_str!("sqlite/carriers.sql"),
    include_str!("sqlite/inbound.sql"),
    include_str!("sqlite/operating.sql"),
    include_str!("sqlite/prices.sql"),
];

/// How long a refused caller is told to wait: a full queue drains in about as long.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// The time of operations that do not tell it: they run at the latest that any other told.
const UNTIMED: Timestamp = Timestamp::from_millis(0);

/// Readers and the checkpointer may hold a lock for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many rows are deleted in one operation: each may lie on a page of its own.
const DELETED_MAX: usize = 25;

/// Page cache per connection.
const CACHE_KIB: i64 = 16 * 1024;

/// More than there are statements, so that none is ever prepared twice.
const STATEMENTS_MAX: usize = 96;
