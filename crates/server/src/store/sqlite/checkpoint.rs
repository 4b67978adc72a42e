//! Copies the write-ahead log into the database, off the commit path.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rusqlite::Connection;

use super::{SqliteOptions, StoreError, connect, unavailable};

/// The writer's end: it says when it has committed.
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    commits: u32,
    nearly_copied: Arc<AtomicBool>,
}

impl Checkpointer {
    /// Starts the thread; it ends with the writer.
    pub(super) fn start(path: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        let connection = connect(path)?;
        let (wake, woken) = sync_channel(1);
        let soft = frames(options.wal_checkpoint_bytes);
        let hard = frames(options.wal_limit_bytes);
        let nearly_copied = Arc::new(AtomicBool::new(false));
        let nearly = Arc::clone(&nearly_copied);
        std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                loop {
                    let soft = match woken.recv_timeout(IDLE) {
                        Ok(()) => soft,
                        Err(RecvTimeoutError::Timeout) => 1,
                        Err(RecvTimeoutError::Disconnected) => break,
                    };
                    checkpoint(&connection, soft, hard, &nearly);
                }
                let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            })
            .map_err(unavailable)?;
        Ok(Self { wake, commits: 0, nearly_copied })
    }

    /// Notes a commit on the writer's connection. If nearly all of a long log is copied, the rest
    /// is copied here: nobody writes meanwhile, so that the next commit finds a log that is copied
    /// to its end and starts it anew. From another thread that would need the writer's lock, and
    /// the writer would sleep for ever longer times until it gets it back.
    pub(super) fn committed(&mut self, connection: &Connection) {
        if self.nearly_copied.swap(false, Ordering::AcqRel)
            && let Err(error) = run(connection, "PASSIVE")
        {
            tracing::debug!(%error, "the write-ahead log is not copied to its end yet");
        }
        self.commits += 1;
        if self.commits >= COMMITS_BETWEEN {
            self.commits = 0;
            match self.wake.try_send(()) {
                // A checkpoint that is still running will see these commits too.
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }
}

/// Copies the log. Once the log is long and nearly all of it is copied, the writer is to copy the
/// rest: a log that is written over is flushed faster than one that grows. Beyond the hard limit
/// writers have to wait until the log can start anew, else it would never end.
fn checkpoint(connection: &Connection, soft: i64, hard: i64, nearly_copied: &AtomicBool) {
    let (log, done) = match run(connection, "PASSIVE") {
        Ok(frames) => frames,
        Err(error) => {
            tracing::warn!(%error, "cannot copy the write-ahead log into the database");
            return;
        }
    };
    let behind = log - done;
    if log > hard || (behind == 0 && log > soft) {
        if let Err(error) = run(connection, "RESTART") {
            tracing::debug!(%error, "the write-ahead log is still being read");
        }
        return;
    }
    if log > soft && behind <= BEHIND_MAX {
        nearly_copied.store(true, Ordering::Release);
    }
}

/// Runs a checkpoint; answers how many frames the log has, and how many of them are copied.
fn run(connection: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    connection.query_row(&sql, [], |row| Ok((row.get(1)?, row.get(2)?)))
}

fn frames(bytes: u64) -> i64 {
    i64::try_from(bytes / PAGE_BYTES).unwrap_or(i64::MAX)
}

/// SQLite's page size where nothing else is asked for.
const PAGE_BYTES: u64 = 4096;

/// How many frames the writer copies: a mebibyte, which is written in a few milliseconds. A log
/// under load is never copied to its very end, because it grows meanwhile.
const BEHIND_MAX: i64 = 256;

/// How many commits go by before the log is looked at: a few mebibytes. Each look flushes the log
/// and the database, so it must not come too often.
const COMMITS_BETWEEN: u32 = 256;

/// How long after the last commit what is left is copied.
const IDLE: Duration = Duration::from_secs(1);
