//! Changes and erasures, over a store in a folder of its own.

use std::time::Duration;

use super::*;
use crate::seal::KeyRing;
use crate::store::OptOut;
use crate::store::sqlite::{SqliteOptions, SqliteStore};

#[tokio::test]
async fn a_change_that_changes_nothing_does_not_read_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let directories = open(dir.path()).await;
    let before = directories.current();
    let change = |changes| directories.change(|_| Ok::<_, DirectoryError>((changes, ())));
    change(Vec::new()).await.unwrap();
    assert!(Arc::ptr_eq(&before, &directories.current()));
    change(vec![opt_out(None)]).await.unwrap();
    assert_eq!(directories.current().rows.opt_outs.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_planned_before_an_erasure_does_not_bring_the_number_back() {
    let dir = tempfile::tempdir().unwrap();
    let directories = open(dir.path()).await;
    let (planned, is_planned) = tokio::sync::oneshot::channel();
    let (go_on, gone_on) = std::sync::mpsc::channel();
    let changing = directories.clone();
    let change = tokio::spawn(async move {
        let plan = move |_: &Directory| {
            planned.send(()).unwrap();
            gone_on.recv().unwrap();
            Ok::<_, DirectoryError>((vec![opt_out(Some(447_400_123_456))], ()))
        };
        changing.change(plan).await
    });
    is_planned.await.unwrap();
    let number = directories.number(447_400_123_456).unwrap();
    let mut erasure = Box::pin(directories.erase(&number));
    let soon = Duration::from_millis(200);
    assert!(tokio::time::timeout(soon, &mut erasure).await.is_err(), "it waits its turn");
    go_on.send(()).unwrap();
    change.await.unwrap().unwrap();
    assert_eq!(erasure.await.unwrap(), 1);
    assert_eq!(directories.current().rows.opt_outs.first().unwrap().number, None);
}

fn opt_out(number: Option<u64>) -> ConfigChange {
    let (opted_in_at, opted_out_at) = (None, None);
    let opt_out = OptOut { campaign: 1, number_key: 7, number, opted_in_at, opted_out_at };
    ConfigChange::PutOptOut(opt_out)
}

async fn open(dir: &std::path::Path) -> Directories {
    let ring = KeyRing::load_or_create(&dir.join("seal.key")).unwrap();
    let (sealer, clock) = (|| Sealer::new(&ring), Clock::system());
    let (options, now) = (SqliteOptions::default(), clock.now());
    let store = SqliteStore::open(dir, options, sealer(), now, Box::new(|_| ()));
    let store = Arc::new(store.unwrap());
    Directories::open(store, sealer(), clock, Arc::default()).await.unwrap()
}
