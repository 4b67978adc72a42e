//! Copies the write-ahead log into the database, off the commit path.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rusqlite::Connection;

use super::{SqliteOptions, StoreError, connect, unavailable};

/// The writer's end: it says when it has committed.
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    commits: u32,
}

impl Checkpointer {
    /// Starts the thread; it ends with the writer.
    pub(super) fn start(path: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        let connection = connect(path)?;
        let (wake, woken) = sync_channel(1);
        let soft = frames(options.wal_checkpoint_bytes);
        let hard = frames(options.wal_limit_bytes);
        std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                let mut copied = 0;
                loop {
                    match woken.recv_timeout(IDLE) {
                        Ok(()) => copied = checkpoint(&connection, copied, soft, hard),
                        Err(RecvTimeoutError::Timeout) => {
                            copied = checkpoint(&connection, copied, 1, hard);
                        }
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            })
            .map_err(unavailable)?;
        Ok(Self { wake, commits: 0 })
    }

    /// Notes a commit.
    pub(super) fn committed(&mut self) {
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

/// Copies the log; answers how many of its frames are in the database now. Once the log is long
/// and nearly all of it is copied, it makes writers wait for the rest, so that the log can start
/// anew: a log that is written over is flushed faster than one that grows. Under a load that never
/// lets it catch up, it does so at the hard limit, else the log would never end.
fn checkpoint(connection: &Connection, copied: i64, soft: i64, hard: i64) -> i64 {
    let run = |mode: &str| {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        connection.query_row(&sql, [], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
    };
    let (log, done) = match run("PASSIVE") {
        Ok(frames) => frames,
        Err(error) => {
            tracing::warn!(%error, "cannot copy the write-ahead log into the database");
            return copied;
        }
    };
    let behind = log - done;
    if log > hard || (log > soft && behind <= BEHIND_MAX) {
        if let Err(error) = run("RESTART") {
            tracing::debug!(%error, "the write-ahead log is still being read");
        }
        return 0;
    }
    done
}

fn frames(bytes: u64) -> i64 {
    i64::try_from(bytes / PAGE_BYTES).unwrap_or(i64::MAX)
}

/// SQLite's page size where nothing else is asked for.
const PAGE_BYTES: u64 = 4096;

/// How many frames writers wait for: a mebibyte, which is written in a few milliseconds. A log
/// under load is never copied to its very end, because it grows meanwhile.
const BEHIND_MAX: i64 = 256;

/// How many commits go by before the log is looked at: a few mebibytes. Each look flushes the log
/// and the database, so it must not come too often.
const COMMITS_BETWEEN: u32 = 256;

/// How long after the last commit what is left is copied.
const IDLE: Duration = Duration::from_secs(1);
