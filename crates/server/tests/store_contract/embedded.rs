//! What only the embedded store promises: its file, its queue, its lock.

#![expect(clippy::unwrap_used, reason = "a broken story fails its test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::store::sqlite::SqliteOptions;
use countersign::store::{CheckCode, SettledTry, Settlement, Store, StoreError};
use engine::{
    Call, MessageId, MessageStatus, Outcome, ReceiptStatus, SubmitOutcome, Timestamp, TypedCode,
    Verdict, VerificationId,
};
use rusqlite::{Connection, params};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::bench::{
    ALICE, BOB, Backend, Bench, CODE, NOON, NUMBER, STRANGER, Sqlite, TEXT, attempt_of, attempts,
    everything_before, open_sqlite, step, unobserved, verification_of,
};

#[tokio::test]
async fn no_code_and_no_text_is_in_the_files_in_clear() {
    let (mut bench, dir) = bench().await;
    let id = bench.start(ALICE, NUMBER).await;
    bench.send(ALICE, NUMBER).await;
    bench.check(ALICE, id, "5926535").await.unwrap();
    bench.verify(ALICE, id).await;
    bench.start(BOB, NUMBER).await;
    for closed in [false, true] {
        if closed {
            bench.close();
        }
        let mut bytes = Vec::new();
        for file in fs::read_dir(&dir).unwrap() {
            bytes.extend(fs::read(file.unwrap().path()).unwrap());
        }
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("Acme") && holds("23415"), "these are the files that hold the rows");
        for secret in [CODE, "48159", TEXT, "7362514", "5926535"] {
            assert!(!holds(secret), "{secret} is there in clear, closed: {closed}");
        }
    }
}

