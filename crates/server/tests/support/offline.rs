//! Changes what operators set up behind a server's back, while it is down.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::sync::Arc;

use countersign::clock::Clock;
use countersign::config::{Config, KeySource};
use countersign::directory::{Directories, DirectoryError};
use countersign::seal::{KeyRing, Sealer};
use countersign::store::sqlite::{SqliteOptions, SqliteStore};
use countersign::store::{AccountSettings, ConfigChange, Credit, DirectoryRows, Store};
use engine::{AccountId, Amount};

use super::TestServer;

/// Changes what operators set up, while the server is down; the plan is given the rows as they
/// are, and what makes the pseudonym of a number.
pub(crate) async fn set_up(
    server: &mut TestServer,
    plan: impl FnOnce(&DirectoryRows, &dyn Fn(&str) -> u64) -> Vec<ConfigChange>,
) {
    server.stop();
    {
        let (store, config, ring) = open_store(server);
        let directories =
            Directories::open(store, Sealer::new(&ring), Clock::system(), config).await.unwrap();
        let pseudonyms = &directories.secrets().pseudonyms;
        let number_key = |digits: &str| pseudonyms.pseudonym(digits.parse().unwrap());
        let changed = directories
            .change(|directory| Ok::<_, DirectoryError>((plan(&directory.rows, &number_key), ())));
        changed.await.unwrap();
    }
    server.launch().await;
}

/// Gives the demo account the settings that it had at first, but for what `change` does.
pub(crate) async fn change_settings(
    server: &mut TestServer,
    change: impl FnOnce(&mut AccountSettings),
) {
    set_up(server, |rows, _| {
        let mut account = rows.accounts[0].clone();
        account.settings = AccountSettings {
            account_per_s: Some(1000),
            number_starts_max: Some(1000),
            prefix_starts_max: Some(1000),
            conversion: Some(true),
            ..AccountSettings::default()
        };
        change(&mut account.settings);
        vec![ConfigChange::PutAccount { account, credit: Amount::ZERO }]
    })
    .await;
}

/// Leaves the demo account a cent.
pub(crate) async fn spend_everything(server: &mut TestServer) {
    server.stop();
    {
        let (store, _, _) = open_store(server);
        let account = AccountId(server.demo("account_id").parse().unwrap());
        let balance = store.balance(account).await.unwrap().unwrap();
        let all_but_a_cent = Amount::from_units(1_000_000 - balance.units());
        let (key, now) = ("spent".to_owned(), Clock::system().now());
        store.credit(Credit { account, amount: all_but_a_cent, key, now }).await.unwrap();
    }
    server.launch().await;
}

fn open_store(server: &TestServer) -> (Arc<dyn Store>, Arc<Config>, KeyRing) {
    let config = Config::load(None, [("COUNTERSIGN_DATA__DIR", server.dir())]).unwrap();
    let ring = match &config.data.keys {
        KeySource::File(path) => KeyRing::load_or_create(path).unwrap(),
        KeySource::Environment(ring) => ring.clone(),
    };
    let (options, now) = (SqliteOptions::default(), Clock::system().now());
    let observer = Box::new(|_| ());
    let store = SqliteStore::open(server.dir(), options, Sealer::new(&ring), now, observer);
    (Arc::new(store.unwrap()), Arc::new(config), ring)
}
