//! What operators set up, money, and lists.

#![expect(clippy::unwrap_used, reason = "a broken story fails its test")]

use countersign::store::{
    AccountRecord, AccountSettings, BarredNumber, Campaign, ConfigChange, Credit, DlrMethod,
    KeyKind, KeyRecord, NumberRecord, OptOut, PriceRecord, TemplateRecord,
};
use engine::{AccountId, Amount, Locale, Price, PriceItem};

use crate::bench::{ALICE, BOB, Bench, NUMBER, STRANGER};

pub(crate) async fn a_credit_counts_once_per_key(mut bench: Bench) {
    let credit = |account, units, key: &str| Credit {
        account,
        amount: Amount::from_units(units),
        key: key.to_owned(),
        now: crate::bench::NOON,
    };
    for _ in 0..2 {
        let after = bench.store().credit(credit(ALICE, 50, "invoice 1")).await.unwrap();
        assert_eq!(after, Some(Amount::from_units(150)));
        bench.reopen();
    }
    let after = bench.store().credit(credit(ALICE, -30, "refund 1")).await.unwrap();
    assert_eq!(after, Some(Amount::from_units(120)));
    bench.store().credit(credit(BOB, 1, "invoice 1")).await.unwrap();
    assert_eq!(bench.balance(ALICE).await, 120);
    assert_eq!(bench.balance(BOB).await, 101, "keys are each account's own");
    assert_eq!(bench.store().credit(credit(NOBODY, 1, "x")).await.unwrap(), None);
    assert_eq!(bench.store().balance(NOBODY).await.unwrap(), None);
}

pub(crate) async fn only_a_new_account_gets_its_first_balance(bench: Bench) {
    bench.put_account(ALICE, 1000).await;
    assert_eq!(bench.balance(ALICE).await, 100);
    bench.put_account(AccountId(3), 0).await;
    bench.put_account(AccountId(3), 1000).await;
    assert_eq!(bench.balance(AccountId(3)).await, 0, "it was created with nothing");
}

pub(crate) async fn what_operators_set_up_is_read_back_until_it_is_dropped(mut bench: Bench) {
    let settings = AccountSettings {
        suspended: true,
        checks_max: Some(5),
        countries_deny: vec!["ZZ".to_owned()],
        dlr_url: Some("https://example.org/dlr".to_owned()),
        dlr_method: DlrMethod::PostJson,
        ..AccountSettings::default()
    };
    let account =
        AccountRecord { id: ALICE, name: "A".to_owned(), settings, created_at: bench.now };
    let credit = Amount::ZERO;
    bench.change(ConfigChange::PutAccount { account: account.clone(), credit }).await;
    bench.change(ConfigChange::PutKey(key_of_alice())).await;
    let number = short_code_of_alice();
    bench.change(ConfigChange::PutNumber(number.clone())).await;
    let locale = Locale::parse("en-us");
    let text = "${pin}".to_owned();
    let template = TemplateRecord { id: 1, account: ALICE, index: Some(2), locale, text };
    bench.change(ConfigChange::PutTemplate(template.clone())).await;
    let price = |account, units| PriceRecord {
        account,
        price: Price {
            item: PriceItem::Sms,
            prefix: "44".to_owned(),
            amount: Amount::from_units(units),
        },
    };
    for (account, units) in [(None, 1), (Some(ALICE), 2), (None, 3)] {
        bench.change(ConfigChange::PutPrice(price(account, units))).await;
    }
    let secret = ConfigChange::PutSecret { name: "pepper".to_owned(), sealed: vec![9] };
    bench.change(secret).await;
    for value in ["old", "new"] {
        let (name, value) = ("routes".to_owned(), value.to_owned());
        bench.change(ConfigChange::PutSetting { name, value }).await;
    }
    bench.reopen();

    let read = bench.store().directory().await.unwrap();
    assert!(read.accounts.contains(&account) && read.accounts.len() == 2);
    let names: Vec<_> = read.keys.iter().map(|key| (key.name.as_str(), key.kind)).collect();
    assert_eq!(names, [("alice", KeyKind::Textmagic)]);
    assert_eq!(read.keys.first().unwrap().secret_hash, [1, 2]);
    assert_eq!((read.numbers, read.templates), (vec![number], vec![template]));
    assert_eq!(read.prices.len(), 2, "a price is replaced, not added");
    assert!(read.prices.contains(&price(None, 3)) && read.prices.contains(&price(Some(ALICE), 2)));
    assert_eq!(read.secrets, [("pepper".to_owned(), vec![9])]);
    assert_eq!(read.settings, [("routes".to_owned(), "new".to_owned())]);

    for drop in [
        ConfigChange::DropKey(1),
        ConfigChange::DropNumber(1),
        ConfigChange::DropTemplate(1),
        ConfigChange::DropPrice(price(None, 0)),
        ConfigChange::DropSetting("routes".to_owned()),
    ] {
        bench.change(drop).await;
    }
    let read = bench.store().directory().await.unwrap();
    assert!(read.keys.is_empty() && read.numbers.is_empty() && read.templates.is_empty());
    assert_eq!(read.prices, [price(Some(ALICE), 2)]);
    let (opt_outs, barred): (Vec<OptOut>, Vec<BarredNumber>) = (read.opt_outs, read.barred);
    assert!(opt_outs.is_empty() && barred.is_empty());
}

pub(crate) async fn a_list_is_newest_first_and_of_one_account(mut bench: Bench) {
    let mut ids = Vec::new();
    for number in [NUMBER, STRANGER, NUMBER + 1] {
        ids.insert(0, bench.start(ALICE, number).await);
        bench.start(BOB, number).await;
        bench.pass(1);
    }
    let list = async |before, limit| {
        let views = bench.store().verifications(ALICE, before, limit).await.unwrap();
        views.into_iter().map(|view| view.record.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 10).await, ids);
    let (&newest, older) = ids.split_first().unwrap();
    assert_eq!(list(None, 1).await, [newest]);
    assert_eq!(list(Some(newest), 10).await, older);
}

const NOBODY: AccountId = AccountId(99);

fn key_of_alice() -> KeyRecord {
    KeyRecord {
        id: 1,
        account: ALICE,
        kind: KeyKind::Textmagic,
        name: "alice".to_owned(),
        secret_hash: vec![1, 2],
        signature: Some(vec![3]),
        signature_method: "sha256".to_owned(),
        label: "laptop".to_owned(),
        created_at: crate::bench::NOON,
    }
}

fn short_code_of_alice() -> NumberRecord {
    let campaign =
        Campaign { name: "Acme".to_owned(), help_text: "Help".to_owned(), start_allowed: true };
    NumberRecord {
        id: 1,
        account: ALICE,
        value: "12345".to_owned(),
        countries: vec!["US".to_owned()],
        fallback: true,
        campaign: Some(campaign),
    }
}