#[tokio::test]
async fn codes_and_texts_are_gone_once_they_are_not_needed() {
    let (mut bench, dir) = bench().await;
    let sealed = |table: &str, column: &str| -> i64 {
        let sql = format!("SELECT count({column}) FROM {table}");
        raw(&dir).query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let id = bench.start(ALICE, NUMBER).await;
    let message = bench.send(ALICE, NUMBER).await;
    assert_eq!((sealed("verification", "code"), sealed("message", "text")), (1, 1));
    bench.submitted(step(id, 0), SubmitOutcome::Accepted).await;
    bench.submitted(attempt_of(message), SubmitOutcome::Accepted).await;
    assert_eq!((sealed("verification", "code"), sealed("message", "text")), (1, 0));
    bench.pass(300);
    bench.wake().await;
    assert_eq!(bench.outcome(id).await, Some(Outcome::Expired));
    assert_eq!(sealed("verification", "code"), 0);
    for status in [ReceiptStatus::Delivered, ReceiptStatus::Failed] {
        let message = bench.send(ALICE, NUMBER).await;
        bench.receipt(attempt_of(message), status).await;
        assert_eq!(sealed("message", "text"), 0, "{status:?}");
    }
}

#[tokio::test]
async fn a_corrupt_row_errs_alone_and_says_which_it_is() {
    let (mut bench, dir) = bench().await;
    let (bad, good) = (bench.start(ALICE, NUMBER).await, bench.start(BOB, NUMBER).await);
    spoil(&dir, bad);
    let check = |account, id, nonce| CheckCode {
        account,
        id,
        typed: TypedCode::text("9999"),
        nonce,
        now: bench.now,
    };
    let store = bench.store();
    // Queued together, so that they share a transaction.
    let answers = tokio::join!(
        store.check(check(BOB, good, 1)),
        store.check(check(ALICE, bad, 2)),
        store.check(check(BOB, good, 3)),
        bench.submitted(step(good, 0), SubmitOutcome::Accepted),
    );
    let error = answers.1.unwrap_err();
    let StoreError::Corrupt { table, row, .. } = error else { panic!("{error}") };
    assert_eq!((table, row), ("verification", bad.to_string()));
    let verdict = |checks_left| Verdict::Mismatch { checks_left };
    assert_eq!(answers.0.unwrap().unwrap().verdict, verdict(2));
    assert_eq!(answers.2.unwrap().unwrap().verdict, verdict(1));
    assert_eq!(bench.record(good).await.checks.len(), 2);
    assert!(bench.store().verification(bad).await.is_err(), "reading it fails as well");
    bench.start(ALICE, STRANGER).await;
}

#[tokio::test]
async fn a_corrupt_row_stops_no_timer_no_send_and_no_webhook_of_others() {
    let (mut bench, dir) = bench().await;
    let bad = bench.start(ALICE, NUMBER).await;
    let bad_message = bench.send(ALICE, NUMBER).await;
    let good = bench.start(BOB, NUMBER).await;
    let ended = bench.start(BOB, STRANGER).await;
    for id in [ended, bench.start(ALICE, STRANGER).await] {
        let account = bench.record(id).await.account;
        bench.verify(account, id).await;
    }
    spoil(&dir, bad);
    spoil_message(&dir, bad_message);
    let first = "UPDATE webhook SET notice = '{' WHERE id = (SELECT min(id) FROM webhook)";
    raw(&dir).execute(first, []).unwrap();
    for reopened in [false, true] {
        if reopened {
            bench.reopen();
        }
        bench.pass(20);
        assert_eq!(attempts(&bench.claim_sends().await), [step(good, 0)], "{reopened}");
        let claimed = bench.claim_webhooks().await;
        assert_eq!(claimed.len(), 1, "the one that can be read: {claimed:?}, {reopened}");
    }
    bench.pass(20);
    let woken = bench.wake().await;
    assert_eq!(attempts(&woken.effects.sends), [step(good, 1)]);
    assert_eq!(bench.wake().await.count, 0, "what cannot be woken does not spin");
    bench.pass(240);
    assert_eq!(bench.wake().await.effects.outcomes, [Outcome::Expired]);
}

#[tokio::test]
async fn a_code_that_was_moved_to_another_row_is_not_taken() {
    let (mut bench, dir) = bench().await;
    let (mine, theirs) = (bench.start(ALICE, NUMBER).await, bench.start(BOB, NUMBER).await);
    let sql = "UPDATE verification SET code = (SELECT code FROM verification WHERE id = ?2)
               WHERE id = ?1";
    raw(&dir).execute(sql, params![key(theirs), key(mine)]).unwrap();
    let check =
        CheckCode { account: BOB, id: theirs, typed: TypedCode::text(CODE), nonce: 1, now: NOON };
    let error = bench.store().check(check).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { table: "verification", .. }), "{error}");
}

#[test]
fn an_operation_that_fails_after_it_has_written_takes_nobody_with_it() {
    let runtime = Runtime::new().unwrap();
    let (mut bench, gate) = gated(&runtime, SqliteOptions::default());
    let id = runtime.block_on(bench.start(ALICE, NUMBER));
    let mut same_id = bench.verification(ALICE, STRANGER);
    same_id.new.id = id;
    let other = bench.verification(BOB, STRANGER);
    let check = CheckCode { account: ALICE, id, typed: TypedCode::text(CODE), nonce: 1, now: NOON };

    let store = Arc::clone(bench.store());
    gate.close(store.as_ref());
    let checked = store.check(check);
    let refused = store.start_verification(same_id);
    let other = store.start_verification(other);
    gate.open();
    let checked = runtime.block_on(checked).unwrap().unwrap();
    assert_eq!(checked.verdict, Verdict::Match);
    assert!(runtime.block_on(refused).is_err(), "a name is never used twice");
    let other = verification_of(&runtime.block_on(other).unwrap().unwrap());
    assert_eq!(runtime.block_on(bench.balance(ALICE)), 95, "what was run again counts once");
    assert_eq!(runtime.block_on(bench.record(id)).checks.len(), 1);
    assert_eq!(runtime.block_on(bench.outcome(other)), None);
    runtime.block_on(bench.start(ALICE, STRANGER));
}

