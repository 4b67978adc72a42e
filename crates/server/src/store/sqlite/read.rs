//! Reading without the writer: a few connections that see what has been committed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{AccountId, Attempt, MessageId, Timestamp, VerificationId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use tokio::sync::Semaphore;

use super::super::rows::{from_json, signed, unsigned};
use super::super::{EarlierCall, MessageView, Reply, StoreError, VerificationView};
use super::connect;

/// A bounded set of reading connections.
#[derive(Clone)]
pub(super) struct Readers {
    path: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Makes room for `readers_max` reads at once; connections are opened as they are needed.
    pub(super) fn new(path: PathBuf, readers_max: usize) -> Self {
        Self {
            path: Arc::new(path),
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(readers_max.max(1))),
        }
    }

    /// Reads on a thread where waiting is allowed.
    pub(super) fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'static, T> {
        let readers = self.clone();
        Box::pin(async move {
            let stopped = |_| StoreError::Stopped;
            let _permit = readers.permits.acquire().await.map_err(stopped)?;
            let work = move || {
                let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = match idle {
                    Some(connection) => connection,
                    None => connect(&readers.path)?,
                };
                let result = call(&connection);
                readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                result
            };
            let joined = tokio::task::spawn_blocking(work).await;
            joined.unwrap_or_else(|e| Err(StoreError::Unavailable(e.to_string())))
        })
    }
}

/// Returns a verification.
pub(super) fn verification(
    connection: &Connection,
    id: VerificationId,
) -> Result<Option<VerificationView>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT id, number, record, details FROM verification WHERE id = ?1")?;
    let row = statement.query_row([id.as_u128().to_be_bytes()], columns).optional()?;
    row.map(verification_view).transpose()
}

/// Lists the verifications of an account, newest first. It walks the table backwards and looks at
/// no more than [`LIST_ROWS_MAX`] rows, so that an account with few does not cost a whole scan.
pub(super) fn verifications(
    connection: &Connection,
    account: AccountId,
    before: Option<VerificationId>,
    limit: usize,
) -> Result<Vec<VerificationView>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, number, record, details FROM
         (SELECT * FROM verification WHERE id < ?2 ORDER BY id DESC LIMIT ?3)
         WHERE account = ?1 ORDER BY id DESC LIMIT ?4",
    )?;
    let before = before.map_or(u128::MAX, VerificationId::as_u128).to_be_bytes();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![account.0, before, LIST_ROWS_MAX, limit], columns)?;
    rows.map(|row| verification_view(row?)).collect()
}

/// Returns the calls that a link placed since then. Few verifications have any, so no index is kept
/// for them; the table is walked from where those begin that may have been open by then, the newest
/// first and no more than [`CALL_ROWS_MAX`]. A row that cannot be read must not keep a link from
/// calling: it is told in the log and left out.
pub(super) fn calls_since(
    connection: &Connection,
    link: &str,
    since: Timestamp,
) -> Result<Vec<EarlierCall>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, number, record, details FROM verification
         WHERE id >= ?1 AND number IS NOT NULL AND instr(record, '\"call\":') > 0
         ORDER BY id DESC LIMIT ?2",
    )?;
    let first = VerificationId::first_at(since.before(LIFETIME_MAX)).as_u128().to_be_bytes();
    let mut calls = Vec::new();
    for row in statement.query_map(params![first, CALL_ROWS_MAX], columns)? {
        let view = match row {
            Err(error) if is_unreadable(&error) => Err(error.to_string()),
            row => match verification_view(row?) {
                Err(error @ StoreError::Corrupt { .. }) => Err(error.to_string()),
                view => Ok(view?),
            },
        };
        let view = match view {
            Ok(view) => view,
            Err(error) => {
                tracing::error!(error, "a call of the last hours cannot be counted");
                continue;
            }
        };
        let Some(number) = view.number else { continue };
        let over = |attempt: &&Attempt| attempt.passage.link.as_deref() == Some(link);
        for attempt in view.record.attempts.iter().filter(over) {
            let Some(call) = &attempt.call else { continue };
            let at = call.rang_at.or(call.answered_at).unwrap_or(attempt.progress_at);
            let cost = if call.ended_at.is_some() { call.cost } else { attempt.passage.cost };
            calls.push(EarlierCall { number, at, cost });
        }
    }
    calls.retain(|call| call.at >= since);
    calls.sort_unstable_by_key(|call| call.at);
    Ok(calls)
}

/// Returns whether a column holds what it never should.
fn is_unreadable(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    matches!(
        error,
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)
    )
}

/// Returns a message.
pub(super) fn message(
    connection: &Connection,
    id: MessageId,
) -> Result<Option<MessageView>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT number, record, details FROM message WHERE id = ?1")?;
    let row = statement
        .query_row([signed(id.as_u64())], |row| {
            let number: Option<i64> = row.get(0)?;
            let record: String = row.get(1)?;
            let details: String = row.get(2)?;
            Ok((number, record, details))
        })
        .optional()?;
    let Some((number, record, details)) = row else { return Ok(None) };
    Ok(Some(MessageView {
        record: from_json("message", id, &record)?,
        number: number.map(unsigned),
        details: from_json("message", id, &details)?,
    }))
}

type Columns = ([u8; 16], Option<i64>, String, String);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn verification_view(
    (id, number, record, details): Columns,
) -> Result<VerificationView, StoreError> {
    let id = VerificationId::from_u128(u128::from_be_bytes(id));
    Ok(VerificationView {
        record: from_json("verification", id, &record)?,
        number: number.map(unsigned),
        details: from_json("verification", id, &details)?,
    })
}

/// How many rows a list looks at.
const LIST_ROWS_MAX: i64 = 100_000;

/// As many calls as a trunk's caps keep.
const CALL_ROWS_MAX: i64 = 180_000;

/// The longest that `engine.lifetime_s` can be; nobody is called after it.
const LIFETIME_MAX: Duration = Duration::from_hours(1);
