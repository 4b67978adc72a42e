//! The writer thread: takes what waits, runs it in one transaction, flushes, answers.

use std::sync::Arc;
use std::time::Duration;

use engine::Timestamp;
use rusqlite::{CachedStatement, Connection, Params};
use tokio::sync::oneshot;

use super::super::Lease;
use super::caches::Caches;
use super::checkpoint::Checkpointer;
use super::lanes::Lanes;
use super::{CommitFigures, CommitObserver, StoreError};
use crate::clock::Stopwatch;
use crate::seal::Sealer;

/// What an operation works with.
pub(super) struct Tx<'a> {
    connection: &'a Connection,
    /// What is also kept in memory.
    pub(super) caches: &'a mut Caches,
    /// Seals codes and texts.
    pub(super) sealer: &'a Sealer,
    /// The time that the operation was told.
    pub(super) now: Timestamp,
    /// Until when the first webhook of this operation is leased to whoever asked for it.
    pub(super) webhook_lease: Option<Lease>,
    /// How many statements have written in this transaction.
    writes: usize,
}

impl<'a> Tx<'a> {
    /// Runs a statement that writes; answers how many rows it changed.
    pub(super) fn execute(&mut self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        self.writes += 1;
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// Prepares a statement that reads.
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'a>, StoreError> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    /// Returns the key of the row that was inserted last.
    pub(super) fn last_id(&self) -> i64 {
        self.connection.last_insert_rowid()
    }

    /// The connection, for reading.
    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }
}

/// One queued operation.
pub(super) trait Job: Send {
    /// Runs it inside a transaction; it can be run again if that transaction is rolled back.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;

    /// When it was queued, as far as the operation was told.
    fn now(&self) -> Timestamp;

    /// Answers whoever waits, once its transaction has been committed.
    fn answer(self: Box<Self>);

    /// Tells whoever waits that it failed.
    fn fail(self: Box<Self>, error: StoreError);
}

/// An operation and the place for its answer.
pub(super) struct Operation<F, T> {
    now: Timestamp,
    call: F,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Operation<F, T> {
    pub(super) fn new(
        now: Timestamp,
        call: F,
        reply: oneshot::Sender<Result<T, StoreError>>,
    ) -> Self {
        Self { now, call, result: None, reply }
    }
}

impl<F, T> Job for Operation<F, T>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.result = Some((self.call)(tx)?);
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn answer(self: Box<Self>) {
        if let Some(result) = self.result {
            // Whoever asked may have gone away; what was done stays done.
            let _ = self.reply.send(Ok(result));
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}

/// The only thread that writes.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) caches: Caches,
    pub(super) sealer: Sealer,
    pub(super) lanes: Arc<Lanes>,
    pub(super) batch_max: usize,
    pub(super) rate_history: Duration,
    pub(super) observer: CommitObserver,
    pub(super) checkpointer: Checkpointer,
    /// The latest time that any operation was told.
    pub(super) now: Timestamp,
}

impl Writer {
    /// Works until the lanes are closed.
    pub(super) fn run(mut self) {
        // However this thread ends, nobody waits for it afterwards.
        let _abandoned = Abandoned(Arc::clone(&self.lanes));
        let mut batch = Vec::with_capacity(self.batch_max);
        while self.lanes.take(&mut batch, self.batch_max) {
            let stopwatch = Stopwatch::start();
            let operations = batch.len();
            self.commit(&mut batch);
            (self.observer)(CommitFigures { operations, duration: stopwatch.elapsed() });
            self.checkpointer.committed(&self.connection);
        }
    }

    /// Runs a batch in one transaction. If an operation fails after it has written, everything is
    /// rolled back and run again one by one, so that only the culprit suffers.
    fn commit(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        match self.attempt(batch) {
            Ok(failed) => {
                let mut failed = failed.into_iter().peekable();
                for (index, job) in batch.drain(..).enumerate() {
                    match failed.next_if(|(at, _)| *at == index) {
                        None => job.answer(),
                        Some((_, error)) => job.fail(error),
                    }
                }
            }
            Err(error) if batch.len() == 1 => {
                self.roll_back();
                batch.drain(..).for_each(|job| job.fail(error.clone()));
            }
            Err(_) => {
                self.roll_back();
                for job in std::mem::take(batch) {
                    self.commit(&mut vec![job]);
                }
            }
        }
    }

    /// Answers the operations that failed before they wrote anything; the others are durable.
    fn attempt(
        &mut self,
        batch: &mut [Box<dyn Job>],
    ) -> Result<Vec<(usize, StoreError)>, StoreError> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut failed = Vec::new();
        for (index, job) in batch.iter_mut().enumerate() {
            self.now = self.now.max(job.now());
            let mut tx = Tx {
                connection: &self.connection,
                caches: &mut self.caches,
                sealer: &self.sealer,
                now: self.now,
                webhook_lease: None,
                writes: 0,
            };
            match job.run(&mut tx) {
                Ok(()) => {}
                Err(error) if tx.writes == 0 => failed.push((index, error)),
                Err(error) => return Err(error),
            }
        }
        let mut tx = Tx {
            connection: &self.connection,
            caches: &mut self.caches,
            sealer: &self.sealer,
            now: self.now,
            webhook_lease: None,
            writes: 0,
        };
        super::config::flush_balances(&mut tx)?;
        self.connection.execute_batch("COMMIT")?;
        Ok(failed)
    }

    fn roll_back(&mut self) {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        match Caches::rebuild(&self.connection, self.now, self.rate_history) {
            Ok(caches) => self.caches = caches,
            Err(error) => {
                tracing::error!(%error, "cannot read the store back after a failure; stopping");
                // The file is the truth; a clean start from it is the recovery that is tested.
                std::process::abort();
            }
        }
    }
}

/// Tells whoever waits that there is no writer any more.
struct Abandoned(Arc<Lanes>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