#[test]
fn a_full_queue_refuses_and_nothing_has_happened() {
    let runtime = Runtime::new().unwrap();
    let options = SqliteOptions { queue_max: 2, ..SqliteOptions::default() };
    let (mut bench, gate) = gated(&runtime, options);
    let starts = [NUMBER, NUMBER + 1, NUMBER + 2].map(|number| bench.verification(ALICE, number));
    let ids = starts.clone().map(|start| start.new.id);

    let store = bench.store();
    gate.close(store.as_ref());
    let answers = starts.map(|start| store.start_verification(start));
    assert_eq!(store.depth(), 2, "two wait, the third does not");
    gate.open();
    let [first, second, third] = answers.map(|answer| runtime.block_on(answer));
    assert!(first.unwrap().is_ok() && second.unwrap().is_ok());
    let error = third.unwrap_err();
    let StoreError::Busy { retry_after } = error else { panic!("{error}") };
    assert!(retry_after > Duration::ZERO);
    let found = ids.map(|id| runtime.block_on(store.verification(id)).unwrap().is_some());
    assert_eq!(found, [true, true, false]);
    assert_eq!(store.depth(), 0);
}

#[test]
fn a_flood_of_bookkeeping_delays_a_start_by_no_more_than_a_batch() {
    let runtime = Runtime::new().unwrap();
    let options = SqliteOptions { batch_max: 8, queue_max: 100, ..SqliteOptions::default() };
    let (mut bench, gate) = gated(&runtime, options);
    let start = bench.verification(ALICE, NUMBER);
    let store = bench.store();
    gate.close(store.as_ref());
    let settle = |id| {
        let settled = SettledTry { id, tries: 0, settlement: Settlement::Done };
        store.settle_webhooks([settled].into())
    };
    let flood: Vec<_> = (0..100).map(settle).collect();
    let one_more = runtime.block_on(settle(100));
    assert!(matches!(one_more, Err(StoreError::Busy { .. })), "its lane is full");
    let started = store.start_verification(start);
    gate.hold_after_next_commit();
    gate.open();
    gate.held.recv_timeout(PATIENCE).unwrap();
    assert!(runtime.block_on(started).unwrap().is_ok());
    assert!((90..100).contains(&store.depth()), "a few of the others went with it");
    gate.open();
    for settled in flood {
        runtime.block_on(settled).unwrap();
    }
}

#[test]
fn a_store_whose_writer_has_died_does_not_say_that_it_is_busy() {
    let runtime = Runtime::new().unwrap();
    let dir = TempDir::new().unwrap();
    let observer = Box::new(|_| panic!("the writer dies of its observer"));
    let store = open_sqlite(dir.path(), SqliteOptions::default(), NOON, observer).unwrap();
    runtime.block_on(store.next_due()).unwrap();
    for _ in 0..2 {
        let error = runtime.block_on(store.next_due()).unwrap_err();
        assert!(matches!(error, StoreError::Stopped), "{error}");
    }
}

#[test]
fn two_stores_cannot_open_one_directory() {
    let dir = TempDir::new().unwrap();
    let open = || open_sqlite(dir.path(), SqliteOptions::default(), NOON, unobserved());
    let first = open().unwrap();
    let Err(StoreError::Unavailable(reason)) = open() else { panic!("it was opened twice") };
    assert!(reason.contains("another server"), "{reason}");
    drop(first);
    open().unwrap();
}

#[test]
fn an_older_schema_is_migrated_and_a_newer_one_is_refused() {
    let dir = TempDir::new().unwrap();
    let open = || open_sqlite(dir.path(), SqliteOptions::default(), NOON, unobserved()).map(drop);
    let version = || -> i64 {
        raw(dir.path()).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    };
    raw(dir.path()).execute_batch("PRAGMA user_version = 0").unwrap();
    open().unwrap();
    let newest = version();
    assert!(newest > 0, "an empty file has become a store");
    open().unwrap();
    assert_eq!(version(), newest, "once");

    raw(dir.path()).pragma_update(None, "user_version", newest + 1).unwrap();
    let Err(StoreError::Unavailable(reason)) = open() else { panic!("it was opened") };
    assert!(reason.contains("newer"), "{reason}");
    assert_eq!(version(), newest + 1, "it is left as it was");
}

#[test]
fn prices_of_calls_that_nobody_can_name_any_more_are_deleted() {
    let dir = TempDir::new().unwrap();
    let open = || open_sqlite(dir.path(), SqliteOptions::default(), NOON, unobserved()).map(drop);
    open().unwrap();
    let earlier = "INSERT INTO price (account, item, prefix, amount)
         VALUES (NULL, 'voice', '44', 5), (NULL, 'sms', '44', 5); PRAGMA user_version = 4";
    raw(dir.path()).execute_batch(earlier).unwrap();
    open().unwrap();
    let items = "SELECT group_concat(item) FROM price WHERE prefix = '44'";
    let left: String = raw(dir.path()).query_row(items, [], |row| row.get(0)).unwrap();
    assert_eq!(left, "sms");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_call_from_being_counted() {
    let (mut bench, dir) = bench().await;
    let mut ids = Vec::new();
    for number in NUMBER..NUMBER + 3 {
        let id = bench.start(ALICE, number).await;
        bench.submitted(step(id, 0), SubmitOutcome::Accepted).await;
        let call = Call { rang_at: Some(bench.now), ..Call::default() };
        bench.called(step(id, 0), call).await;
        ids.push(id.as_u128().to_be_bytes());
    }
    let count = async |bench: &Bench| {
        bench.store().calls_since("carrier".to_owned(), bench.now).await.unwrap().len()
    };
    assert_eq!(count(&bench).await, 3);
    let spoil = |what: &str, id: [u8; 16]| {
        let sql = format!("UPDATE verification SET {what} WHERE id = ?1");
        assert_eq!(raw(&dir).execute(&sql, [id]).unwrap(), 1);
    };
    spoil("record = '{\"call\":'", ids[0]);
    spoil("id = substr(id, 1, 15)", ids[1]);
    assert_eq!(count(&bench).await, 1);
}

#[tokio::test]
async fn what_the_first_version_wrote_is_read_and_goes_on() {
    let dir = TempDir::new().unwrap();
    let id = MessageId::first_at(NOON);
    let first_version = raw(dir.path());
    first_version
        .execute_batch(include_str!("../../src/store/sqlite/schema.sql"))
        .and_then(|()| first_version.pragma_update(None, "user_version", 1))
        .unwrap();
    let record = format!(
        r#"{{"id":{id},"account":1,"created_at":{at},"expires_at":{end},"parts":1,"price":0,
        "status":"submitted","status_at":{at},"link":"old"}}"#,
        id = id.as_u64(),
        at = NOON.as_millis(),
        end = NOON.as_millis() + 60_000,
    );
    let details = r#"{"originator":"Acme","network":"23415","notify":"nobody"}"#;
    let sql = "INSERT INTO message VALUES (?1, 1, ?2, 1, 1, 1, ?3, NULL, ?4, ?5)";
    let (key, number) = (id.as_u64().cast_signed(), NUMBER.cast_signed());
    let wake_at = NOON.as_millis().cast_signed() + 60_000;
    first_version.execute(sql, params![key, number, wake_at, record, details]).unwrap();
    drop(first_version);

    let options = SqliteOptions::default();
    let store = open_sqlite(dir.path(), options, NOON, unobserved()).unwrap();
    let kept = store.message(id).await.unwrap().unwrap();
    assert_eq!(kept.record.passage.link.as_deref(), Some("old"));
    let woken = store.wake(NOON.after(Duration::from_mins(2)), 10).await.unwrap();
    assert_eq!(woken.count, 1);
    let told = store.message(id).await.unwrap().unwrap().record.status;
    let MessageStatus::Reported(receipt) = told else { panic!("it is {told:?}") };
    assert_eq!(receipt.status, ReceiptStatus::Expired);
}

#[test]
fn a_purge_lets_others_in_between() {
    let runtime = Runtime::new().unwrap();
    let dir = TempDir::new().unwrap();
    let commits = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&commits);
    let observer = Box::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let store = open_sqlite(dir.path(), SqliteOptions::default(), NOON, observer).unwrap();
    raw(dir.path()).execute_batch(&answers(1000)).unwrap();
    let noon = everything_before(NOON);
    assert_eq!(runtime.block_on(store.purge(noon, 900)).unwrap(), 900);
    assert!(commits.load(Ordering::SeqCst) >= 9, "no more than a hundred rows in each");
    assert_eq!(runtime.block_on(store.purge(noon, 900)).unwrap(), 100);
}

async fn bench() -> (Bench, PathBuf) {
    let backend = Sqlite::fresh();
    let dir = backend.path().to_owned();
    (Bench::open(backend).await, dir)
}

/// The embedded store with a writer that can be held after a commit.
struct Gated {
    dir: TempDir,
    options: SqliteOptions,
    armed: Arc<AtomicBool>,
    held: Sender<()>,
    released: Arc<Mutex<Receiver<()>>>,
}

impl Backend for Gated {
    fn open(&self, now: Timestamp) -> Arc<dyn Store> {
        let (armed, held) = (Arc::clone(&self.armed), self.held.clone());
        let released = Arc::clone(&self.released);
        let observer = Box::new(move |_| {
            if armed.swap(false, Ordering::SeqCst) {
                held.send(()).unwrap();
                released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }
        });
        Arc::new(open_sqlite(self.dir.path(), self.options.clone(), now, observer).unwrap())
    }
}

/// The test's end of a [`Gated`] store.
struct Gate {
    armed: Arc<AtomicBool>,
    held: Receiver<()>,
    release: Sender<()>,
}

impl Gate {
    /// Holds the writer with an empty queue.
    fn close(&self, store: &dyn Store) {
        self.hold_after_next_commit();
        drop(store.next_due());
        self.held.recv_timeout(PATIENCE).unwrap();
        if store.depth() > 0 {
            // It was still busy with an earlier commit: the one that was asked for comes now.
            self.hold_after_next_commit();
            self.open();
            self.held.recv_timeout(PATIENCE).unwrap();
        }
    }

    fn hold_after_next_commit(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.release.send(()).unwrap();
    }
}

fn gated(runtime: &Runtime, options: SqliteOptions) -> (Bench, Gate) {
    let armed = Arc::<AtomicBool>::default();
    let (held, is_held) = channel();
    let (release, released) = channel();
    let gate = Gate { armed: Arc::clone(&armed), held: is_held, release };
    let released = Arc::new(Mutex::new(released));
    let backend = Gated { dir: TempDir::new().unwrap(), options, armed, held, released };
    (runtime.block_on(Bench::open(backend)), gate)
}

/// How long a writer is waited for before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn raw(dir: &Path) -> Connection {
    Connection::open(dir.join("countersign.db")).unwrap()
}

/// Remembers so many first answers, all of them long ago.
fn answers(count: u32) -> String {
    format!(
        "WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < {count})
         INSERT INTO idempotency SELECT 1, randomblob(16), zeroblob(16), zeroblob(16), 5, 95, 0, n
         FROM i"
    )
}

fn key(id: VerificationId) -> [u8; 16] {
    id.as_u128().to_be_bytes()
}

fn spoil(dir: &Path, id: VerificationId) {
    let sql = "UPDATE verification SET record = '{\"id\":' WHERE id = ?1";
    assert_eq!(raw(dir).execute(sql, params![key(id)]).unwrap(), 1);
}

fn spoil_message(dir: &Path, id: MessageId) {
    let sql = "UPDATE message SET record = 'no JSON' WHERE id = ?1";
    assert_eq!(raw(dir).execute(sql, params![id.as_u64().cast_signed()]).unwrap(), 1);
}
